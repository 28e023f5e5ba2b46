"""The operator's health and metrics over plain HTTP, for kubelet and Prometheus."""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from aiohttp import web
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

_CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
# A leader reconciles the installation at every resync, which is more often: after so many seconds it must hang.
STUCK_SECONDS = 900.0
_STUCK = f"no reconcile finished in the last {STUCK_SECONDS:.0f} s\n"


@dataclass(frozen=True, slots=True)
class OperatorStats:
    """heartbeat_age: seconds since a reconcile ended, None for a replica that does not lead.

    states: the number of endpoints by state. waiting: keys in the work queue. failures: reconciles that failed.
    """

    leading: bool
    heartbeat_age: float | None
    waiting: int
    reconciles: int
    failures: int
    states: dict[str, int]

    @property
    def alive(self) -> bool:
        """False if the leader has stopped reconciling."""
        return self.heartbeat_age is None or self.heartbeat_age < STUCK_SECONDS


class OperatorCollector(Collector):
    """The stats as Prometheus metrics, read at each scrape."""

    def __init__(self, stats: Callable[[], OperatorStats]) -> None:
        self._stats = stats

    def collect(self) -> Iterator[Metric]:
        """All metrics."""
        now = self._stats()
        yield GaugeMetricFamily("nightlatch_operator_leader", "1 if this replica is the leader.", value=now.leading)
        yield GaugeMetricFamily(
            "nightlatch_operator_workqueue_depth", "Keys waiting for a reconcile.", value=now.waiting
        )
        yield CounterMetricFamily("nightlatch_operator_reconciles", "Reconciles that ended.", value=now.reconciles)
        yield CounterMetricFamily("nightlatch_operator_reconcile_errors", "Reconciles that failed.", value=now.failures)
        states = GaugeMetricFamily("nightlatch_endpoints", "Endpoints by state.", labels=["state"])
        for state, number in now.states.items():
            states.add_metric([state], number)
        yield states


@asynccontextmanager
async def serve(stats: Callable[[], OperatorStats], port: int) -> AsyncIterator[int]:
    """Serve `/healthz`, `/readyz` and `/metrics` on all addresses; gives the port."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(OperatorCollector(stats))

    async def metrics(_: web.Request) -> web.Response:
        return web.Response(body=generate_latest(registry), headers={"content-type": _CONTENT_TYPE})

    async def healthy(_: web.Request) -> web.Response:
        alive = stats().alive
        return web.Response(status=200 if alive else 503, text="ok\n" if alive else _STUCK)

    async def ready(_: web.Request) -> web.Response:
        return web.Response(text="leading\n" if stats().leading else "standing by\n")

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
