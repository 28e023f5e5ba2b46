"""`model.json`, the manifest of a model package, parsed strictly."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeGuard

import orjson

SCHEMA = "nightlatch.dev/model-package/v1"
MANIFEST_NAME = "model.json"
MANIFEST_LIMIT = 1 << 20

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_FILE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]*(\.[A-Za-z0-9_-]+)+")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_DATATYPES = frozenset(
    {"BOOL", "INT8", "INT16", "INT32", "INT64", "UINT8", "UINT16", "UINT32", "UINT64"}
    | {"FP16", "BF16", "FP32", "FP64", "BYTES"}
)


class PackageError(Exception):
    """A model package cannot be used. The message says why and what to do."""


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """One input or output of the model. In `shape`, -1 means any size (the batch)."""

    name: str
    datatype: str
    shape: tuple[int, ...]

    def as_json(self) -> dict[str, object]:
        """The tensor in the form of Open Inference Protocol metadata."""
        return {"name": self.name, "datatype": self.datatype, "shape": list(self.shape)}


@dataclass(frozen=True, slots=True)
class FileSpec:
    """SHA-256 in hex and size in bytes."""

    sha256: str
    size: int


@dataclass(frozen=True, slots=True)
class Batching:
    """`max_cost` limits one batch, in tokens with padding or in rows, as the architecture counts."""

    max_cost: int = 2048


@dataclass(frozen=True, slots=True)
class Manifest:
    """A parsed model.json."""

    name: str
    version: str
    architecture: str
    config: Mapping[str, Any]
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    batching: Batching
    files: Mapping[str, FileSpec]


def render(manifest: Manifest) -> bytes:
    """The bytes of model.json. Equal content gives equal bytes and so an equal digest."""
    value = {
        "schema": SCHEMA,
        "name": manifest.name,
        "version": manifest.version,
        "architecture": manifest.architecture,
        "config": dict(sorted(manifest.config.items())),
        "inputs": [spec.as_json() for spec in manifest.inputs],
        "outputs": [spec.as_json() for spec in manifest.outputs],
        "batching": {"max_cost": manifest.batching.max_cost},
        "files": {name: {"sha256": f.sha256, "size": f.size} for name, f in sorted(manifest.files.items())},
    }
    return orjson.dumps(value, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)


def parse(raw: bytes) -> Manifest:
    """Parse the bytes of model.json. Raises PackageError."""
    try:
        value = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise PackageError(f"model.json is not JSON: {error}") from error
    if _object(value, "the document").get("schema") != SCHEMA:
        raise PackageError(f'model.json must say "schema": "{SCHEMA}"')
    return Manifest(
        name=_name(value, "name"),
        version=_name(value, "version"),
        architecture=_name(value, "architecture"),
        config=_object(value.get("config"), "'config'"),
        inputs=_tensors(value, "inputs"),
        outputs=_tensors(value, "outputs"),
        batching=_batching(value.get("batching", {})),
        files=_files(_object(value.get("files"), "'files'")),
    )


def check_file_name(name: str) -> None:
    """Raise PackageError for a name that could leave the directory or that has a format which can run code."""
    if not _matches(name, _FILE):
        raise PackageError(f"model.json names the file {name!r}; use plain names of files in the same directory only")
    if name != "tokenizer.json" and not name.endswith(".safetensors"):
        raise PackageError(f"model.json names the file {name!r}; a package has *.safetensors and tokenizer.json only")


def _is_int(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool)


def _matches(value: object, pattern: re.Pattern[str]) -> TypeGuard[str]:
    return isinstance(value, str) and pattern.fullmatch(value) is not None


def _name(value: dict[str, Any], key: str) -> str:
    text = value.get(key)
    if not _matches(text, _NAME):
        raise PackageError(f"model.json: {key!r} must be 1 to 128 letters, digits, '.', '_' or '-'")
    return text


def _object(value: object, what: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise PackageError(f"model.json: {what} must be an object")
    return value


def _tensors(value: dict[str, Any], key: str) -> tuple[TensorSpec, ...]:
    found = value.get(key)
    if not isinstance(found, list) or not found:
        raise PackageError(f"model.json: {key!r} must be a list of tensors")
    specs = tuple(_tensor(_object(item, f"each of {key!r}"), key) for item in found)
    if len({spec.name for spec in specs}) != len(specs):
        raise PackageError(f"model.json: a name occurs twice in {key!r}")
    return specs


def _tensor(item: dict[str, Any], key: str) -> TensorSpec:
    datatype, shape = item.get("datatype"), item.get("shape")
    if datatype not in _DATATYPES:
        raise PackageError(f"model.json: a datatype of {key!r} is unknown: {datatype!r}")
    if not isinstance(shape, list) or not all(_is_int(n) and n >= -1 for n in shape):
        raise PackageError(f"model.json: a shape of {key!r} must be a list of sizes, -1 for any")
    return TensorSpec(_name(item, "name"), str(datatype), tuple(shape))


def _batching(value: object) -> Batching:
    cost = _object(value, "'batching'").get("max_cost", Batching().max_cost)
    if not _is_int(cost) or cost < 1:
        raise PackageError("model.json: 'batching.max_cost' must be a positive integer")
    return Batching(max_cost=cost)


def _files(value: dict[str, Any]) -> dict[str, FileSpec]:
    if not value:
        raise PackageError("model.json: 'files' is empty; it must list each file with sha256 and size")
    return {name: _file(name, entry) for name, entry in value.items()}


def _file(name: str, entry: object) -> FileSpec:
    check_file_name(name)
    spec = _object(entry, f"files[{name!r}]")
    digest, size = spec.get("sha256"), spec.get("size")
    if not _matches(digest, _SHA256):
        raise PackageError(f"model.json: files[{name!r}].sha256 must be 64 lower-case hex digits")
    if not _is_int(size) or size < 0:
        raise PackageError(f"model.json: files[{name!r}].size must be a number of bytes")
    return FileSpec(sha256=digest, size=size)
