"""From a Hugging Face BERT directory to a model package. Imports no torch."""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path
from typing import Any

import orjson

from nightlatch_server.model_package import manifest as manifests
from nightlatch_server.model_package import reader as package
from nightlatch_server.model_package.manifest import Batching, FileSpec, Manifest, PackageError, TensorSpec

_BERT_KEYS = (
    "hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size", "vocab_size",
    "max_position_embeddings", "type_vocab_size", "layer_norm_eps", "hidden_act", "pad_token_id",
)  # fmt: skip


def write(source: Path, target: Path | None, *, name: str | None, version: str) -> str:
    """See `package.write_package`."""
    files = _source_files(source)
    if target is None or target.resolve() == source.resolve():
        package.refuse_unsafe_files(source)
        directory = source
    else:
        directory = target
        files = _copy(files, target)
    config = embedding_config(source)
    manifest = Manifest(
        name=name or source.resolve().name,
        version=version,
        architecture="text-embedding",
        config=config,
        inputs=(TensorSpec("text", "BYTES", (-1,)),),
        outputs=(TensorSpec("embedding", "FP32", (-1, config["hidden_size"])),),
        batching=Batching(),
        files={path.name: _file_spec(path) for path in files},
    )
    raw = manifests.render(manifest)
    manifests.parse(raw)
    _write_atomically(directory / package.MANIFEST_NAME, raw)
    return package.verify(directory)


def embedding_config(source: Path) -> dict[str, Any]:
    """What the `text-embedding` architecture needs to know, from the source's several config files."""
    bert = _json(source / "config.json")
    if bert.get("model_type") != "bert":
        raise PackageError(
            f'config.json says "model_type": {bert.get("model_type")!r}; only the BERT family ("bert") can be packaged'
        )
    if bert.get("position_embedding_type", "absolute") != "absolute":
        raise PackageError("config.json: only absolute position embeddings are supported")
    missing = [key for key in _BERT_KEYS[:6] if key not in bert]
    if missing:
        raise PackageError(f"config.json lacks {', '.join(missing)}; is it a BERT model's?")
    config = {key: bert[key] for key in _BERT_KEYS if key in bert}
    config["max_tokens"] = _max_tokens(source, int(bert["max_position_embeddings"]))
    config["pooling"] = _pooling(source)
    config["normalize"] = _normalizes(source)
    return config


def _max_tokens(source: Path, positions: int) -> int:
    sentence = _optional(source / "sentence_bert_config.json").get("max_seq_length")
    tokenizer = _optional(source / "tokenizer_config.json").get("model_max_length")
    limit = sentence or tokenizer or positions
    return min(int(limit), positions)


def _pooling(source: Path) -> str:
    pooling = _optional(source / "1_Pooling" / "config.json")
    chosen = sorted(key.removeprefix("pooling_mode_") for key, on in pooling.items() if on is True and "mode" in key)
    known = {"mean_tokens": "mean", "cls_token": "cls"}
    if not chosen:
        return "mean"
    if len(chosen) > 1 or chosen[0] not in known:
        raise PackageError(
            f"1_Pooling/config.json asks for {' + '.join(chosen)}; mean_tokens or cls_token can be served"
        )
    return known[chosen[0]]


def _normalizes(source: Path) -> bool:
    path = source / "modules.json"
    if not path.exists():
        return True
    kinds = [str(module.get("type", "")).rsplit(".", 1)[-1] for module in _json_list(path)]
    unknown = [kind for kind in kinds if kind not in {"Transformer", "Pooling", "Normalize"}]
    if unknown:
        raise PackageError(
            f"modules.json has a module {unknown[0]!r}; Transformer, Pooling and Normalize can be served"
        )
    return "Normalize" in kinds


def _source_files(source: Path) -> list[Path]:
    if not source.is_dir():
        raise PackageError(f"{source} is not a directory; give one with config.json, tokenizer.json and *.safetensors")
    for name in ("config.json", "tokenizer.json"):
        if not (source / name).is_file():
            raise PackageError(
                f"{source} has no {name}; a package is made of config.json, tokenizer.json, *.safetensors"
            )
    tensors = sorted(source.glob("*.safetensors"))
    if not tensors:
        raise PackageError(f"{source} has no *.safetensors file; save the model with safe_serialization=True")
    return [source / "tokenizer.json", *tensors]


def _copy(files: list[Path], target: Path) -> list[Path]:
    target.mkdir(parents=True, exist_ok=True)
    if any(target.iterdir()) and not (target / package.MANIFEST_NAME).exists():
        raise PackageError(f"{target} is neither empty nor a model package; give a new directory")
    keep = {file.name for file in files}
    for old in target.glob("*.safetensors"):
        if old.name not in keep:
            old.unlink()
    return [Path(shutil.copyfile(file, _replaced(target / file.name))) for file in files]


def _replaced(path: Path) -> Path:
    """A running server may have the old file open: give the new one an inode of its own."""
    path.unlink(missing_ok=True)
    return path


def _file_spec(path: Path) -> FileSpec:
    with path.open("rb") as file:
        sha = hashlib.file_digest(file, "sha256").hexdigest()
        return FileSpec(sha256=sha, size=os.fstat(file.fileno()).st_size)


def _write_atomically(path: Path, raw: bytes) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_bytes(raw)
    temporary.replace(path)


def _json(path: Path) -> dict[str, Any]:
    value = _load(path)
    if not isinstance(value, dict):
        raise PackageError(f"{path.name} must be a JSON object")
    return value


def _json_list(path: Path) -> list[dict[str, Any]]:
    value = _load(path)
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise PackageError(f"{path.name} must be a list of JSON objects")
    return value


def _load(path: Path) -> Any:
    try:
        return orjson.loads(path.read_bytes())
    except (OSError, orjson.JSONDecodeError) as error:
        raise PackageError(f"{path} can't be read: {error}") from error


def _optional(path: Path) -> dict[str, Any]:
    return _json(path) if path.exists() else {}
