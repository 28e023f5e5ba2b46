"""Make a model package of a model in Hugging Face's BERT layout."""

import hashlib
import os
import shutil
from pathlib import Path
from typing import Any

import orjson

from nightlatch_server.model_package import manifest as manifests
from nightlatch_server.model_package.manifest import (
    MANIFEST_NAME,
    Batching,
    FileSpec,
    Manifest,
    PackageError,
    TensorSpec,
)
from nightlatch_server.model_package.reader import verify
from nightlatch_server.model_package.safety import refuse_unsafe_files

_BERT_KEYS = (
    "hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size", "vocab_size",
    "max_position_embeddings", "type_vocab_size", "layer_norm_eps", "hidden_act", "pad_token_id",
)  # fmt: skip


def write_package(
    source: Path | str,
    target: Path | str | None = None,
    *,
    name: str | None = None,
    version: str = "1",
) -> str:
    """Make a package of your own model and return its digest.

    `source` is a directory in Hugging Face's BERT layout: `config.json`, `tokenizer.json`, one or more `*.safetensors`,
    and optionally sentence-transformers' `modules.json`, `sentence_bert_config.json` and `1_Pooling/config.json`.
    With `target` (a new or empty directory, or a package to replace) the needed files are copied there; without it only
    `model.json` is written, into `source` itself. `name` is the name callers use; the default is the name of `source`.
    The same source gives the same digest. Raises PackageError with a message that says what to do.
    """
    source = Path(source)
    directory = source if target is None else Path(target)
    files = _source_files(source)
    if directory.resolve() == source.resolve():
        refuse_unsafe_files(source)
    else:
        files = _copy(files, directory)
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
    temporary = directory / f".{MANIFEST_NAME}.{os.getpid()}"
    temporary.write_bytes(raw)
    temporary.replace(directory / MANIFEST_NAME)
    return verify(directory)


def embedding_config(source: Path) -> dict[str, Any]:
    """The configuration of the `text-embedding` architecture, collected from the config files in `source`."""
    bert = _json(source / "config.json")
    if bert.get("model_type") != "bert":
        raise PackageError(
            f'config.json says "model_type": {bert.get("model_type")!r}; only the BERT family ("bert") can be packaged'
        )
    if bert.get("position_embedding_type", "absolute") != "absolute":
        raise PackageError("config.json: only absolute position embeddings are supported")
    missing = [key for key in _BERT_KEYS[:6] if key not in bert]
    if missing:
        raise PackageError(f"config.json lacks {', '.join(missing)}; is this a BERT model?")
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
            f"1_Pooling/config.json asks for {' + '.join(chosen)}; only mean_tokens or cls_token can be served"
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
            f"modules.json has a module {unknown[0]!r}; only Transformer, Pooling and Normalize can be served"
        )
    return "Normalize" in kinds


def _source_files(source: Path) -> list[Path]:
    if not source.is_dir():
        raise PackageError(f"{source} is not a directory; give one with config.json, tokenizer.json and *.safetensors")
    for name in ("config.json", "tokenizer.json"):
        if not (source / name).is_file():
            raise PackageError(f"{source} has no {name}; a package needs config.json, tokenizer.json and *.safetensors")
    tensors = sorted(source.glob("*.safetensors"))
    if not tensors:
        raise PackageError(f"{source} has no *.safetensors file; save the model with safe_serialization=True")
    return [source / "tokenizer.json", *tensors]


def _copy(files: list[Path], target: Path) -> list[Path]:
    target.mkdir(parents=True, exist_ok=True)
    if any(target.iterdir()) and not (target / MANIFEST_NAME).exists():
        raise PackageError(f"{target} is neither empty nor a model package; give a new directory")
    keep = {file.name for file in files}
    for old in target.glob("*.safetensors"):
        if old.name not in keep:
            old.unlink()
    copies = [target / file.name for file in files]
    for file, copy in zip(files, copies, strict=True):
        # A running server may have the old file open: the copy must not share its inode.
        copy.unlink(missing_ok=True)
        shutil.copyfile(file, copy)
    return copies


def _file_spec(path: Path) -> FileSpec:
    with path.open("rb") as file:
        sha = hashlib.file_digest(file, "sha256").hexdigest()
        return FileSpec(sha256=sha, size=os.fstat(file.fileno()).st_size)


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
        raise PackageError(f"cannot read {path}: {error}") from error


def _optional(path: Path) -> dict[str, Any]:
    return _json(path) if path.exists() else {}
