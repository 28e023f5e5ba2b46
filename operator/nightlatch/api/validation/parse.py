"""Raw objects to typed resources, with the checks that the CRD's schema cannot make. Pure."""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from nightlatch.api.client import ClientSpec, ClientStatus, InferenceClient
from nightlatch.api.endpoint import EndpointSpec, EndpointStatus, InferenceEndpoint
from nightlatch.api.issuer import IssuerSpec, IssuerStatus, TokenIssuer
from nightlatch.api.meta import API_VERSION, ObjectMeta
from nightlatch.api.validation.causes import Cause, causes_of, joined

_Model = TypeVar("_Model", bound=BaseModel)


class ParseError(ValueError):
    """The object is not valid. `causes` say for each field what to write instead; they contain no secret."""

    def __init__(self, causes: tuple[Cause, ...]) -> None:
        self.causes = causes
        super().__init__(joined(causes))


def parse_endpoint(raw: Mapping[str, Any]) -> InferenceEndpoint:
    """Raises ParseError."""
    metadata = _metadata(raw, "InferenceEndpoint")
    spec = _part(EndpointSpec, raw, "spec")
    return InferenceEndpoint(metadata=metadata, spec=spec, status=_status(EndpointStatus, raw))


def parse_client(raw: Mapping[str, Any]) -> InferenceClient:
    """Raises ParseError."""
    metadata = _metadata(raw, "InferenceClient")
    spec = _part(ClientSpec, raw, "spec")
    return InferenceClient(metadata=metadata, spec=spec, status=_status(ClientStatus, raw))


def parse_issuer(raw: Mapping[str, Any]) -> TokenIssuer:
    """Raises ParseError."""
    metadata = _metadata(raw, "TokenIssuer")
    spec = _part(IssuerSpec, raw, "spec")
    return TokenIssuer(metadata=metadata, spec=spec, status=_status(IssuerStatus, raw))


# By the name of the kind, for callers that have an object of any of the three.
PARSERS: dict[str, Callable[[Mapping[str, Any]], InferenceEndpoint | InferenceClient | TokenIssuer]] = {
    "InferenceEndpoint": parse_endpoint,
    "InferenceClient": parse_client,
    "TokenIssuer": parse_issuer,
}


def _metadata(raw: Mapping[str, Any], kind: str) -> ObjectMeta:
    for field, wanted in (("apiVersion", API_VERSION), ("kind", kind)):
        if raw.get(field) != wanted:
            raise ParseError(((field, f"write {wanted}"),))
    return _part(ObjectMeta, raw, "metadata")


def _part(model: type[_Model], raw: Mapping[str, Any], field: str) -> _Model:
    if field not in raw:
        raise ParseError(((field, "is required"),))
    try:
        return model.model_validate(without_nulls(raw[field]))
    except ValidationError as error:
        raise ParseError(causes_of(error, model, field)) from None


def _status(model: type[_Model], raw: Mapping[str, Any]) -> _Model:
    """The status as last written. One that is not valid counts as empty: the operator will write a new one."""
    try:
        return model.model_validate(raw.get("status") or {})
    except ValidationError:
        return model()


def without_nulls(value: Any) -> Any:
    """Nulls removed: as for an API server, a field that is null is a field left out."""
    if isinstance(value, Mapping):
        return {key: without_nulls(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [without_nulls(item) for item in value]
    return value
