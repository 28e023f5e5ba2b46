"""The IR of one gateway, between documents and xDS: what each endpoint needs, independent of any protocol."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from nightlatch.api.claims import ClaimPath
from nightlatch.api.meta import NamespacedName
from nightlatch.api.operations import Operation
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
class AuditLog:
    """Where Envoy writes a line for each decision: a file, or its standard output where there is none.

    Of the refusals, at most `refusals_per_second` are written, and of the calls let through `allows_percent`.
    """

    path: str | None = None
    refusals_per_second: int = 100
    allows_percent: int = 0


TO_STDOUT = AuditLog()


@dataclass(frozen=True, slots=True)
class IssuerIR:
    """A token issuer: its public keys, what its tokens must be like, and what their claims mean.

    name: NAMESPACE/NAME of the TokenIssuer. iss: what a token must say, exactly. keys: JSON Web Keys. permissions: by a
    value of `permissions_claim`. Lifetime and skew in seconds. From `valid_until` (Unix seconds) on, nobody may believe
    the keys.
    """

    name: str
    iss: str
    audiences: tuple[str, ...]
    algorithms: tuple[str, ...]
    keys: tuple[Mapping[str, str], ...]
    permissions: Mapping[str, tuple[Permission, ...]] = field(default_factory=dict)
    permissions_claim: ClaimPath = ("scope",)
    identity_claim: ClaimPath = ("sub",)
    required_claims: tuple[tuple[ClaimPath, str], ...] = ()
    token_type: str | None = None
    max_lifetime: float = 86400.0
    clock_skew: float = 30.0
    sender_constrained: Literal["Never", "IfBound", "Always"] = "IfBound"
    valid_until: int | None = None


@dataclass(frozen=True, slots=True)
class DeniedTokensIR:
    """Tokens of one issuer that are refused before they expire.

    issued_before: by subject, and with an empty one for every subject, Unix seconds before which they were issued.
    """

    issuer: str
    jti: tuple[str, ...] = ()
    sub: tuple[str, ...] = ()
    sid: tuple[str, ...] = ()
    issued_before: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class GateIR:
    """What the gate knows beside the endpoints' policies. A change is one push and drains nobody.

    The revoked clients, keys, certificates (client and digest) and identities and the denied tokens are consulted
    before any policy. From `valid_until` (Unix seconds) on, the gate denies every call by itself.
    """

    revoked_clients: tuple[str, ...] = ()
    revoked_keys: tuple[str, ...] = ()
    revoked_certificates: tuple[tuple[str, str], ...] = ()
    revoked_identities: tuple[str, ...] = ()
    issuers: tuple[IssuerIR, ...] = ()
    valid_until: int | None = None
    denied_tokens: tuple[DeniedTokensIR, ...] = ()


@dataclass(frozen=True, slots=True)
class GatewaySettings:
    """What all endpoints of one gateway share.

    `client` is this gateway's identity towards model servers. `fallback` is the certificate for host names that no
    endpoint has, so that the caller gets past the handshake to a 404. `gateways` is how many gateways serve: each
    grants its share of a rate limit. `new_connections` is how many may come a second.
    """

    host: str
    port: int
    client: CertificateIR
    fallback: CertificateIR
    audit: AuditLog = TO_STDOUT
    gate: GateIR = GateIR()
    gateways: int = 1
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
class ClientIR:
    """Who may call: what the client may do, and the name of its rate limit if it has one."""

    id: str
    permissions: tuple[Permission, ...]
    limit: str | None = None


@dataclass(frozen=True, slots=True)
class LimitIR:
    """The token bucket of each client that has this limit, over all gateways together."""

    name: str
    requests: int
    per_seconds: float
    burst: int


class MechanismIR(Protocol):
    """How clients prove who they are: one of `routing/mechanisms/`."""

    @property
    def name(self) -> str: ...
    @property
    def clients(self) -> tuple[ClientIR, ...]: ...

    def value(self, places: Mapping[str, int]) -> dict[str, Any]:
        """The mechanism's part of the policy. `places` gives each client's index in the policy."""


@dataclass(frozen=True, slots=True)
class RuleIR:
    """Permissions beside those that a credential carries, where everything that the rule names holds.

    claims: each with the values of which a token must have one. clients: a proof must be of one of them. certificates:
    a certificate must have one of these names. A rule without any is about credentials that carry no permission.
    """

    name: str
    permissions: tuple[Permission, ...]
    claims: tuple[tuple[ClaimPath, tuple[str, ...]], ...] = ()
    clients: tuple[str, ...] = ()
    certificates: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PolicyIR:
    """Who may do what at an endpoint. It stays the same object while the document does, and so does what is made of it.

    `accept` lists which mechanisms together suffice; the first list that is satisfied decides. `revoked_certificates`
    has digests. `denied` is the code of the error that every call gets.
    """

    endpoint: str
    sequence: int
    operations: tuple[Operation, ...] = ()
    mechanisms: tuple[MechanismIR, ...] = ()
    accept: tuple[tuple[str, ...], ...] = ()
    rules: tuple[RuleIR, ...] = ()
    limits: tuple[LimitIR, ...] = ()
    revoked_certificates: tuple[str, ...] = ()
    denied: str | None = None

    @property
    def clients(self) -> tuple[ClientIR, ...]:
        """The clients of all mechanisms, by id. What a client may do is the same whatever it proves itself with; if
        the mechanisms say otherwise, it is what all of them say."""
        found: dict[str, ClientIR] = {}
        for client in (client for mechanism in self.mechanisms for client in mechanism.clients):
            known = found.setdefault(client.id, client)
            if known != client:
                shared = tuple(each for each in known.permissions if each in client.permissions)
                found[client.id] = ClientIR(client.id, shared, known.limit or client.limit)
        return tuple(found[name] for name in sorted(found))


@dataclass(frozen=True, slots=True)
class OperationsIR:
    """The paths of all operations of one method, as an RE2 pattern for a whole path."""

    method: str
    pattern: str


@dataclass(frozen=True, slots=True)
class ClientCertificatesIR:
    """Callers of an endpoint may show a certificate, which must be issued by a CA of `trust` (PEM)."""

    trust: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class UpstreamIR:
    """The SPIFFE identity that the model server must show, and how many calls it may have from this gateway at once."""

    identity: str
    max_in_flight: int


@dataclass(frozen=True, slots=True)
class EndpointIR:
    """One endpoint. `hosts` are those that it keeps after conflicts. Times in seconds.

    `client_certificates`: None where callers are not asked for one.

    `idle_timeout` ends a call on which nothing is sent; it is longer than hold and answer together. `max_duration` ends
    every call, also one whose body comes a byte a minute.
    """

    endpoint: NamespacedName
    hosts: tuple[str, ...]
    certificate: CertificateIR | None
    client_certificates: ClientCertificatesIR | None
    policy: PolicyIR
    operations: tuple[OperationsIR, ...]
    upstream: UpstreamIR | None
    serving: Serving
    request_timeout: float
    idle_timeout: float
    max_duration: float
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
