"""Open Inference Protocol v2 over REST: request bodies become checked tensors, results become response bodies. Pure.

https://github.com/kserve/open-inference-protocol/blob/main/specification/protocol/inference_rest.md
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from nightlatch_server import __version__, caller_errors
from nightlatch_server.model_package.manifest import Manifest, TensorSpec
from nightlatch_server.request_error import RequestError

SERVER_METADATA = {"name": "nightlatch", "version": __version__, "extensions": []}

_INTEGERS = {
    "INT8": (-(1 << 7), (1 << 7) - 1), "INT16": (-(1 << 15), (1 << 15) - 1), "INT32": (-(1 << 31), (1 << 31) - 1),
    "INT64": (-(1 << 63), (1 << 63) - 1), "UINT8": (0, (1 << 8) - 1), "UINT16": (0, (1 << 16) - 1),
    "UINT32": (0, (1 << 32) - 1), "UINT64": (0, (1 << 64) - 1),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Tensor:
    """A checked input. `data` is flat, in row-major order, and has exactly product(shape) elements."""

    spec: TensorSpec
    shape: tuple[int, ...]
    data: list[Any]


@dataclass(frozen=True, slots=True)
class InferRequest:
    """A checked request. `id` is None if none was sent; `outputs` are the requested names, in order."""

    id: str | None
    inputs: Mapping[str, Tensor]
    outputs: Sequence[str]


def model_metadata(name: str, manifest: Manifest, digest: str) -> dict[str, object]:
    """The answer to GET /v2/models/NAME. `digest`: of the model package."""
    return {
        "name": name,
        "versions": [manifest.version],
        "platform": "pytorch_safetensors",
        "inputs": [spec.as_json() for spec in manifest.inputs],
        "outputs": [spec.as_json() for spec in manifest.outputs],
        "parameters": {"digest": digest},
    }


def parse_infer(body: bytes, manifest: Manifest) -> InferRequest:
    """Check an inference request against the model's signature. Raises RequestError 400."""
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise _bad(f"the body is not JSON: {error}") from error
    if not isinstance(value, dict):
        raise _bad("the body must be a JSON object")
    if _parameters(value, "the request").get("binary_data_output"):
        raise _no_binary("binary_data_output")
    identity = value.get("id")
    if "id" in value and not isinstance(identity, str):
        raise _bad("id must be a string")
    return InferRequest(identity, _inputs(value.get("inputs"), manifest), _outputs(value.get("outputs"), manifest))


def infer_response(
    name: str, version: str, request: InferRequest, results: Mapping[str, tuple[TensorSpec, Sequence[int], object]]
) -> dict[str, object]:
    """The answer to `request`. `results` has spec, shape and flat data (a list or 1-D numpy array) of each output."""
    outputs = [
        {"name": spec.name, "datatype": spec.datatype, "shape": list(shape), "data": data}
        for spec, shape, data in (results[output] for output in request.outputs)
    ]
    answer: dict[str, object] = {"model_name": name, "model_version": version, "outputs": outputs}
    if request.id is not None:
        answer["id"] = request.id
    return answer


def _bad(message: str) -> RequestError:
    return RequestError(caller_errors.INVALID_REQUEST, message)


def _no_binary(what: str) -> RequestError:
    return _bad(f"{what}: this server has no binary tensor extension (see /v2 extensions); send and request JSON data")


def _parameters(value: dict[str, Any], where: str) -> dict[str, Any]:
    parameters = value.get("parameters", {})
    if not isinstance(parameters, dict):
        raise _bad(f"parameters of {where} must be an object")
    return parameters


def _named(items: object, key: str, known: Sequence[TensorSpec]) -> list[tuple[TensorSpec, dict[str, Any]]]:
    """The entries of `inputs` or `outputs` with their specs. Every name must be known and occur once."""
    if not isinstance(items, list):
        raise _bad(f"{key} must be a list")
    specs = {spec.name: spec for spec in known}
    found: dict[str, tuple[TensorSpec, dict[str, Any]]] = {}
    for item in items:
        if not isinstance(item, dict) or not isinstance(item.get("name"), str):
            raise _bad(f"each of {key} must be an object with a name")
        name = item["name"]
        if name not in specs:
            raise _bad(f"unknown name in {key}: {name[:64]!r}; the model has: {', '.join(specs)}")
        if name in found:
            raise _bad(f"{name!r} occurs twice in {key}")
        found[name] = (specs[name], item)
    return list(found.values())


def _outputs(items: object, manifest: Manifest) -> list[str]:
    if items is None or items == []:
        return [spec.name for spec in manifest.outputs]
    named = _named(items, "outputs", manifest.outputs)
    for spec, item in named:
        if _parameters(item, f"output {spec.name!r}").get("binary_data"):
            raise _no_binary("binary_data")
    return [spec.name for spec, _ in named]


def _inputs(items: object, manifest: Manifest) -> dict[str, Tensor]:
    tensors = {spec.name: _tensor(spec, item) for spec, item in _named(items, "inputs", manifest.inputs)}
    missing = [spec.name for spec in manifest.inputs if spec.name not in tensors]
    if missing:
        raise _bad(f"inputs lacks: {', '.join(missing)}")
    return tensors


def _tensor(spec: TensorSpec, item: dict[str, Any]) -> Tensor:
    if "binary_data_size" in _parameters(item, f"input {spec.name!r}"):
        raise _no_binary("binary_data_size")
    if item.get("datatype") != spec.datatype:
        raise _bad(f"input {spec.name!r} must have datatype {spec.datatype}")
    shape = _shape(spec, item.get("shape"))
    data = _flat(spec.name, shape, item.get("data"))
    _check_elements(spec, data)
    return Tensor(spec, shape, data)


def _shape(spec: TensorSpec, shape: object) -> tuple[int, ...]:
    if not isinstance(shape, list) or not all(type(n) is int and n >= 0 for n in shape):
        raise _bad(f"shape of input {spec.name!r} must be a list of sizes, none negative")
    fits = len(shape) == len(spec.shape) and all(want in (-1, n) for want, n in zip(spec.shape, shape, strict=True))
    if not fits:
        raise _bad(f"shape of input {spec.name!r} is {shape[:16]}, but the model takes {list(spec.shape)}")
    return tuple(shape)


def _flat(name: str, shape: tuple[int, ...], data: object) -> list[Any]:
    """`data` as a flat list. It must be flat already, or nested exactly as `shape` says."""
    if not isinstance(data, list):
        raise _bad(f"input {name!r} needs data, which must be a list")
    if not data or not isinstance(data[0], list):
        _check_count(name, shape, len(data), math.prod(shape))
        return data
    _check_count(name, shape, len(data), shape[0] if shape else 1)
    for size in shape[1:]:
        if not all(isinstance(part, list) and len(part) == size for part in data):
            raise _bad(f"data of input {name!r} is not nested as its shape {list(shape)} says")
        data = [element for part in data for element in part]
    return data


def _check_count(name: str, shape: tuple[int, ...], found: int, needed: int) -> None:
    if found != needed:
        raise _bad(f"data of input {name!r} has {found} elements, but its shape {list(shape)} needs {needed}")


def _check_elements(spec: TensorSpec, data: list[Any]) -> None:
    if spec.datatype == "BYTES":
        fits = all(type(x) is str for x in data)
    elif spec.datatype == "BOOL":
        fits = all(type(x) is bool for x in data)
    elif spec.datatype in _INTEGERS:
        low, high = _INTEGERS[spec.datatype]
        fits = all(type(x) is int and low <= x <= high for x in data)
    else:
        fits = all(type(x) is float or type(x) is int for x in data)
    if not fits:
        raise _bad(f"data of input {spec.name!r} has an element that is not of datatype {spec.datatype}")
