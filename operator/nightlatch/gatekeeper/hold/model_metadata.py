"""What a model server says of its model, in the Open Inference Protocol: its inputs and outputs, and our digest."""

import re

import orjson

from nightlatch.wire.fields import Fields
from nightlatch.wire.report import ModelReport, Tensor
from nightlatch.wire.route_document import RouteDocument

_PATH = re.compile(r"/v2/models/[^/]+")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_NAME, _DATATYPE = re.compile(r"[ -~]{1,128}"), re.compile(r"[A-Z0-9]{1,16}")
# More than any model has. The API has the same bounds.
_MOST_TENSORS, _MOST_SIZES = 64, 16


class MetadataError(ValueError):
    """The answer is no description of a model."""


def metadata_path(document: RouteDocument) -> str | None:
    """Where the model server describes its model; None if it does not speak the protocol."""
    paths = (each.path for each in document.operations if (each.method, each.permission) == ("GET", "metadata"))
    return next((path for path in paths if _PATH.fullmatch(path)), None)


def read_metadata(body: bytes) -> ModelReport:
    """Raises MetadataError. Members that we do not know are ignored."""
    try:
        fields = Fields(orjson.loads(body), "metadata", MetadataError, lenient=True)
    except orjson.JSONDecodeError as error:
        raise MetadataError(f"not JSON: {error}") from None
    fields.default("parameters", None)
    digest = fields.optional("parameters", lambda name: fields.nested(name, _digest))
    return ModelReport(inputs=_tensors(fields, "inputs"), outputs=_tensors(fields, "outputs"), digest=digest or "")


def _digest(parameters: Fields) -> str | None:
    parameters.default("digest", None)
    return parameters.optional("digest", lambda name: parameters.text(name, _DIGEST, "a digest"))


def _tensors(fields: Fields, name: str) -> tuple[Tensor, ...]:
    found = fields.each(name, _tensor)
    if len(found) > _MOST_TENSORS or len({tensor.name for tensor in found}) < len(found):
        raise MetadataError(f"{name} are too many, or two have one name")
    return found


def _tensor(fields: Fields) -> Tensor:
    name, datatype = fields.text("name", _NAME, "a name"), fields.text("datatype", _DATATYPE, "a datatype")
    shape = fields.integers("shape")
    if len(shape) > _MOST_SIZES or not all(-1 <= size < 1 << 63 for size in shape):
        raise MetadataError("a shape is too long, or has a size that no tensor has")
    return Tensor(name, datatype, shape)
