"""What the plans decide from: everything that was observed, as plain data."""

from collections.abc import Container, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from nightlatch.api.meta import NamespacedName
from nightlatch.planning.certificates import CertificateView
from nightlatch.planning.parsed import ParsedClient, ParsedEndpoint, ParsedIssuer
from nightlatch.planning.secrets import SecretView
from nightlatch.planning.settings import Settings
from nightlatch.scaling.runtime import UNKNOWN_RUNTIME, EndpointRuntime


@dataclass(frozen=True, slots=True)
class LiveKey:
    """An API key that gateways should accept: its id, its digest, and when it ends by itself (Unix seconds)."""

    key_id: str
    sha256: str
    not_after: int | None = None


class DocumentKey(NamedTuple):
    """A key in a route document. `not_after`: Unix seconds, or None."""

    key_id: str
    sha256: str
    not_after: int | None = None


@dataclass(frozen=True, slots=True)
class DocumentView:
    """The route document of an endpoint, as far as it concerns credentials: keys, which are by client, and the clients
    whose certificates count. has_chain: whether it asks callers for certificates, and so has a filter chain.
    client_ca: the CAs (PEM) that those must come from; empty where none count."""

    endpoint: NamespacedName
    sequence: int
    keys: Mapping[NamespacedName, tuple[DocumentKey, ...]]
    certified: frozenset[NamespacedName] = frozenset()
    has_chain: bool = False
    client_ca: str = field(default="", repr=False)

    @property
    def clients(self) -> frozenset[NamespacedName]:
        """Whom it lets in."""
        return self.certified.union(self.keys)

    @property
    def key_ids(self) -> frozenset[tuple[NamespacedName, str]]:
        """Each key with its client."""
        return frozenset((client, key.key_id) for client, keys in self.keys.items() for key in keys)

    def holds(self, client: NamespacedName, key_ids: Container[str] | None = None) -> bool:
        """Whether it lets the client in with one of these keys; None: with any, or with a certificate."""
        if key_ids is None and client in self.certified:
            return True
        return any(key_ids is None or key.key_id in key_ids for key in self.keys.get(client, ()))


@dataclass(frozen=True, slots=True)
class KeyCoverage:
    """Where one key is accepted.

    missing: granted endpoints whose route document does not contain the key yet. behind: those whose document contains
    it but has not been applied by every gateway that reports. in_force: every gateway accepts the key, also those that
    say nothing, wherever it is granted and there is a document. unconfirmed: the gateways that are not known to.
    """

    missing: tuple[NamespacedName, ...] = ()
    behind: tuple[NamespacedName, ...] = ()
    in_force: bool = True
    unconfirmed: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ClientView:
    """A client and its keys, as an endpoint's plan sees it."""

    client: ParsedClient
    keys: tuple[LiveKey, ...] = ()


@dataclass(frozen=True, slots=True)
class HostClaim:
    """The host names that one endpoint claims. `created`: when the endpoint was created, in Unix seconds."""

    endpoint: NamespacedName
    created: int
    hosts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class CAView:
    """The current issuing CA: its key id, and the bundle (PEM) of all CAs that verifiers must trust now.

    since: when it began to sign, in Unix seconds. reissue_over: the seconds from then on over which the leaves of the
    CA before are replaced, spread out so that a thousand are not made at once.
    """

    key_id: str
    trust_pem: bytes
    since: float = 0.0
    reissue_over: float = 0.0


@dataclass(frozen=True, slots=True)
class CertManagerView:
    """cert-manager, as far as one of our objects depends on it.

    available: the cluster has it. certificates: those that it keeps for the object. refusal: why the last change to one
    of them failed.
    """

    available: bool = False
    certificates: tuple[CertificateView, ...] = ()
    refusal: str = ""

    def get(self, key: NamespacedName) -> CertificateView | None:
        """The Certificate of this name."""
        return next((each for each in self.certificates if each.key == key), None)


NO_CERT_MANAGER = CertManagerView()


@dataclass(frozen=True, slots=True)
class IssuerView:
    """A TokenIssuer that an endpoint names. `admits`: whether it lets the endpoint's namespace name it."""

    issuer: ParsedIssuer
    admits: bool


@dataclass(frozen=True, slots=True)
class Observed:
    """Everything that an endpoint's plan depends on, besides its own spec and the time.

    issuing_ca: None until the operator has created it. trust: the Secrets that `access.mtls.trust` names, as far as
    they exist. issuers: likewise those of `access.jwt`. workload_error: why the platform refused the last `ensure`.
    chains_before: how many other endpoints have a filter chain, or get one before this endpoint; 0 if it has one.
    serving_cert: the Secret that cert-manager fills.
    """

    settings: Settings
    issuing_ca: CAView | None = None
    document: SecretView | None = None
    server_tls: SecretView | None = None
    upstream_tls: SecretView | None = None
    serving_cert: SecretView | None = None
    cert_manager: CertManagerView = NO_CERT_MANAGER
    trust: Mapping[NamespacedName, SecretView] = field(default_factory=dict)
    clients: tuple[ClientView, ...] = ()
    issuers: Mapping[NamespacedName, IssuerView] = field(default_factory=dict)
    host_claims: tuple[HostClaim, ...] = ()
    chains_before: int = 0
    runtime: EndpointRuntime = UNKNOWN_RUNTIME
    workload_error: str = ""


@dataclass(frozen=True, slots=True)
class ObservedClient:
    """Everything that a client's plan depends on. `secret`: the Secret of the wanted name, also when it is not ours.

    others: Secrets of this client with keys under other names. tls, other_tls: likewise those of its certificate.
    endpoints: those that it names and that exist. server_cas: the CAs (PEM) of those whose certificate for callers is
    of another issuer.
    documents: the keys that route documents hold for this client. coverage: of each live key, by its id.
    certificate_coverage: of the client's certificates, whichever it shows. client_cas: the CAs (PEM) that an endpoint's
    gateways take certificates from, by the endpoint.
    last_uses: of each live key that was used, by its id, in Unix seconds.
    revoking: the gateways that may still accept a key in `revokedKeyIds`, or a client that is suspended.
    """

    settings: Settings
    issuing_ca: CAView | None = None
    secret: SecretView | None = None
    others: tuple[SecretView, ...] = ()
    tls: SecretView | None = None
    other_tls: tuple[SecretView, ...] = ()
    cert_manager: CertManagerView = NO_CERT_MANAGER
    endpoints: Mapping[NamespacedName, ParsedEndpoint] = field(default_factory=dict)
    server_cas: Mapping[NamespacedName, bytes] = field(default_factory=dict)
    documents: tuple[DocumentKey, ...] = ()
    coverage: Mapping[str, KeyCoverage] = field(default_factory=dict)
    certificate_coverage: KeyCoverage = KeyCoverage()
    client_cas: Mapping[NamespacedName, str] = field(default_factory=dict)
    last_uses: Mapping[str, int] = field(default_factory=dict)
    revoking: tuple[str, ...] = ()
