"""The IR of one gateway, between documents and xDS: what each endpoint needs, independent of any protocol."""

from dataclasses import dataclass, field

from nightlatch.api.meta import NamespacedName
from nightlatch.api.scalars import Permission
from nightlatch.routing.limits import DEFAULT_NEW_CONNECTIONS
from nightlatch.wire.route_document import RouteDocument


def resource_name(endpoint: NamespacedName) -> str:
    """The name of an endpoint's cluster, addresses and route configuration, also in load reports."""
    return str(endpoint)


@dataclass(frozen=True, slots=True)
class CertificateIR:
    """A chain and its key, PEM."""

    chain: str
    private_key: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class GatewaySettings:
    """What all endpoints of one gateway share.

    `client` is this gateway's identity towards model servers. `fallback` is the certificate for host names that no
    endpoint has, so that the caller gets past the handshake to a 404. `new_connections` is how many may come a second.
    """

    host: str
    port: int
    client: CertificateIR
    fallback: CertificateIR
    new_connections: int = DEFAULT_NEW_CONNECTIONS


@dataclass(frozen=True, slots=True)
class Serving:
    """How an endpoint serves now. `hold`: its calls are held. `addresses`: the replicas that take calls."""

    hold: bool
    addresses: tuple[tuple[str, int], ...] = ()


COLD = Serving(hold=True)


@dataclass(frozen=True, slots=True)
class BrokenDocument:
    """A document that cannot be read. The hosts that are known of it answer 503 with this code.

    If the last good document is known, `replace(last_good, denied=code)` is better, because it keeps the certificate.
    """

    endpoint: NamespacedName
    code: str
    hosts: tuple[str, ...] = ()
    created: int = 0


@dataclass(frozen=True, slots=True)
class GrantIR:
    """`grant` is `client|keyId|permissions|tier|notBefore|notAfter`, as decide.lua reads it."""

    sha256: str
    grant: str


@dataclass(frozen=True, slots=True)
class OperationsIR:
    """All operations of one method that need one permission. `pattern` is an RE2 pattern for the whole path."""

    permission: Permission
    method: str
    pattern: str


@dataclass(frozen=True, slots=True)
class TierIR:
    """The token bucket of each client of the tier. Times in seconds."""

    name: str
    burst: int
    requests: int
    per_seconds: float


@dataclass(frozen=True, slots=True)
class AccessIR:
    """Who may do what. It stays the same object while the document does, so that what was built from it can be kept.

    `retry_after` is the whole seconds after which every tier has a token again.
    """

    grants: tuple[GrantIR, ...]
    operations: tuple[OperationsIR, ...]
    tiers: tuple[TierIR, ...]
    retry_after: int


@dataclass(frozen=True, slots=True)
class UpstreamIR:
    """The SPIFFE identity that the model server must show, and how many calls it may have from this gateway at once."""

    identity: str
    max_in_flight: int


@dataclass(frozen=True, slots=True)
class EndpointIR:
    """One endpoint. `hosts` are those that it keeps after conflicts. Times in seconds.

    `idle_timeout` ends a call on which nothing is sent; it is longer than hold and answer together. `max_duration` ends
    every call, also one whose body comes a byte a minute.
    """

    endpoint: NamespacedName
    hosts: tuple[str, ...]
    certificate: CertificateIR | None
    access: AccessIR
    upstream: UpstreamIR | None
    serving: Serving
    request_timeout: float
    idle_timeout: float
    max_duration: float
    denied: str | None
    source: RouteDocument | BrokenDocument = field(repr=False, compare=False)

    @property
    def name(self) -> str:
        """The name of its cluster, addresses and route configuration."""
        return resource_name(self.endpoint)


@dataclass(frozen=True, slots=True)
class GatewayIR:
    """Everything that one gateway serves, with the endpoints sorted by namespace and name.

    `trust`: the CAs, PEM, that every model server's certificate must come from; empty without any document.
    """

    settings: GatewaySettings
    endpoints: tuple[EndpointIR, ...]
    trust: str = field(repr=False)

    @property
    def hosts(self) -> tuple[str, ...]:
        """The hosts of all endpoints, sorted."""
        return tuple(sorted(host for endpoint in self.endpoints for host in endpoint.hosts))
