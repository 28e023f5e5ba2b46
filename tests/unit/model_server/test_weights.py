"""No byte of a safetensors file becomes a tensor unless the whole header makes sense."""

import json
import struct

import numpy as np
import pytest
from safetensors.numpy import save

from nightlatch_server.model_package import weights
from nightlatch_server.model_package.manifest import PackageError

ONE = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}


def file(header: object, data: bytes = bytes(8)) -> memoryview:
    raw = header if isinstance(header, bytes) else json.dumps(header).encode()
    return memoryview(struct.pack("<Q", len(raw)) + raw + data)


def test_what_the_library_writes_is_read_the_same() -> None:
    tensors: dict[str, np.ndarray] = {
        "a": np.arange(6, dtype=np.float32).reshape(2, 3),
        "b": np.array([7], np.int64),
        "empty": np.zeros((0, 4), np.float16),
    }
    buffer = memoryview(save(tensors, {"format": "np"}))
    views = weights.parse(buffer, "x")
    assert {k: v.shape for k, v in views.items()} == {k: v.shape for k, v in tensors.items()}
    for name, view in views.items():
        assert bytes(buffer[view.begin : view.end]) == tensors[name].tobytes()


@pytest.mark.parametrize(
    ("buffer", "says"),
    [
        (memoryview(b"short"), "too short"),
        (memoryview(struct.pack("<Q", 1 << 62) + b"{}"), "is it a safetensors file"),
        (memoryview(struct.pack("<Q", 1 << 20) + b"{}"), "cut short"),
        (memoryview(b"\x80\x04\x95" + bytes(60)), "is it a safetensors file|cut short|not JSON"),
        (file(b"not json"), "not JSON"),
        (file([]), "must be an object"),
        (file({"a": ONE | {"dtype": "OBJECT"}}), "unknown dtype"),
        (file({"a": ONE | {"shape": [3]}}), "do not fit shape"),
        (file({"a": ONE | {"shape": [-2]}}), "lists of sizes"),
        (file({"a": ONE | {"shape": [True, 2]}}), "lists of sizes"),
        (file({"a": ONE | {"shape": [1 << 40, 1 << 40]}}), "do not fit shape"),
        (file({"a": ONE | {"data_offsets": [0]}}), "lists of sizes"),
        (file({"a": ONE | {"data_offsets": [8, 0]}}), "do not fit shape"),
        (file({"a": ONE, "b": ONE}), "overlaps"),
        (file({"a": ONE | {"data_offsets": [4, 12]}}, bytes(12)), "leaves a gap"),
        (file({"a": ONE | {"data_offsets": [8, 16]}}), "leaves a gap"),
        (file({"a": ONE}, bytes(9)), "the tensors end at byte"),
        (file({"a": ONE}, bytes(4)), "the tensors end at byte"),
        (file({"a": []}), "unknown dtype"),
    ],
)
def test_a_header_that_lies_is_refused(buffer: memoryview, says: str) -> None:
    with pytest.raises(PackageError, match=says):
        weights.parse(buffer, "model.safetensors")
