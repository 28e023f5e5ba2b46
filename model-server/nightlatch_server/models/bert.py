"""BERT's encoder (Devlin et al. 2018, arXiv:1810.04805) with the parameter names of Hugging Face's checkpoints."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Self, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from nightlatch_server.model_package.manifest import PackageError
from nightlatch_server.models.layers import Embedding, LayerNorm, Linear

_ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "gelu": functional.gelu,
    "gelu_new": partial(functional.gelu, approximate="tanh"),
    "relu": functional.relu,
}
# Far above any published BERT. They limit how large a network a manifest can ask for.
_LIMITS = {
    "hidden_size": 16_384, "num_hidden_layers": 256, "num_attention_heads": 256, "intermediate_size": 65_536,
    "vocab_size": 2_000_000, "max_position_embeddings": 131_072, "type_vocab_size": 1_024,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class BertConfig:
    """The sizes of the network, as in Hugging Face's config.json."""

    hidden_size: int
    num_hidden_layers: int
    num_attention_heads: int
    intermediate_size: int
    vocab_size: int
    max_position_embeddings: int
    type_vocab_size: int
    layer_norm_eps: float
    activation: Callable[[Tensor], Tensor]

    @classmethod
    def parse(cls, config: Mapping[str, Any]) -> Self:
        """Read the `config` of a manifest. Raises PackageError."""
        sizes = {key: _size(config, key, limit) for key, limit in _LIMITS.items()}
        if sizes["hidden_size"] % sizes["num_attention_heads"]:
            raise PackageError("model.json: hidden_size must be a multiple of num_attention_heads")
        activation = _ACTIVATIONS.get(config.get("hidden_act", "gelu"))
        if activation is None:
            raise PackageError(f"model.json: hidden_act must be one of {', '.join(_ACTIVATIONS)}")
        return cls(**sizes, layer_norm_eps=float(config.get("layer_norm_eps", 1e-12)), activation=activation)


def _size(config: Mapping[str, Any], key: str, limit: int) -> int:
    value = config.get(key, 2 if key == "type_vocab_size" else None)
    if type(value) is not int or not 0 < value <= limit:
        raise PackageError(f"model.json: config.{key} must be an integer from 1 to {limit}")
    return value


class Embeddings(nn.Module):
    """The sum of token, position and segment embeddings (the segment is always 0), normalised."""

    def __init__(self, c: BertConfig) -> None:
        super().__init__()
        self.word_embeddings = Embedding(c.vocab_size, c.hidden_size)
        self.position_embeddings = Embedding(c.max_position_embeddings, c.hidden_size)
        self.token_type_embeddings = Embedding(c.type_vocab_size, c.hidden_size)
        self.LayerNorm = LayerNorm(c.hidden_size, eps=c.layer_norm_eps)

    def forward(self, ids: Tensor) -> Tensor:
        positions = self.position_embeddings.weight[: ids.shape[1]] + self.token_type_embeddings.weight[0]
        summed: Tensor = self.word_embeddings(ids) + positions
        return self.LayerNorm(summed)  # type: ignore[no-any-return]  # nn.Module.__call__ is untyped


class SelfAttention(nn.Module):
    """Multi-head attention, before its output projection."""

    def __init__(self, c: BertConfig) -> None:
        super().__init__()
        self.heads = c.num_attention_heads
        self.query = Linear(c.hidden_size, c.hidden_size)
        self.key = Linear(c.hidden_size, c.hidden_size)
        self.value = Linear(c.hidden_size, c.hidden_size)

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        q, k, v = (self._split(project(x)) for project in (self.query, self.key, self.value))
        mixed = functional.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        return mixed.transpose(1, 2).reshape(x.shape)

    def _split(self, x: Tensor) -> Tensor:
        return x.view(x.shape[0], x.shape[1], self.heads, -1).transpose(1, 2)


class Residual(nn.Module):
    """A projection, added to the input of the block before it, then normalised."""

    def __init__(self, c: BertConfig, width: int) -> None:
        super().__init__()
        self.dense = Linear(width, c.hidden_size)
        self.LayerNorm = LayerNorm(c.hidden_size, eps=c.layer_norm_eps)

    def forward(self, x: Tensor, before: Tensor) -> Tensor:
        return self.LayerNorm(self.dense(x) + before)  # type: ignore[no-any-return]  # nn.Module.__call__ is untyped


class Layer(nn.Module):
    """Attention, then the feed-forward network. The module names are those of the checkpoint."""

    def __init__(self, c: BertConfig) -> None:
        super().__init__()
        self.attention = nn.ModuleDict({"self": SelfAttention(c), "output": Residual(c, c.hidden_size)})
        self.intermediate = nn.ModuleDict({"dense": Linear(c.hidden_size, c.intermediate_size)})
        self.output = Residual(c, c.intermediate_size)
        self.activation = c.activation

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        attended = self.attention["output"](self.attention["self"](x, mask), x)
        widened = self.activation(self.intermediate["dense"](attended))
        return self.output(widened, attended)  # type: ignore[no-any-return]  # nn.Module.__call__ is untyped


class Bert(nn.Module):
    """Token ids [n, t] and a mask of real tokens [n, t] (None: no padding) become states [n, t, hidden]."""

    def __init__(self, c: BertConfig) -> None:
        super().__init__()
        self.embeddings = Embeddings(c)
        self.encoder = nn.ModuleDict({"layer": nn.ModuleList(Layer(c) for _ in range(c.num_hidden_layers))})

    def forward(self, ids: Tensor, mask: Tensor | None) -> Tensor:
        x: Tensor = self.embeddings(ids)
        attention_mask = None if mask is None else mask[:, None, None, :]
        for layer in cast("nn.ModuleList", self.encoder["layer"]):
            x = layer(x, attention_mask)
        return x


def build(config: BertConfig, weights: dict[str, Tensor]) -> Bert:
    """The network with `weights` as its parameters, not copied. Raises PackageError if names or shapes do not fit.

    A `bert.` prefix is removed; heads and buffers that an embedding does not use are left out.
    """
    with torch.device("meta"):
        network = Bert(config)
    named = {key.removeprefix("bert."): tensor for key, tensor in weights.items()}
    encoder = {
        key: tensor.float() if tensor.is_floating_point() else tensor
        for key, tensor in named.items()
        if key.startswith(("embeddings.", "encoder.")) and key != "embeddings.position_ids"
    }
    try:
        network.load_state_dict(encoder, strict=True, assign=True)
    except RuntimeError as error:
        raise PackageError(f"the weights do not fit the architecture in model.json: {error}") from error
    return network.eval().requires_grad_(requires_grad=False)
