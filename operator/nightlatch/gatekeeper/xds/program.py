"""Compiles route documents and holds into the resources that Envoy should have, and finds what changed."""

from dataclasses import dataclass, replace

from google.protobuf.any_pb2 import Any as AnyMessage

from nightlatch.api.meta import NamespacedName
from nightlatch.gatekeeper.xds.resources import ResourceId
from nightlatch.pki.material import TlsMaterial, is_bundle
from nightlatch.routing.ir import (
    TO_STDOUT,
    AuditLog,
    CertificateIR,
    GateIR,
    GatewayIR,
    GatewaySettings,
    Serving,
    resource_name,
)
from nightlatch.routing.limits import DEFAULT_NEW_CONNECTIONS
from nightlatch.routing.translate import translate, translate_endpoint
from nightlatch.routing.xds.listener import NAME as LISTENER_NAME
from nightlatch.routing.xds.secret import build_certificate
from nightlatch.routing.xds.snapshot import EndpointResources, Snapshot, build_endpoint, changes, snapshot
from nightlatch.routing.xds.snapshot import Resources as XdsResources
from nightlatch.routing.xds.types import TRUST_SECRET, pack
from nightlatch.wire.route_document import RouteDocument
from nightlatch.wire.xds_types import ADDRESSES, CLUSTER, LISTENER, ROUTES, SCOPE, SECRET

Changes = dict[ResourceId, AnyMessage | None]

# Above this number of changed endpoints, compiling everything is as fast.
_MANY = 64


@dataclass(frozen=True, slots=True)
class Parts:
    """The names of one endpoint's resources: its addresses, its route, and everything that its document needs."""

    addresses: frozenset[ResourceId]
    routes: frozenset[ResourceId]
    everything: frozenset[ResourceId]


class Program:
    """The resources of all endpoints. `fallback` is the certificate for host names that no endpoint has.

    `new_connections`: how many callers may connect a second.
    """

    def __init__(
        self,
        host: str,
        port: int,
        fallback: CertificateIR,
        audit: AuditLog = TO_STDOUT,
        *,
        new_connections: int = DEFAULT_NEW_CONNECTIONS,
    ) -> None:
        self._listen = (host, port)
        self._audit = audit
        self._gate = GateIR()
        self._gateways = 1
        self._fallback = fallback
        self._new_connections = new_connections
        self._client: CertificateIR | None = None
        self._denied: str | None = None
        self._documents: dict[NamespacedName, RouteDocument] = {}
        # The same documents as they are enforced: every call denied while `_denied` is set.
        self._enforced: dict[NamespacedName, RouteDocument] = {}
        self._serving: dict[NamespacedName, Serving] = {}
        # What was compiled last.
        self._settings: GatewaySettings | None = None
        self._trust = ""
        self._endpoints: dict[NamespacedName, EndpointResources] = {}
        self._resources: dict[str, dict[str, AnyMessage]] = {}
        self._dirty: set[NamespacedName] = set()
        # True if other resources than the dirty endpoints' own may differ: who has which host, what all share.
        self._reshaped = True

    @property
    def trust(self) -> str:
        """The bundle that was compiled last, with which Envoy verifies model servers."""
        return self._trust

    def put_client(self, material: TlsMaterial) -> None:
        """Set the client certificate that the gateway shows to model servers."""
        self._reshaped = True
        self._client = CertificateIR(material.certificate.decode(), material.private_key.decode())

    def put_gate(self, gate: GateIR) -> None:
        """Set what the gate knows beside the policies: revocations and issuers."""
        self._reshaped |= gate != self._gate
        self._gate = gate

    def put_gateways(self, gateways: int) -> None:
        """Set how many gateways serve. Each grants its share of the rate limits."""
        self._reshaped |= gateways != self._gateways
        self._gateways = gateways

    def put(self, document: RouteDocument, serving: Serving) -> Parts:
        """Set an endpoint's document, hold and addresses. Returns the names of its resources."""
        self._reshaped |= not self._keeps_hosts(document) or document.upstream_ca != self._trust
        self._documents[document.endpoint] = document
        self._serving[document.endpoint] = serving
        self._enforce(document)
        return _parts(document)

    def deny_all(self, reason: str | None) -> None:
        """Deny every call with this reason, whatever the documents grant; None goes back to the documents."""
        self._denied = reason
        for document in self._documents.values():
            self._enforce(document)

    def _enforce(self, document: RouteDocument) -> None:
        enforced = replace(document, denied=self._denied) if self._denied else document
        self._enforced[document.endpoint] = enforced
        self._dirty.add(document.endpoint)

    def remove(self, key: NamespacedName) -> None:
        """Remove an endpoint."""
        self._reshaped = True
        self._documents.pop(key, None)
        self._enforced.pop(key, None)
        self._serving.pop(key, None)

    def changes(self) -> Changes:
        """Compile, and return what changed: None for a removed resource. Returns nothing before `put_client`."""
        if self._client is None:
            return {}
        settings = GatewaySettings(
            *self._listen,
            client=self._client,
            fallback=self._fallback,
            audit=self._audit,
            gate=self._gate,
            gateways=self._gateways,
            new_connections=self._new_connections,
        )
        few = self._settings is not None and not self._reshaped and len(self._dirty) <= _MANY
        changed = self._compile_dirty(settings) if few else self._compile_all(settings)
        self._settings, self._dirty, self._reshaped = settings, set(), False
        return changed

    def _keeps_hosts(self, document: RouteDocument) -> bool:
        """True if the document keeps its hosts and its rank in host conflicts, so no other endpoint is affected."""
        known = self._documents.get(document.endpoint)
        built = self._endpoints.get(document.endpoint)
        return (
            known is not None
            and built is not None
            and built.ir.hosts == document.hosts == known.hosts
            and document.created == known.created
        )

    def _compile_all(self, settings: GatewaySettings) -> Changes:
        before = self._snapshot()
        ir = translate(
            tuple(self._enforced.values()), self._serving, settings, before.ir if before else None, is_bundle
        )
        now = snapshot(ir, before)
        changed = _changes(before, now)
        self._trust = ir.trust
        self._endpoints = dict(now.endpoints)
        self._resources = {kind: dict(named) for kind, named in now.resources.items()}
        return changed

    def _compile_dirty(self, settings: GatewaySettings) -> Changes:
        """Compile the dirty endpoints only, so that a wake among a thousand endpoints costs no more than among two."""
        changed: Changes = {}
        for key in self._dirty & self._enforced.keys():
            before = self._endpoints[key]
            ir = translate_endpoint(self._enforced[key], before.ir.hosts, self._serving[key], before.ir)
            self._endpoints[key] = now = build_endpoint(ir, settings, before)
            changed |= _changes(before.resources, now.resources)
        for (kind, name), resource in changed.items():
            if resource is None:
                self._resources[kind].pop(name, None)
            else:
                self._resources[kind][name] = resource
        return changed

    def _snapshot(self) -> Snapshot | None:
        """What was compiled last."""
        if self._settings is None:
            return None
        ir = GatewayIR(self._settings, tuple(each.ir for each in self._endpoints.values()), self._trust)
        return Snapshot(self._resources, self._endpoints, ir)

    def stand_in(self, type_url: str, name: str) -> AnyMessage | None:
        """The resource to send for a name that has none: a certificate, so that the TLS handshake can end at least."""
        return pack(build_certificate(name, self._fallback)) if type_url == SECRET else None


def _parts(document: RouteDocument) -> Parts:
    """A name without a resource does no harm: Envoy counts as up to date with it."""
    name = resource_name(document.endpoint)
    addresses, routes = (ADDRESSES, name), (ROUTES, name)
    rest = {(CLUSTER, name), (SECRET, TRUST_SECRET), (LISTENER, LISTENER_NAME)}
    by_host = {(kind, host) for kind in (SECRET, SCOPE) for host in document.hosts}
    return Parts(frozenset({addresses}), frozenset({routes}), frozenset({addresses, routes, *rest, *by_host}))


def _changes(before: XdsResources | None, now: XdsResources) -> Changes:
    named = changes(before, now)
    return {(kind, name): now.get(kind, {}).get(name) for kind, names in named.items() for name in names}
