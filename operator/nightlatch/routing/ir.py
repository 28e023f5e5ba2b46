"""The gateway, between documents and xDS: what each endpoint needs, in the gateway's own words and in no protocol's."""

from dataclasses import dataclass, field

from nightlatch.api.meta import NamespacedName
from nightlatch.api.scalars import Permission
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

    client: this gateway's identity towards model servers. fallback: shown for host names that are nobody's, so that
    the caller gets past the handshake to a 404.
    """

    host: str
    port: int
    client: CertificateIR
    fallback: CertificateIR


@dataclass(frozen=True, slots=True)
class Serving:
    """How the gate of an endpoint stands now. hold: calls are held. addresses: replicas that take calls."""

    hold: bool
    addresses: tuple[tuple[str, int], ...] = ()


COLD = Serving(hold=True)


@dataclass(frozen=True, slots=True)
class BrokenDocument:
    """A document that cannot be read. Its hosts, as far as known, answer 503 with the reason.

    Where the last good document is known, `replace(last_good, denied=reason)` keeps the certificate and is better.
    """

    endpoint: NamespacedName
    reason: str
    hosts: tuple[str, ...] = ()
    created: int = 0


@dataclass(frozen=True, slots=True)
class GrantIR:
    """`grant` is `client|keyId|permissions|tier|notBefore|notAfter`, as the second Lua filter reads it."""

    sha256: str
    grant: str


@dataclass(frozen=True, slots=True)
class OperationsIR:
    """All operations of one method that need one permission. `pattern`: an RE2 for the whole path."""

    permission: Permission
    method: str
    pattern: str


@dataclass(frozen=True, slots=True)
class TierIR:
    """A token bucket for each client of the tier. Times in seconds."""

    name: str
    burst: int
    requests: int
    per_seconds: float


@dataclass(frozen=True, slots=True)
class AccessIR:
    """Who may do what. It stays the same object as long as the document does, so that what is made of it is kept.

    retry_after: whole seconds after which every tier has a token again.
    """

    grants: tuple[GrantIR, ...]
    operations: tuple[OperationsIR, ...]
    tiers: tuple[TierIR, ...]
    retry_after: int


@dataclass(frozen=True, slots=True)
class UpstreamIR:
    """Whom the gateway believes to be the model server."""

    identity: str
    trust: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class EndpointIR:
    """One endpoint. hosts: those that are its own after conflicts. Times in seconds.

    idle_timeout: silence after which a call is given up; above hold and answer together.
    """

    endpoint: NamespacedName
    hosts: tuple[str, ...]
    certificate: CertificateIR | None
    access: AccessIR
    upstream: UpstreamIR | None
    serving: Serving
    request_timeout: float
    idle_timeout: float
    denied: str | None
    source: RouteDocument | BrokenDocument = field(repr=False, compare=False)

    @property
    def name(self) -> str:
        """The name of its cluster, addresses and route configuration."""
        return resource_name(self.endpoint)


@dataclass(frozen=True, slots=True)
class GatewayIR:
    """Everything one gateway serves, endpoints in order of their keys."""

    settings: GatewaySettings
    endpoints: tuple[EndpointIR, ...]

    @property
    def hosts(self) -> tuple[str, ...]:
        """Every host that is someone's, sorted."""
        return tuple(sorted(host for endpoint in self.endpoints for host in endpoint.hosts))
