"""GatewayIR to the resources that Envoy subscribes to. An endpoint that did not change is not built again."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from google.protobuf.any_pb2 import Any as Packed

from nightlatch.api.meta import NamespacedName
from nightlatch.routing.filter_order import GATE
from nightlatch.routing.ir import EndpointIR, GatewayIR, GatewaySettings
from nightlatch.routing.policy import policy_value
from nightlatch.routing.xds.cluster import build_assignment, build_cluster
from nightlatch.routing.xds.listener import CERTIFIED, NAME, build_listener, certified_manager
from nightlatch.routing.xds.native_module import build_gate, build_policy
from nightlatch.routing.xds.route import build_routes, build_scope
from nightlatch.routing.xds.secret import build_certificate, build_trust
from nightlatch.routing.xds.types import CLIENT_SECRET, FALLBACK_SECRET, TRUST_SECRET, client_trust_secret, pack
from nightlatch.wire.xds_types import (
    ADDRESSES,
    CLUSTER,
    EXTENSION,
    LISTENER,
    PUSH_ORDER,
    ROUTES,
    SCOPE,
    SECRET,
)

# By type URL, then by resource name. Packed messages are never changed.
Resources = Mapping[str, Mapping[str, Packed]]


@dataclass(frozen=True, slots=True)
class EndpointResources:
    """The resources of one endpoint. Its document is applied once Envoy acknowledged all of them.

    `policy` is the expensive part of the route configuration: it has an entry for each key. `gateways`: how many share
    its limits out.
    """

    ir: EndpointIR
    policy: Packed
    gateways: int
    resources: Resources


@dataclass(frozen=True, slots=True)
class Snapshot(Resources):
    """All resources of a gateway, by type URL and name; `endpoints` has those of each endpoint."""

    resources: Resources
    endpoints: Mapping[NamespacedName, EndpointResources]
    ir: GatewayIR

    def __getitem__(self, type_url: str) -> Mapping[str, Packed]:
        return self.resources[type_url]

    def __iter__(self) -> Iterator[str]:
        return iter(self.resources)

    def __len__(self) -> int:
        return len(self.resources)


def snapshot(ir: GatewayIR, previous: Snapshot | None = None) -> Snapshot:
    """All resources for Envoy. `previous` only saves work: an unchanged resource stays the same object."""
    known = previous.endpoints if previous else {}
    endpoints = {each.endpoint: build_endpoint(each, ir.settings, known.get(each.endpoint)) for each in ir.endpoints}
    shared = _kept(_shared(ir), previous)
    parts = [shared, *(each.resources for each in endpoints.values())]
    return Snapshot({url: _merged(url, parts) for url in PUSH_ORDER}, endpoints, ir)


def changes(previous: Resources | None, current: Resources) -> dict[str, set[str]]:
    """The names of the resources that were added, removed or changed, by type URL."""
    before: Resources = previous if previous is not None else {}
    return {url: found for url in PUSH_ORDER if (found := _differing(before.get(url, {}), current.get(url, {})))}


def _differing(before: Mapping[str, Packed], after: Mapping[str, Packed]) -> set[str]:
    return {name for name in before.keys() | after.keys() if before.get(name) is not after.get(name)}


def _merged(url: str, parts: list[Resources]) -> dict[str, Packed]:
    return {name: resource for part in parts for name, resource in part.get(url, {}).items()}


def _shared(ir: GatewayIR) -> Resources:
    settings = ir.settings
    certificates = {CLIENT_SECRET: settings.client, FALLBACK_SECRET: settings.fallback}
    secrets = {name: pack(build_certificate(name, each)) for name, each in certificates.items()}
    if ir.trust:
        secrets[TRUST_SECRET] = pack(build_trust(TRUST_SECRET, ir.trust))
    listener = build_listener(settings.host, settings.port, ir.endpoints, settings.audit, settings.new_connections)
    extensions = {GATE: pack(build_gate(settings.gate, settings.audit))}
    if any(each.client_certificates and each.hosts for each in ir.endpoints):
        extensions[CERTIFIED] = certified_manager(settings.audit)
    return {
        EXTENSION: extensions,
        LISTENER: {NAME: pack(listener)},
        SECRET: secrets,
    }


def build_endpoint(
    ir: EndpointIR, settings: GatewaySettings, previous: EndpointResources | None = None
) -> EndpointResources:
    """One endpoint's resources. `previous` only saves work, as in `snapshot`."""
    # Only limits are shared out.
    gateways = settings.gateways if ir.policy.limits else 1
    known = previous if previous is not None and previous.gateways == gateways else None
    if known is not None and known.ir is ir:
        return known
    if known is not None and known.ir.policy is ir.policy:
        policy = known.policy
    else:
        policy = build_policy(policy_value(ir.policy, gateways))
    built = _built(ir, settings, policy)
    return EndpointResources(ir, policy, gateways, _kept(built, previous))


def _built(ir: EndpointIR, settings: GatewaySettings, policy: Packed) -> Resources:
    certificate = ir.certificate or settings.fallback
    secrets = {host: pack(build_certificate(host, certificate)) for host in ir.hosts}
    if ir.client_certificates is not None:
        trust = client_trust_secret(ir.name)
        secrets[trust] = pack(build_trust(trust, ir.client_certificates.trust))
    resources: dict[str, dict[str, Packed]] = {
        SECRET: secrets,
        SCOPE: {host: pack(build_scope(host, ir)) for host in ir.hosts},
        ROUTES: {ir.name: pack(build_routes(ir, policy))} if ir.hosts else {},
    }
    if ir.upstream is not None:
        resources[CLUSTER] = {ir.name: pack(build_cluster(ir, ir.upstream))}
        resources[ADDRESSES] = {ir.name: pack(build_assignment(ir))}
    return resources


def _kept(built: Resources, previous: Snapshot | EndpointResources | None) -> Resources:
    """Replace each resource that equals its previous object by that object, so that identity shows what changed."""
    if previous is None:
        return built
    before = previous.resources
    return {
        url: {name: _same(before.get(url, {}).get(name), each) for name, each in named.items()}
        for url, named in built.items()
    }


def _same(before: Packed | None, after: Packed) -> Packed:
    return before if before is not None and before.value == after.value else after
