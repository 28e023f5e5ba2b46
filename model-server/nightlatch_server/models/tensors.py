"""Verified safetensors bytes as torch tensors, without a copy."""

import torch

from nightlatch_server.model_package import weights
from nightlatch_server.model_package.manifest import PackageError
from nightlatch_server.model_package.reader import Package

_DTYPES = {
    "BOOL": torch.bool, "U8": torch.uint8, "I8": torch.int8, "U16": torch.uint16, "I16": torch.int16,
    "F16": torch.float16, "BF16": torch.bfloat16, "U32": torch.uint32, "I32": torch.int32, "F32": torch.float32,
    "U64": torch.uint64, "I64": torch.int64, "F64": torch.float64,
}  # fmt: skip


def state_dict(package: Package) -> dict[str, torch.Tensor]:
    """The tensors of all safetensors files of the package, by name. They share the package's memory."""
    tensors: dict[str, torch.Tensor] = {}
    for name, buffer in package.files.items():
        if not name.endswith(".safetensors"):
            continue
        for key, view in weights.parse(buffer, name).items():
            if key in tensors:
                raise PackageError(f"{name}: tensor {key!r} is also in another file")
            tensors[key] = _tensor(buffer, view)
    return tensors


def _tensor(buffer: memoryview, view: weights.TensorView) -> torch.Tensor:
    dtype = _DTYPES[view.dtype]
    if view.begin == view.end:
        return torch.empty(view.shape, dtype=dtype)
    raw = buffer[view.begin : view.end]
    if view.begin % dtype.itemsize:
        raw = memoryview(bytearray(raw))
    return torch.frombuffer(raw, dtype=dtype).reshape(view.shape)
