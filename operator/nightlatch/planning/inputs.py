"""What the plans decide from: everything that was observed, as plain data."""

from collections.abc import Container, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from nightlatch.api.meta import NamespacedName
from nightlatch.planning.parsed import ParsedClient, ParsedEndpoint
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
    """The route document of an endpoint, as far as it concerns keys, which are by client."""

    endpoint: NamespacedName
    sequence: int
    keys: Mapping[NamespacedName, tuple[DocumentKey, ...]]

    @property
    def key_ids(self) -> frozenset[tuple[NamespacedName, str]]:
        """Each key with its client."""
        return frozenset((client, key.key_id) for client, keys in self.keys.items() for key in keys)

    def holds(self, client: NamespacedName, key_ids: Container[str] | None = None) -> bool:
        """Whether it lets the client in with one of these keys; None: with any."""
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
    """The current issuing CA: its key id and the trust bundle (PEM)."""

    key_id: str
    trust_pem: bytes


@dataclass(frozen=True, slots=True)
class Observed:
    """Everything that an endpoint's plan depends on, besides its own spec and the time.

    issuing_ca: None until the operator has created it. workload_error: why the platform refused the last `ensure`.
    """

    settings: Settings
    issuing_ca: CAView | None = None
    document: SecretView | None = None
    server_tls: SecretView | None = None
    upstream_tls: SecretView | None = None
    clients: tuple[ClientView, ...] = ()
    host_claims: tuple[HostClaim, ...] = ()
    runtime: EndpointRuntime = UNKNOWN_RUNTIME
    workload_error: str = ""


@dataclass(frozen=True, slots=True)
class ObservedClient:
    """Everything that a client's plan depends on. `secret`: the Secret of the wanted name, also when it is not ours.

    others: Secrets of this client under other names. endpoints: those that it names and that exist.
    documents: the keys that route documents hold for this client. coverage: of each live key, by its id.
    last_uses: of each live key that was used, by its id, in Unix seconds.
    revoking: the gateways that may still accept a key in `revokedKeyIds`, or a client that is suspended.
    """

    settings: Settings
    issuing_ca: CAView | None = None
    secret: SecretView | None = None
    others: tuple[SecretView, ...] = ()
    endpoints: Mapping[NamespacedName, ParsedEndpoint] = field(default_factory=dict)
    documents: tuple[DocumentKey, ...] = ()
    coverage: Mapping[str, KeyCoverage] = field(default_factory=dict)
    last_uses: Mapping[str, int] = field(default_factory=dict)
    revoking: tuple[str, ...] = ()
