"""From the endpoints' documents and gates to the resources that Envoy is to have, and what changed since."""

from dataclasses import dataclass

from envoy.extensions.transport_sockets.tls.v3.secret_pb2 import Secret
from google.protobuf.any_pb2 import Any as AnyMessage

from nightlatch.api.meta import Key
from nightlatch.gatekeeper.resources import CLUSTER, ENDPOINTS, LISTENER, ROUTES, SCOPE, SECRET, ResourceId
from nightlatch.pki.material import TlsMaterial
from nightlatch.routing.document import RouteDocument
from nightlatch.routing.ir import CertificateIR, EndpointGate, GatewayIR, GatewaySettings
from nightlatch.routing.translate import translate
from nightlatch.routing.xds import Snapshot, changes, snapshot
from nightlatch.routing.xds_listener import NAME as LISTENER_NAME
from nightlatch.routing.xds_types import pack, trust_secret

# Above so many changed endpoints, compiling everything is as quick.
_MANY = 64


@dataclass(frozen=True, slots=True)
class Parts:
    """The resources of one endpoint: addresses, route, and everything its document needs."""

    endpoints: frozenset[ResourceId]
    routes: frozenset[ResourceId]
    everything: frozenset[ResourceId]


class Program:
    """See the module. `fallback` is shown to callers of host names that are nobody's."""

    def __init__(self, host: str, port: int, fallback: CertificateIR) -> None:
        self._listen = (host, port)
        self._fallback = fallback
        self._client: CertificateIR | None = None
        self._documents: dict[Key, RouteDocument] = {}
        self._gates: dict[Key, EndpointGate] = {}
        self._snapshot: Snapshot | None = None
        self._dirty: set[Key] = set()
        # Whether more than the dirty endpoints' own resources may differ: who has which host, what all share.
        self._reshaped = True

    def put_client(self, material: TlsMaterial) -> None:
        """The gateway's identity towards model servers."""
        self._reshaped = True
        self._client = CertificateIR(material.certificate.decode(), material.private_key.decode())

    def put(self, document: RouteDocument, gate: EndpointGate) -> None:
        """An endpoint is to be so."""
        self._dirty.add(document.endpoint)
        self._reshaped |= not self._keeps_hosts(document)
        self._documents[document.endpoint] = document
        self._gates[document.endpoint] = gate

    def remove(self, key: Key) -> None:
        """An endpoint is gone."""
        self._reshaped = True
        self._documents.pop(key, None)
        self._gates.pop(key, None)

    def changes(self) -> dict[ResourceId, AnyMessage | None]:
        """Compile, and give what differs from the last time; None for what is gone. Nothing before `put_client`."""
        if self._client is None:
            return {}
        settings = GatewaySettings(*self._listen, client=self._client, fallback=self._fallback)
        before, dirty = self._snapshot, self._dirty
        whole = before is None or self._reshaped or len(dirty) > _MANY
        now = self._whole(settings) if before is None or whole else self._patched(before, dirty)
        self._snapshot, self._dirty, self._reshaped = now, set(), False
        changed = changes(before, now)
        return {(kind, name): now.resources[kind].get(name) for kind, named in changed.items() for name in named}

    def _keeps_hosts(self, document: RouteDocument) -> bool:
        """Whether it has the hosts it had, all of them, and stands where it stood in a dispute over one."""
        known = self._documents.get(document.endpoint)
        built = self._snapshot.endpoints.get(document.endpoint) if self._snapshot else None
        return (
            known is not None
            and built is not None
            and built.ir.hosts == document.hosts == known.hosts
            and document.created == known.created
        )

    def _whole(self, settings: GatewaySettings) -> Snapshot:
        before = self._snapshot
        documents = tuple(self._documents.values())
        return snapshot(translate(documents, self._gates, settings, before.ir if before else None), before)

    def _patched(self, before: Snapshot, dirty: set[Key]) -> Snapshot:
        """The same with a few endpoints compiled anew: what a wake or a revocation among a thousand takes."""
        documents = tuple(self._documents[key] for key in dirty if key in self._documents)
        part = snapshot(translate(documents, self._gates, before.ir.settings, before.ir), before)
        resources = {kind: dict(named) for kind, named in before.resources.items()}
        for key, built in part.endpoints.items():
            for kind, named in resources.items():
                for name in before.endpoints[key].resources.get(kind, {}):
                    named.pop(name, None)
                named.update(built.resources.get(kind, {}))
        fresh = {each.endpoint: each for each in part.ir.endpoints}
        endpoints = tuple(fresh.get(each.endpoint, each) for each in before.ir.endpoints)
        return Snapshot(resources, {**before.endpoints, **part.endpoints}, GatewayIR(before.ir.settings, endpoints))

    def parts(self, key: Key) -> Parts:
        """Which resources are the endpoint's, by name. Those that there are not need not be waited for."""
        name = cluster_name(key)
        document = self._documents.get(key)
        by_host = {(kind, host) for kind in (SECRET, SCOPE) for host in (document.hosts if document else ())}
        endpoints, routes = (ENDPOINTS, name), (ROUTES, name)
        rest = {(CLUSTER, name), (SECRET, trust_secret(key)), (LISTENER, LISTENER_NAME)}
        return Parts(frozenset({endpoints}), frozenset({routes}), frozenset({endpoints, routes, *rest, *by_host}))

    def stand_in(self, type_url: str, name: str) -> AnyMessage | None:
        """What to send for a name that no resource has: a certificate that ends the handshake, trusted or not."""
        if self._snapshot is None or type_url != SECRET:
            return None
        return self._snapshot.find(type_url, name) or self._unknown_host(name)

    def _unknown_host(self, name: str) -> AnyMessage:
        secret = Secret(name=name)
        secret.tls_certificate.certificate_chain.inline_string = self._fallback.chain
        secret.tls_certificate.private_key.inline_string = self._fallback.private_key
        return pack(secret)


def cluster_name(key: Key) -> str:
    """The name of the endpoint's cluster, addresses and route, also in load reports."""
    return str(key)
