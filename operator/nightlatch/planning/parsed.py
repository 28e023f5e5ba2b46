"""Our objects after parsing: the parsed spec, or the reason why the spec is rejected."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ValidationError

from nightlatch.api.client import ClientSpec, ClientStatus, InferenceClient
from nightlatch.api.conditions import Reason
from nightlatch.api.endpoint import EndpointSpec, EndpointStatus
from nightlatch.api.issuer import IssuerSpec, IssuerStatus
from nightlatch.api.meta import NamespacedName, ObjectMeta, ObjectRef, RawObject
from nightlatch.api.validation import unsupported
from nightlatch.api.validation.allowed import identities_of_ours, not_allowed, not_allowed_to_client
from nightlatch.api.validation.parse import ParseError, parse_client, parse_endpoint, parse_issuer
from nightlatch.api.validation.unsupported import Unsupported
from nightlatch.planning.settings import Settings

ModelT = TypeVar("ModelT", bound=BaseModel)
SpecT = TypeVar("SpecT", EndpointSpec, ClientSpec, IssuerSpec)
StatusT = TypeVar("StatusT", EndpointStatus, ClientStatus, IssuerStatus)


@dataclass(frozen=True, slots=True)
class Rejection:
    """Why a spec or a grant is not acted on, with a message that says what to do."""

    reason: Reason
    message: str


@dataclass(frozen=True)  # no slots: Python 3.11 cannot make a parametrised generic that is frozen and slotted
class Parsed(Generic[SpecT, StatusT]):
    """One of our objects. `spec` is None if it could not be parsed; `rejection` then says why.

    namespace_labels: of a client's namespace, which decide whether endpoints elsewhere let it in.
    """

    kind: str
    metadata: ObjectMeta
    spec: SpecT | None
    status: StatusT
    rejection: Rejection | None = None
    namespace_labels: Mapping[str, str] = field(default_factory=dict)

    @property
    def key(self) -> NamespacedName:
        """Namespace and name."""
        return self.metadata.key

    @property
    def ref(self) -> ObjectRef:
        """Kind, namespace and name."""
        return ObjectRef(self.kind, self.key)


ParsedEndpoint = Parsed[EndpointSpec, EndpointStatus]
ParsedClient = Parsed[ClientSpec, ClientStatus]
ParsedIssuer = Parsed[IssuerSpec, IssuerStatus]


def read_endpoint(raw: RawObject, settings: Settings) -> ParsedEndpoint:
    """Never raises for a bad spec; `rejection` says what is wrong with it."""
    try:
        parsed = parse_endpoint(raw)
    except ParseError as error:
        return ParsedEndpoint(raw["kind"], _metadata(raw), None, _status(EndpointStatus, raw), _invalid(error))
    found = (
        *unsupported.unsupported_in_endpoint(parsed, settings.platform),
        *identities_of_ours(parsed, settings.trust_domain),
        *(not_allowed(parsed, settings.allowed) if settings.platform == "Cluster" else ()),
    )
    rejection = _unsupported(found)
    return ParsedEndpoint(raw["kind"], parsed.metadata, parsed.spec, parsed.status, rejection)


def read_client(
    raw: RawObject,
    namespace_labels: Mapping[str, str] = MappingProxyType({}),
    settings: Settings | None = None,
) -> ParsedClient:
    """Never raises for a bad spec; `rejection` says what is wrong with it.

    settings: None where nobody asks whether what the spec says works here.
    """
    return replace(_read_client(raw, settings), namespace_labels=namespace_labels)


def _read_client(raw: RawObject, settings: Settings | None) -> ParsedClient:
    try:
        parsed = parse_client(raw)
    except ParseError as error:
        return ParsedClient(raw["kind"], _metadata(raw), None, _status(ClientStatus, raw), _invalid(error))
    rejection = _unsupported(_asked_in_vain(parsed, settings)) if settings else None
    return ParsedClient(raw["kind"], parsed.metadata, parsed.spec, parsed.status, rejection)


def read_issuer(raw: RawObject, settings: Settings) -> ParsedIssuer:
    """Never raises for a bad spec; `rejection` says what is wrong with it."""
    try:
        parsed = parse_issuer(raw)
    except ParseError as error:
        return ParsedIssuer(raw["kind"], _metadata(raw), None, _status(IssuerStatus, raw), _invalid(error))
    rejection = _unsupported(unsupported.unsupported_in_issuer(parsed, settings.platform))
    return ParsedIssuer(raw["kind"], parsed.metadata, parsed.spec, parsed.status, rejection)


def _asked_in_vain(client: InferenceClient, settings: Settings) -> tuple[Unsupported, ...]:
    return (
        *unsupported.unsupported_in_client(client, settings.platform),
        *(not_allowed_to_client(client, settings.allowed) if settings.platform == "Cluster" else ()),
    )


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
    return Rejection(found[0].reason, unsupported.message(found)) if found else None
