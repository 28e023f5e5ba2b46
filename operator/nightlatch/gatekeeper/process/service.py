"""The gatekeeper process: opens the sockets of a Gatekeeper, and closes them in order on SIGTERM."""

import asyncio
import contextlib
import logging
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import orjson
from aiohttp import web
from envoy.service.auth.v3.external_auth_pb2_grpc import add_AuthorizationServicer_to_server
from envoy.service.discovery.v3.ads_pb2_grpc import add_AggregatedDiscoveryServiceServicer_to_server
from envoy.service.load_stats.v3.lrs_pb2_grpc import add_LoadReportingServiceServicer_to_server

from nightlatch.api import names
from nightlatch.files import replace_file
from nightlatch.gatekeeper import key_uses, unknown_keys
from nightlatch.gatekeeper.gatekeeper import Gatekeeper
from nightlatch.gatekeeper.hold.gateway_places import places_within
from nightlatch.gatekeeper.process import envoy_counters, last_heard, metrics
from nightlatch.gatekeeper.process.backends import open_backends
from nightlatch.gatekeeper.process.config import Config, Listen
from nightlatch.gatekeeper.process.fallback import fallback_certificate
from nightlatch.gatekeeper.report_stream import credentials
from nightlatch.gatekeeper.xds.program import Program
from nightlatch.pki.material import TlsMaterial
from nightlatch.routing.xds.report import report_socket

_log = logging.getLogger(__name__)

LOOPBACK, WILDCARDS = "127.0.0.1", ("0.0.0.0", "::")  # noqa: S104 - compared, not bound

# Each held call is one stream on Envoy's connection to the gatekeeper.
_LOCAL_OPTIONS = (("grpc.max_concurrent_streams", 100_000),)
_TLS_POLL = 0.2
_STOP_SECONDS = 10.0


async def serve(config: Config) -> None:
    """Run until SIGTERM or SIGINT. Raises ConfigError, and OSError if a port or the socket cannot be opened."""
    async with open_backends(config) as backends:
        gatekeeper = Gatekeeper(
            name=config.gateway,
            store=backends.store,
            gateway_namespace=config.gateway_namespace,
            workloads=backends.workloads,
            operator_identity=names.operator_identity(config.trust_domain),
            program=Program(
                config.listen.host,
                config.listen.port,
                fallback_certificate(),
                config.audit,
                new_connections=config.new_connections,
            ),
            max_staleness=config.max_staleness,
            max_held=places_within(config.max_held_requests, config.max_held_bytes),
        )
        await run(gatekeeper, config, _stop_signal())


def _stop_signal() -> asyncio.Event:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    return stop


async def run(gatekeeper: Gatekeeper, config: Config, stop: asyncio.Event) -> None:
    """Serve until `stop` is set."""
    async with _metrics(gatekeeper, config) as metrics_port:
        work = asyncio.create_task(_work(gatekeeper, config, metrics_port))
        halt = asyncio.create_task(stop.wait())
        await asyncio.wait({work, halt}, return_when=asyncio.FIRST_COMPLETED)
        halt.cancel()
        if work.done():
            return work.result()
        _log.info("stopping")
        gatekeeper.close()
        work.cancel()
        # The wait is bounded, because not every library passes a cancellation on.
        await asyncio.wait({work}, timeout=_STOP_SECONDS)
    return None


async def _work(gatekeeper: Gatekeeper, config: Config, metrics_port: int) -> None:
    current = asyncio.create_task(gatekeeper.become_current())
    try:
        heard = last_heard.path_beside(config.socket)
        await _current_or_stale(current, last_heard.remaining_staleness(heard, config.max_staleness, gatekeeper.wall()))
        async with _local(gatekeeper, config.socket):
            await current
            await _serve_current(gatekeeper, config, metrics_port)
    finally:
        current.cancel()


async def _current_or_stale(current: "asyncio.Task[None]", remaining: float) -> None:
    """Wait for the first complete state, at most `remaining` seconds.

    Until then Envoy keeps its last configuration; afterwards Envoy is served an empty one and denies every call.
    """
    await asyncio.wait({current}, timeout=remaining)
    if not current.done():
        _log.error("denying all calls: the store has not answered for too long", extra={"waited_s": round(remaining)})


async def _serve_current(gatekeeper: Gatekeeper, config: Config, metrics_port: int) -> None:
    async with asyncio.TaskGroup() as tasks:
        _log.info("state loaded", extra={"endpoints": len(gatekeeper.endpoints), "socket": str(config.socket)})
        tasks.create_task(gatekeeper.follow())
        heard = last_heard.path_beside(config.socket)
        tasks.create_task(last_heard.keep(heard, lambda: gatekeeper.last_heard, config.max_staleness))
        tasks.create_task(_report(gatekeeper, config, metrics_port))
        report = report_socket(config.socket)
        tasks.create_task(key_uses.follow(report, gatekeeper.keys_used))
        tasks.create_task(
            unknown_keys.follow(report, lambda: bool(gatekeeper.documents.issuers), gatekeeper.keys_unknown)
        )


@contextlib.asynccontextmanager
async def _local(gatekeeper: Gatekeeper, socket: Path) -> AsyncIterator[None]:
    """ADS, ext_authz and LRS on the Unix socket that Envoy dials."""
    server = grpc.aio.server(options=_LOCAL_OPTIONS)
    add_AggregatedDiscoveryServiceServicer_to_server(gatekeeper.ads, server)
    add_AuthorizationServicer_to_server(gatekeeper.hold_service, server)
    add_LoadReportingServiceServicer_to_server(gatekeeper.load, server)
    # A predecessor that was killed leaves its socket behind.
    await asyncio.to_thread(socket.unlink, missing_ok=True)
    _bind_local(server, socket)
    await server.start()
    try:
        yield
    finally:
        await server.stop(grace=1.0)


def _bind_local(server: grpc.aio.Server, socket: Path) -> None:
    """Create the socket with mode 0600, so that only our own user may connect."""
    mask = os.umask(0o177)
    try:
        server.add_insecure_port(f"unix:{socket}")
    finally:
        os.umask(mask)


async def _report(gatekeeper: Gatekeeper, config: Config, metrics_port: int) -> None:
    """Serve the report stream as soon as there is a certificate for it, and announce the address."""
    material = await _server_material(gatekeeper)
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((gatekeeper.reports.handler(),))

    def newest() -> TlsMaterial:
        return gatekeeper.documents.server_tls or material

    port = server.add_secure_port(f"{config.report.host}:{config.report.port}", credentials(newest))
    await server.start()
    announce(config.announce, Listen(config.report.host, port), Listen(config.metrics.host, metrics_port))
    try:
        await server.wait_for_termination()
    finally:
        await server.stop(grace=None)


async def _server_material(gatekeeper: Gatekeeper) -> TlsMaterial:
    while (material := gatekeeper.documents.server_tls) is None:
        await asyncio.sleep(_TLS_POLL)
    return material


def announce(path: Path, report: Listen, metrics_listen: Listen) -> None:
    """Write the addresses to a file: `{"report": {"host", "port"}, "metrics": {"host", "port"}, "pid"}`."""
    content = {"report": report, "metrics": metrics_listen, "pid": os.getpid()}
    replace_file(path, orjson.dumps(content), mode=0o644)


@contextlib.asynccontextmanager
async def _metrics(gatekeeper: Gatekeeper, config: Config) -> AsyncIterator[int]:
    admin = envoy_counters.admin_socket(config.socket)
    application = metrics.application(
        gatekeeper.stats, lambda: _accepts(config.listen), lambda: envoy_counters.figures(admin)
    )
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    try:
        site = web.TCPSite(runner, config.metrics.host, config.metrics.port)
        await site.start()
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


async def _accepts(listen: Listen) -> bool:
    """True if a connection to Envoy's listener succeeds."""
    host = LOOPBACK if listen.host in WILDCARDS else listen.host
    try:
        async with asyncio.timeout(1.0):
            _, writer = await asyncio.open_connection(host, listen.port)
    except OSError:
        return False
    writer.close()
    return True
