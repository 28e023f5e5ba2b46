"""Our gateway: the listener and filters that `routing` compiles, given to Envoy by the gatekeeper's own ADS.

There is no operator and no store. The hold of every endpoint is off, as it is while a model server runs. Load reports
(LRS) are on, as always.
"""

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
from envoy.service.auth.v3.external_auth_pb2_grpc import add_AuthorizationServicer_to_server
from envoy.service.discovery.v3.ads_pb2_grpc import add_AggregatedDiscoveryServiceServicer_to_server
from envoy.service.load_stats.v3.lrs_pb2_grpc import add_LoadReportingServiceServicer_to_server
from envoys import HOST, UPSTREAM_IDENTITY, Authorities, envoy, free_port

from nightlatch.api.meta import NamespacedName
from nightlatch.api.names import endpoint_identity, gateway_identity
from nightlatch.api.operations import operations_for
from nightlatch.api_keys.api_key import digest, mint
from nightlatch.gatekeeper.hold.hold_service import HoldService
from nightlatch.gatekeeper.load import LoadReports
from nightlatch.gatekeeper.process.fallback import fallback_certificate
from nightlatch.gatekeeper.xds.server import Ads
from nightlatch.routing.ir import AuditLog, CertificateIR, GateIR, GatewaySettings, Serving
from nightlatch.routing.translate import translate
from nightlatch.routing.xds.bootstrap import bootstrap
from nightlatch.routing.xds.snapshot import Snapshot, changes, snapshot
from nightlatch.wire.route_document import KeyGrant, RateTier, RouteDocument

TRUST_DOMAIN = "nightlatch.local"
_PATIENCE_S = 60.0
# A tier that no benchmark exhausts: what is measured is the asking.
_PLENTY = RateTier(requests=1_000_000_000, per_seconds=1.0, burst=1_000_000_000)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An endpoint of the gateway under test, and its clients' keys."""

    document: RouteDocument
    keys: tuple[str, ...]

    @property
    def host(self) -> str:
        """Its one host name."""
        return self.document.hosts[0]


@dataclass(frozen=True, slots=True)
class Running:
    """The gateway: Envoy's process id and port. `checks`: calls that reached Python."""

    pid: int
    port: int
    authorization: HoldService

    @property
    def checks(self) -> int:
        """See above; on warm routes it stays 0."""
        return self.authorization.checks


def endpoint(
    name: str, clients: int, authorities: Authorities, *, limited: bool = False, more: Mapping[str, Any] | None = None
) -> Endpoint:
    """An endpoint with one key for each of `clients`, all in one rate tier when `limited`. more: of its document."""
    key = NamespacedName("bench", name)
    host = f"{name}.bench.localhost"
    leaf = authorities.leaf(endpoint_identity(TRUST_DOMAIN, key), "server", host)
    minted = [mint(secrets.token_bytes) for _ in range(clients)]
    tier = "standard" if limited else ""
    grants = tuple(
        KeyGrant(
            digest(each.text), NamespacedName("bench", f"client-{index}"), each.key_id, ("infer", "metadata"), tier
        )
        for index, each in enumerate(minted)
    )
    document = RouteDocument(
        endpoint=key,
        uid=name,
        sequence=1,
        hosts=(host,),
        operations=operations_for(None, name),
        upstream_identity=UPSTREAM_IDENTITY,
        keys=grants,
        rate_tiers={tier: _PLENTY} if limited else {},
        server_certificate=leaf.certificate.decode(),
        server_private_key=leaf.private_key.decode(),
        upstream_ca=leaf.ca.decode(),
        **(more or {}),
    )
    return Endpoint(document, tuple(each.text for each in minted))


@contextlib.asynccontextmanager
async def gateway(
    folder: Path,
    authorities: Authorities,
    endpoints: tuple[Endpoint, ...],
    upstream_port: int,
    *,
    allows_percent: int = 0,
    gate: GateIR = GateIR(),  # noqa: B008 - a value that nobody can change
) -> AsyncIterator[Running]:
    """Envoy with everything applied (ACKed), all endpoints warm behind the one upstream.

    `allows_percent`: of the calls that are let through, how many the audit log has. gate: the token issuers.
    """
    port = free_port()
    # Of a flood of refusals 100 a second are written, as by default.
    audit = AuditLog(str(folder / "audit.log"), allows_percent=allows_percent)
    client = authorities.leaf(gateway_identity(TRUST_DOMAIN), "client")
    certificate = CertificateIR(client.certificate.decode(), client.private_key.decode())
    settings = GatewaySettings(HOST, port, certificate, fallback_certificate(), audit, gate=gate)
    state = _state(settings, endpoints, upstream_port)
    ads = Ads(lambda type_url, name: state[type_url].get(name))
    changed = {(url, name): state[url].get(name) for url, names in changes(None, state).items() for name in names}
    version = ads.update(changed)
    socket = folder / "ads.sock"
    async with serving(ads, socket) as authorization:
        config = bootstrap("benchmark", socket, folder / "admin.sock")
        async with envoy(folder, "gateway", config, port) as pid:
            await asyncio.wait_for(ads.applied(changed, version), _PATIENCE_S)
            yield Running(pid, port, authorization)


def _state(settings: GatewaySettings, endpoints: tuple[Endpoint, ...], upstream_port: int) -> Snapshot:
    warm = Serving(hold=False, addresses=((HOST, upstream_port),))
    documents = [each.document for each in endpoints]
    return snapshot(translate(documents, {each.endpoint: warm for each in documents}, settings))


@contextlib.asynccontextmanager
async def serving(ads: Ads, socket: Path) -> AsyncIterator[HoldService]:
    """What an Envoy with our bootstrap configuration asks, on a unix socket."""
    authorization = HoldService(lambda _: None)
    server: Any = grpc.aio.server()
    add_AggregatedDiscoveryServiceServicer_to_server(ads, server)
    add_AuthorizationServicer_to_server(authorization, server)
    add_LoadReportingServiceServicer_to_server(LoadReports(lambda: None), server)
    server.add_insecure_port(f"unix:{socket}")
    await server.start()
    try:
        yield authorization
    finally:
        await server.stop(None)
