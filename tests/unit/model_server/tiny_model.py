"""A BERT of a few kilobytes with random weights, in Hugging Face's layout: real in all but its usefulness."""

import json
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "a", "cat", "dog", "sat", "on", "the", "mat", "stocks", "fell", "today"]
HIDDEN, LAYERS, WIDE, POSITIONS = 16, 2, 32, 64

CONFIG = {
    "model_type": "bert",
    "hidden_size": HIDDEN,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": 2,
    "intermediate_size": WIDE,
    "vocab_size": len(WORDS),
    "max_position_embeddings": POSITIONS,
    "type_vocab_size": 2,
    "layer_norm_eps": 1e-12,
    "hidden_act": "gelu",
    "pad_token_id": 0,
}


def write(directory: Path) -> Path:
    """Write the model's files into `directory` and return it."""
    directory.mkdir(parents=True, exist_ok=True)
    save_file(weights(), directory / "model.safetensors")
    (directory / "config.json").write_text(json.dumps(CONFIG))
    (directory / "tokenizer.json").write_text(json.dumps(tokenizer()))
    return directory


def tokenizer() -> dict[str, object]:
    """A tokenizer.json: whole words, [CLS] before and [SEP] after."""
    special = {name: {"id": name, "ids": [WORDS.index(name)], "tokens": [name]} for name in ("[CLS]", "[SEP]")}
    single = [
        {"SpecialToken": {"id": "[CLS]", "type_id": 0}},
        {"Sequence": {"id": "A", "type_id": 0}},
        {"SpecialToken": {"id": "[SEP]", "type_id": 0}},
    ]
    post = {"type": "TemplateProcessing", "single": single, "pair": single, "special_tokens": special}
    vocabulary = {word: i for i, word in enumerate(WORDS)}
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [],
        "normalizer": {"type": "Lowercase"},
        "pre_tokenizer": {"type": "Whitespace"},
        "post_processor": post,
        "decoder": None,
        "model": {"type": "WordLevel", "vocab": vocabulary, "unk_token": "[UNK]"},
    }


def weights() -> dict[str, np.ndarray]:
    """All tensors of the network, and two that an embedding doesn't use."""
    random = np.random.default_rng(7)
    shapes = {
        "embeddings.word_embeddings.weight": (len(WORDS), HIDDEN),
        "embeddings.position_embeddings.weight": (POSITIONS, HIDDEN),
        "embeddings.token_type_embeddings.weight": (2, HIDDEN),
        **_norm("embeddings.LayerNorm"),
        **_linear("pooler.dense", HIDDEN, HIDDEN),
    }
    for i in range(LAYERS):
        shapes |= _layer(f"encoder.layer.{i}")
    return {name: random.normal(0, 0.3, shape).astype(np.float32) for name, shape in shapes.items()}


def _layer(name: str) -> dict[str, tuple[int, ...]]:
    attention = f"{name}.attention"
    return {
        **_linear(f"{attention}.self.query", HIDDEN, HIDDEN),
        **_linear(f"{attention}.self.key", HIDDEN, HIDDEN),
        **_linear(f"{attention}.self.value", HIDDEN, HIDDEN),
        **_linear(f"{attention}.output.dense", HIDDEN, HIDDEN),
        **_norm(f"{attention}.output.LayerNorm"),
        **_linear(f"{name}.intermediate.dense", WIDE, HIDDEN),
        **_linear(f"{name}.output.dense", HIDDEN, WIDE),
        **_norm(f"{name}.output.LayerNorm"),
    }


def _linear(name: str, out: int, into: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": (out, into), f"{name}.bias": (out,)}


def _norm(name: str) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": (HIDDEN,), f"{name}.bias": (HIDDEN,)}
