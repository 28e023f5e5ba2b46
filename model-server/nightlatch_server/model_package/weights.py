"""The safetensors format, checked before any tensor is made of it.

A file has three parts: the length of the header (8 bytes, little-endian), the header (JSON: name → dtype, shape,
data_offsets), and the data. Format: https://github.com/huggingface/safetensors#format. The safetensors library copies
each tensor when it is given bytes. Here the tensors are views of the buffer that was hashed, so the verified bytes are
the loaded bytes and are in memory once.
"""

import math
from dataclasses import dataclass
from typing import Any, TypeGuard

import orjson

from nightlatch_server.model_package.manifest import PackageError

HEADER_LIMIT = 16 << 20
TENSOR_LIMIT = 100_000

ITEM_SIZES = {
    "BOOL": 1, "U8": 1, "I8": 1, "U16": 2, "I16": 2, "F16": 2, "BF16": 2,
    "U32": 4, "I32": 4, "F32": 4, "U64": 8, "I64": 8, "F64": 8,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class TensorView:
    """Where one tensor is stored: `begin` and `end` are byte offsets in the whole file."""

    dtype: str
    shape: tuple[int, ...]
    begin: int
    end: int


def header_length(prefix: bytes, file_size: int, name: str) -> int:
    """The length of the header, read from the first 8 bytes. Raises PackageError if it does not fit the file."""
    if len(prefix) < 8:
        raise PackageError(f"{name} is too short to be a safetensors file")
    length = int.from_bytes(prefix[:8], "little")
    if length > HEADER_LIMIT:
        raise PackageError(f"{name}: the header has {length} bytes, {HEADER_LIMIT} at most; is it a safetensors file?")
    if 8 + length > file_size:
        raise PackageError(f"{name}: the header of {length} bytes is longer than the file, which was cut short")
    return length


def parse(buffer: memoryview, name: str) -> dict[str, TensorView]:
    """The tensors of a complete safetensors file. Raises PackageError unless they fill the data exactly."""
    length = header_length(bytes(buffer[:8]), len(buffer), name)
    header = _header(bytes(buffer[8 : 8 + length]), name)
    views = {key: _view(entry, 8 + length, f"{name}: tensor {key!r}") for key, entry in header.items()}
    _check_tiling(views, 8 + length, len(buffer), name)
    return views


def _header(raw: bytes, name: str) -> dict[str, Any]:
    try:
        header = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise PackageError(f"{name}: the header is not JSON: {error}") from error
    if not isinstance(header, dict) or len(header) > TENSOR_LIMIT:
        raise PackageError(f"{name}: the header must be an object of at most {TENSOR_LIMIT} tensors")
    header.pop("__metadata__", None)
    return header


def _view(entry: object, start: int, where: str) -> TensorView:
    if not isinstance(entry, dict) or entry.get("dtype") not in ITEM_SIZES:
        raise PackageError(f"{where}: unknown dtype; use one of {', '.join(ITEM_SIZES)}")
    shape, offsets = entry.get("shape"), entry.get("data_offsets")
    if not _is_sizes(shape) or not _is_sizes(offsets) or len(offsets) != 2:
        raise PackageError(f"{where}: shape and data_offsets must be lists of sizes")
    begin, end = offsets
    if end - begin != math.prod(shape) * ITEM_SIZES[entry["dtype"]]:
        raise PackageError(f"{where}: {end - begin} bytes of data do not fit shape {shape} of {entry['dtype']}")
    return TensorView(entry["dtype"], tuple(shape), start + begin, start + end)


def _is_sizes(value: object) -> TypeGuard[list[int]]:
    return isinstance(value, list) and len(value) <= 16 and all(type(n) is int and n >= 0 for n in value)


def _check_tiling(views: dict[str, TensorView], start: int, end: int, name: str) -> None:
    at = start
    for key, view in sorted(views.items(), key=lambda item: (item[1].begin, item[1].end)):
        if view.begin != at:
            raise PackageError(f"{name}: tensor {key!r} overlaps another or leaves a gap")
        at = view.end
    if at != end:
        raise PackageError(f"{name}: the tensors end at byte {at}, but the file ends at byte {end}")
