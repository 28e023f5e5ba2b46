"""The operator's health and metrics over plain HTTP, for kubelet and Prometheus."""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from aiohttp import web
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

_CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
# A leader reconciles its own installation at least at every resync: longer silence means that it hangs.
STUCK_SECONDS = 900.0


@dataclass(frozen=True, slots=True)
class OperatorStats:
    """What there is to count. `heartbeat_age`: seconds since a reconcile ended, None for a replica that does not lead.

    states: number of endpoints by state. waiting: keys in the queue.
    """

    leading: bool
    heartbeat_age: float | None
    waiting: int
    reconciles: int
    failures: int
    states: dict[str, int]

    @property
    def alive(self) -> bool:
        """Whether the process does what it should."""
        return self.heartbeat_age is None or self.heartbeat_age < STUCK_SECONDS


class OperatorCollector(Collector):
    """Figures as Prometheus metrics, read at each scrape."""

    def __init__(self, figures: Callable[[], OperatorStats]) -> None:
        self._figures = figures

    def collect(self) -> Iterator[Metric]:
        """All metrics."""
        now = self._figures()
        yield GaugeMetricFamily("nightlatch_operator_leading", "1 on the replica that acts.", value=now.leading)
        yield GaugeMetricFamily("nightlatch_operator_queue", "Keys waiting for a reconcile.", value=now.waiting)
        yield CounterMetricFamily("nightlatch_operator_reconciles", "Reconciles that ended.", value=now.reconciles)
        yield CounterMetricFamily("nightlatch_operator_failures", "Reconciles that failed.", value=now.failures)
        states = GaugeMetricFamily("nightlatch_endpoints", "Endpoints by state.", labels=["state"])
        for state, number in now.states.items():
            states.add_metric([state], number)
        yield states


@asynccontextmanager
async def serve(figures: Callable[[], OperatorStats], port: int) -> AsyncIterator[int]:
    """Serve `/healthz`, `/readyz` and `/metrics` on all addresses; gives the port."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(OperatorCollector(figures))

    async def metrics(_: web.Request) -> web.Response:
        return web.Response(body=generate_latest(registry), headers={"content-type": _CONTENT_TYPE})

    async def healthy(_: web.Request) -> web.Response:
        alive = figures().alive
        return web.Response(status=200 if alive else 503, text="ok\n" if alive else "no reconcile ended for long\n")

    async def ready(_: web.Request) -> web.Response:
        return web.Response(text="leading\n" if figures().leading else "standing by\n")

    app = web.Application()
    app.add_routes([web.get("/metrics", metrics), web.get("/healthz", healthy), web.get("/readyz", ready)])
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        site = web.TCPSite(runner, None, port)
        await site.start()
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()
