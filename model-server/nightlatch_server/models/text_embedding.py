"""Sentence embeddings: BERT, pooled over the tokens, scaled to length 1 (Reimers & Gurevych, arXiv:1908.10084)."""

from collections.abc import Sequence
from typing import cast

import numpy as np
import torch
from tokenizers import Tokenizer
from torch import Tensor
from torch.nn import functional

from nightlatch_server.model_package.manifest import PackageError
from nightlatch_server.model_package.reader import Package
from nightlatch_server.models import bert
from nightlatch_server.models.base import TokenIds, Vectors
from nightlatch_server.models.tensors import state_dict


class TextEmbedding:
    """An `Embedder` made of a BERT network and its tokenizer."""

    def __init__(self, network: bert.Bert, tokenizer: Tokenizer, config: bert.BertConfig, package: Package) -> None:
        options = package.manifest.config
        self.dimension = config.hidden_size
        self.vocabulary = config.vocab_size
        self.max_tokens = _max_tokens(options.get("max_tokens"), config)
        self._pad = int(options.get("pad_token_id", 0))
        self._pools_mean = _choice(options.get("pooling", "mean"), {"mean": True, "cls": False})
        self._normalizes = bool(options.get("normalize", True))
        self._network = network
        self._device = next(network.parameters()).device
        self._tokenizer = tokenizer
        tokenizer.no_padding()
        tokenizer.enable_truncation(self.max_tokens)

    def tokenize(self, texts: Sequence[str]) -> list[TokenIds]:
        return [encoding.ids for encoding in self._tokenizer.encode_batch_fast(list(texts))]

    @torch.inference_mode()
    def run(self, rows: Sequence[TokenIds]) -> Vectors:
        ids, mask = self._padded(rows)
        vectors = self._pool(self._network(ids, mask), mask)
        if self._normalizes:
            vectors = functional.normalize(vectors, dim=1)
        return cast("Vectors", np.ascontiguousarray(vectors.cpu().numpy()))

    def warm_up(self) -> None:
        self.run(self.tokenize(["warm up", "a second, longer text, so that there is padding"]))

    def _padded(self, rows: Sequence[TokenIds]) -> tuple[Tensor, Tensor | None]:
        longest = max(map(len, rows))
        ids = np.full((len(rows), longest), self._pad, dtype=np.int64)
        mask = np.zeros((len(rows), longest), dtype=np.bool_)
        for i, row in enumerate(rows):
            ids[i, : len(row)] = row
            mask[i, : len(row)] = True
        needed = None if mask.all() else torch.from_numpy(mask).to(self._device)
        return torch.from_numpy(ids).to(self._device), needed

    def _pool(self, states: Tensor, mask: Tensor | None) -> Tensor:
        if not self._pools_mean:
            return states[:, 0]
        if mask is None:
            return states.mean(dim=1)
        weights = mask.unsqueeze(-1).to(states.dtype)
        return (states * weights).sum(dim=1) / weights.sum(dim=1)


def load(package: Package, device: str) -> TextEmbedding:
    """Build the model of `package` on `device`. Raises PackageError."""
    config = bert.BertConfig.parse(package.manifest.config)
    tokenizer = _tokenizer(package, config)
    network = bert.build(config, state_dict(package)).to(device)
    return TextEmbedding(network, tokenizer, config, package)


def _tokenizer(package: Package, config: bert.BertConfig) -> Tokenizer:
    raw = package.files.get("tokenizer.json")
    if raw is None:
        raise PackageError("the package has no tokenizer.json, which text-embedding needs; create the package again")
    try:
        tokenizer = Tokenizer.from_buffer(bytes(raw))
    except Exception as error:  # the library raises a bare Exception
        raise PackageError(f"cannot read tokenizer.json: {error}") from error
    if tokenizer.get_vocab_size() > config.vocab_size:
        raise PackageError("tokenizer.json has more tokens than vocab_size; use the tokenizer of this model")
    return tokenizer


def _max_tokens(value: object, config: bert.BertConfig) -> int:
    if value is None:
        return config.max_position_embeddings
    if type(value) is not int or not 2 < value <= config.max_position_embeddings:
        raise PackageError("model.json: config.max_tokens must be from 3 to max_position_embeddings")
    return value


def _choice(value: object, choices: dict[str, bool]) -> bool:
    if value not in choices:
        raise PackageError(f"model.json: config.pooling must be one of {', '.join(choices)}")
    return choices[str(value)]
