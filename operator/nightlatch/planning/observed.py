"""What is observed, as data: an object of ours as read, Secrets as found, clients with the digests of their keys."""

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from nightlatch.api import names
from nightlatch.api.client import ClientSpec, ClientStatus
from nightlatch.api.endpoint import EndpointSpec, EndpointStatus
from nightlatch.api.issuer import IssuerSpec, IssuerStatus
from nightlatch.api.meta import Key, ObjectMeta, ObjectRef, RawObject
from nightlatch.planning.actions import Owner, Revision
from nightlatch.planning.settings import Settings
from nightlatch.scaling.board import UNSEEN, EndpointRuntime

SpecT = TypeVar("SpecT", EndpointSpec, ClientSpec, IssuerSpec)
StatusT = TypeVar("StatusT", EndpointStatus, ClientStatus, IssuerStatus)


@dataclass(frozen=True, slots=True)
class Rejection:
    """Why a spec is not acted on: CamelCase reason, and a message that says what to do."""

    reason: str
    message: str


@dataclass(frozen=True)  # no slots: Python 3.11 cannot make a parametrised generic that is frozen and slotted
class Subject(Generic[SpecT, StatusT]):
    """One of our objects as read. `spec` is None when it could not be parsed; `rejection` then says why."""

    kind: str
    metadata: ObjectMeta
    spec: SpecT | None
    status: StatusT
    rejection: Rejection | None = None

    @property
    def key(self) -> Key:
        """Namespace and name."""
        return self.metadata.key

    @property
    def ref(self) -> ObjectRef:
        """Kind, namespace and name."""
        return ObjectRef(self.kind, self.key)


EndpointSubject = Subject[EndpointSpec, EndpointStatus]
ClientSubject = Subject[ClientSpec, ClientStatus]
IssuerSubject = Subject[IssuerSpec, IssuerStatus]


@dataclass(frozen=True, slots=True)
class SecretView:
    """A Secret as found. `owner_uid` and `owner` are what our label and annotation say, empty on a Secret not ours."""

    key: Key
    revision: Revision
    role: str
    owner_uid: str
    owner: str
    created_at: str
    data: Mapping[str, bytes] = field(repr=False)

    def is_of(self, owner: Owner, role: str) -> bool:
        """Whether it is this owner's child of that role: then, and only then, it may be replaced."""
        return bool(owner.uid) and (self.owner_uid, self.role) == (owner.uid, role)

    def is_orphan_of(self, owner: Owner, role: str) -> bool:
        """Whether it is the child of an earlier object of the owner's name."""
        return self.role == role and self.owner == owner_text(owner.ref) and self.owner_uid != owner.uid


def owner_text(ref: ObjectRef) -> str:
    """The value of names.ANNOTATION_OWNER: `Kind/namespace/name`."""
    return f"{ref.kind}/{ref.key}"


def parse_owner(text: str) -> ObjectRef | None:
    """The inverse of `owner_text`; None when the text is something else."""
    kind, _, rest = text.partition("/")
    namespace, slash, name = rest.partition("/")
    return ObjectRef(kind, Key(namespace, name)) if slash and kind else None


def view_secret(raw: RawObject) -> SecretView:
    """The Secret as data. An entry that is no base64 reads as empty."""
    metadata = raw["metadata"]
    labels = metadata.get("labels") or {}
    return SecretView(
        key=Key.of(raw),
        revision=Revision(metadata.get("uid", ""), metadata.get("resourceVersion", "")),
        role=labels.get(names.LABEL_ROLE, ""),
        owner_uid=labels.get(names.LABEL_OWNER_UID, ""),
        owner=(metadata.get("annotations") or {}).get(names.ANNOTATION_OWNER, ""),
        created_at=metadata.get("creationTimestamp") or "",
        data={entry: _decode(value) for entry, value in (raw.get("data") or {}).items()},
    )


def _decode(value: str) -> bytes:
    try:
        return base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        return b""


@dataclass(frozen=True, slots=True)
class LiveKey:
    """An API key that exists: its id and digest, and since when (RFC 3339)."""

    key_id: str
    sha256: str
    created_at: str = ""


@dataclass(frozen=True, slots=True)
class ClientView:
    """A client and its keys, as an endpoint's plan sees it."""

    client: ClientSubject
    keys: tuple[LiveKey, ...] = ()


@dataclass(frozen=True, slots=True)
class Rival:
    """Another endpoint that claims hosts of its own."""

    endpoint: Key
    created_at: str
    uid: str
    hosts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class AuthorityView:
    """The issuing authority in force: its key id, and the trust bundle (PEM)."""

    key_id: str
    trust_pem: bytes


@dataclass(frozen=True, slots=True)
class Observed:
    """Everything that an endpoint's plan depends on beside its own spec and the time.

    authority: None until the PKI reconciler made one. workload_error: what the platform said to the last `ensure`.
    """

    settings: Settings
    authority: AuthorityView | None = None
    document: SecretView | None = None
    server_tls: SecretView | None = None
    upstream_tls: SecretView | None = None
    clients: tuple[ClientView, ...] = ()
    rivals: tuple[Rival, ...] = ()
    runtime: EndpointRuntime = UNSEEN
    workload_error: str = ""


@dataclass(frozen=True, slots=True)
class ObservedClient:
    """Everything that a client's plan depends on. `secret`: what lies under the wanted name, whoever owns it.

    others: Secrets of this client's under other names. endpoints: those that it names and that exist.
    missing: endpoints that let it in and whose document lacks its key. behind: those whose document has the key, and
    not every gateway that document.
    """

    settings: Settings
    authority: AuthorityView | None = None
    secret: SecretView | None = None
    others: tuple[SecretView, ...] = ()
    endpoints: Mapping[Key, EndpointSubject] = field(default_factory=dict)
    missing: tuple[Key, ...] = ()
    behind: tuple[Key, ...] = ()
