"""Health and metrics over plain HTTP, GET only, for the kubelet and Prometheus. Callers cannot reach this port."""

from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from typing import get_args

from aiohttp import web
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from nightlatch.gatekeeper.stats import GatewayStats, Unlogged
from nightlatch.metrics import MetricDefinition
from nightlatch.routing.limits import HELD_CALL_BYTES
from nightlatch.wire.report import EndpointReport, HoldPhase

_CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_ENDPOINT = ("namespace", "name")
CHECKS = MetricDefinition(
    "nightlatch_gateway_checks_total",
    "counter",
    "Requests about which Envoy asked the gatekeeper, because the hold of their endpoint was on.",
)
XDS_ACKS = MetricDefinition(
    "nightlatch_gateway_xds_acks_total", "counter", "Configuration updates that Envoy accepted."
)
XDS_NACKS = MetricDefinition(
    "nightlatch_gateway_xds_nacks_total", "counter", "Configuration updates that Envoy rejected."
)
XDS_STREAMS = MetricDefinition(
    "nightlatch_gateway_xds_streams", "gauge", "Envoy processes connected to this gatekeeper."
)
LEADER_CONNECTED = MetricDefinition(
    "nightlatch_gateway_leader_connected", "gauge", "1 while the operator's leader receives this gateway's reports."
)
STORE_AGE = MetricDefinition("nightlatch_gateway_store_age_seconds", "gauge", "Seconds since the store last answered.")
STALE = MetricDefinition(
    "nightlatch_gateway_stale",
    "gauge",
    "1 while every request is denied because the store has not answered for longer than the configured limit.",
)
SERVING = MetricDefinition("nightlatch_gateway_serving", "gauge", "1 while Envoy has all of its listeners.")
HELD = MetricDefinition(
    "nightlatch_gateway_held_requests", "gauge", "Requests held now until the endpoint is awake.", _ENDPOINT
)
HELD_LIMIT = MetricDefinition(
    "nightlatch_gateway_held_requests_limit",
    "gauge",
    "Requests that this gateway holds at most, for all endpoints together.",
)
HELD_BYTES = MetricDefinition(
    "nightlatch_gateway_held_bytes",
    "gauge",
    f"The most that Envoy can keep of the bodies of the requests held now: {HELD_CALL_BYTES} bytes for each.",
)
HELD_BYTES_LIMIT = MetricDefinition(
    "nightlatch_gateway_held_bytes_limit",
    "gauge",
    "The most that Envoy can keep of the bodies of held requests while this gateway holds as many as it may.",
)
HELD_REFUSED = MetricDefinition(
    "nightlatch_gateway_held_refused_total",
    "counter",
    "Requests refused because this gateway held as many requests as it may.",
)
IN_FLIGHT = MetricDefinition(
    "nightlatch_gateway_in_flight_requests",
    "gauge",
    "Requests in progress at the model servers. Missing while Envoy's load report is missing.",
    _ENDPOINT,
)
UPSTREAM_REQUESTS = MetricDefinition(
    "nightlatch_gateway_upstream_requests_total",
    "counter",
    "Requests sent to the model servers.",
    _ENDPOINT,
)
PHASE = MetricDefinition(
    "nightlatch_gateway_phase",
    "gauge",
    f"1 for the phase that the endpoint's hold is in, 0 for the others: {', '.join(get_args(HoldPhase))}.",
    (*_ENDPOINT, "phase"),
)
UNLOGGED = MetricDefinition(
    "nightlatch_gateway_audit_dropped_total",
    "counter",
    "Refusals without a line in the audit log, by reason: `rate`, above the log's rate; `overload`, Envoy runs out of "
    "memory; `accept_rate`, too many connections a second; `handshake`, TLS failed; `http2`, not HTTP/2. Missing "
    "while Envoy does not answer.",
    ("reason",),
)
METRICS = (
    CHECKS,
    HELD_LIMIT,
    HELD_BYTES,
    HELD_BYTES_LIMIT,
    HELD_REFUSED,
    HELD,
    IN_FLIGHT,
    UPSTREAM_REQUESTS,
    PHASE,
    SERVING,
    STALE,
    STORE_AGE,
    LEADER_CONNECTED,
    XDS_STREAMS,
    XDS_ACKS,
    XDS_NACKS,
    UNLOGGED,
)


class GatewayCollector(Collector):
    """The metrics in METRICS, for one scrape."""

    def __init__(self, stats: GatewayStats, unlogged: Mapping[Unlogged, int]) -> None:
        self._stats = stats
        self._unlogged = unlogged

    def collect(self) -> Iterator[Metric]:
        """All metrics."""
        stats = self._stats
        yield CHECKS.value(stats.checks)
        yield HELD_LIMIT.value(stats.held_limit)
        yield HELD_BYTES.value(sum(each.held for each in stats.endpoints) * HELD_CALL_BYTES)
        yield HELD_BYTES_LIMIT.value(stats.held_limit * HELD_CALL_BYTES)
        yield HELD_REFUSED.value(stats.held_refused)
        yield from _of_endpoints(stats.endpoints)
        yield SERVING.value(stats.serving)
        yield STALE.value(stats.stale)
        yield STORE_AGE.value(stats.store_age)
        yield LEADER_CONNECTED.value(stats.leader_connected)
        yield XDS_STREAMS.value(stats.streams)
        yield XDS_ACKS.value(stats.acks)
        yield XDS_NACKS.value(stats.nacks)
        yield UNLOGGED.values(((reason,), number) for reason, number in self._unlogged.items())


def _of_endpoints(reports: Iterable[EndpointReport]) -> Iterator[Metric]:
    by_name = {(each.endpoint.namespace, each.endpoint.name): each for each in reports}
    yield HELD.values((name, each.held) for name, each in by_name.items())
    yield IN_FLIGHT.values((name, each.in_flight) for name, each in by_name.items() if each.in_flight is not None)
    yield UPSTREAM_REQUESTS.values((name, each.issued) for name, each in by_name.items())
    yield PHASE.values(
        ((*name, phase), each.phase == phase) for name, each in by_name.items() for phase in get_args(HoldPhase)
    )


def application(
    stats: Callable[[], GatewayStats],
    accepts: Callable[[], Awaitable[bool]],
    unlogged: Callable[[], Awaitable[Mapping[Unlogged, int]]],
) -> web.Application:
    """`/metrics`, `/healthz` (the process answers) and `/readyz`.

    Ready: Envoy has had all that there was when it connected, has all listeners and accepts a connection, the store is
    not stale, and after a rollback the documents are readable again.
    """

    async def metrics(_: web.Request) -> web.Response:
        registry = CollectorRegistry(auto_describe=False)
        registry.register(GatewayCollector(stats(), await unlogged()))
        return web.Response(body=generate_latest(registry), headers={"content-type": _CONTENT_TYPE})

    async def healthy(_: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def ready(_: web.Request) -> web.Response:
        now = stats()
        # Envoy ACKs a listener a moment before it listens.
        fine = now.serving and now.loaded and not now.stale and not now.awaits_documents and await accepts()
        return web.Response(status=200 if fine else 503, text="ok\n" if fine else "not serving\n")

    app = web.Application()
    for path, handler in (("/metrics", metrics), ("/healthz", healthy), ("/readyz", ready)):
        app.router.add_get(path, handler)
    return app
