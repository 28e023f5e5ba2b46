"""A raw object of ours as a Subject: parsed where it can be, with the reason where it is not acted on."""

from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from nightlatch.api import support
from nightlatch.api.client import ClientStatus
from nightlatch.api.conditions import Reason
from nightlatch.api.endpoint import EndpointStatus
from nightlatch.api.issuer import IssuerStatus
from nightlatch.api.meta import ObjectMeta, RawObject
from nightlatch.api.parse import ParseError, parse_client, parse_endpoint, parse_issuer
from nightlatch.api.support import Unsupported
from nightlatch.planning.observed import ClientSubject, EndpointSubject, IssuerSubject, Rejection
from nightlatch.planning.settings import Settings

ModelT = TypeVar("ModelT", bound=BaseModel)


def read_endpoint(raw: RawObject, settings: Settings) -> EndpointSubject:
    """Never raises for a bad spec: `rejection` says what is wrong with it."""
    try:
        parsed = parse_endpoint(raw)
    except ParseError as error:
        return EndpointSubject(raw["kind"], _metadata(raw), None, _status(EndpointStatus, raw), _invalid(error))
    rejection = _unsupported(support.unsupported_in_endpoint(parsed, settings.platform))
    return EndpointSubject(raw["kind"], parsed.metadata, parsed.spec, parsed.status, rejection)


def read_client(raw: RawObject) -> ClientSubject:
    """As `read_endpoint`."""
    try:
        parsed = parse_client(raw)
    except ParseError as error:
        return ClientSubject(raw["kind"], _metadata(raw), None, _status(ClientStatus, raw), _invalid(error))
    rejection = _unsupported(support.unsupported_in_client(parsed))
    return ClientSubject(raw["kind"], parsed.metadata, parsed.spec, parsed.status, rejection)


def read_issuer(raw: RawObject) -> IssuerSubject:
    """As `read_endpoint`."""
    try:
        parsed = parse_issuer(raw)
    except ParseError as error:
        return IssuerSubject(raw["kind"], _metadata(raw), None, _status(IssuerStatus, raw), _invalid(error))
    rejection = _unsupported(support.unsupported_in_issuer(parsed))
    return IssuerSubject(raw["kind"], parsed.metadata, parsed.spec, parsed.status, rejection)


def _metadata(raw: RawObject) -> ObjectMeta:
    return ObjectMeta.model_validate(raw["metadata"])


def _status(model: type[ModelT], raw: dict[str, Any]) -> ModelT:
    try:
        return model.model_validate(raw.get("status") or {})
    except ValidationError:
        return model()


def _invalid(error: ParseError) -> Rejection:
    return Rejection(Reason.INVALID, str(error))


def _unsupported(found: tuple[Unsupported, ...]) -> Rejection | None:
    return Rejection(found[0].reason, support.message(found)) if found else None
