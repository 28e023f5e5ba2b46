"""Health and metrics over plain HTTP, GET only, for the platform and Prometheus; never routed to callers."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import get_args

from aiohttp import web
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from nightlatch.wire.report import EndpointReport, HoldPhase

_CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


@dataclass(frozen=True, slots=True)
class GatewayStats:
    """What there is to count, at one moment. `store_age`: seconds since the store last answered."""

    endpoints: tuple[EndpointReport, ...]
    checks: int
    acks: int
    nacks: int
    streams: int
    leader_connected: bool
    store_age: float
    stale: bool
    serving: bool


class GatewayCollector(Collector):
    """Figures as Prometheus metrics, read at each scrape."""

    def __init__(self, figures: Callable[[], GatewayStats]) -> None:
        self._figures = figures

    def collect(self) -> Iterator[Metric]:
        """All metrics."""
        figures = self._figures()
        yield _counter("checks", "Calls that asked the gate.", figures.checks)
        yield _counter("xds_acks", "Responses that Envoy accepted.", figures.acks)
        yield _counter("xds_nacks", "Responses that Envoy refused.", figures.nacks)
        yield _gauge("xds_streams", "Envoys connected.", figures.streams)
        yield _gauge("leader_connected", "Whether the leader listens to the reports.", figures.leader_connected)
        yield _gauge("store_age_seconds", "Time since the store last answered.", figures.store_age)
        yield _gauge("stale", "Whether calls are denied because the store was silent for too long.", figures.stale)
        yield _gauge("serving", "Whether Envoy has all listeners.", figures.serving)
        yield from _by_endpoint(figures.endpoints)


def _by_endpoint(endpoints: Iterable[EndpointReport]) -> Iterator[Metric]:
    labels = ["namespace", "name"]
    held = GaugeMetricFamily("nightlatch_gateway_held", "Calls held now.", labels=labels)
    in_flight = GaugeMetricFamily("nightlatch_gateway_in_flight", "Calls in progress, if known.", labels=labels)
    issued = CounterMetricFamily("nightlatch_gateway_issued", "Calls sent to the model server.", labels=labels)
    phase = GaugeMetricFamily("nightlatch_gateway_phase", "1 for the phase it is in.", labels=[*labels, "phase"])
    for each in endpoints:
        key = [each.endpoint.namespace, each.endpoint.name]
        held.add_metric(key, each.held)
        issued.add_metric(key, each.issued)
        if each.in_flight is not None:
            in_flight.add_metric(key, each.in_flight)
        for name in get_args(HoldPhase):
            phase.add_metric([*key, name], each.phase == name)
    yield from (held, in_flight, issued, phase)


def _counter(name: str, text: str, value: float) -> Metric:
    return CounterMetricFamily(f"nightlatch_gateway_{name}", text, value=value)


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(f"nightlatch_gateway_{name}", text, value=value)


def application(figures: Callable[[], GatewayStats]) -> web.Application:
    """`/metrics`, `/healthz` (the process answers) and `/readyz` (Envoy has all listeners, the store is not stale)."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(GatewayCollector(figures))

    async def metrics(_: web.Request) -> web.Response:
        return web.Response(body=generate_latest(registry), headers={"content-type": _CONTENT_TYPE})

    async def healthy(_: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def ready(_: web.Request) -> web.Response:
        now = figures()
        fine = now.serving and not now.stale
        return web.Response(status=200 if fine else 503, text="ok\n" if fine else "not serving\n")

    app = web.Application()
    for path, handler in (("/metrics", metrics), ("/healthz", healthy), ("/readyz", ready)):
        app.router.add_get(path, handler)
    return app
