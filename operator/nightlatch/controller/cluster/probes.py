"""The operator's health and metrics over plain HTTP, for kubelet and Prometheus."""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from aiohttp import web
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from nightlatch.metrics import MetricDefinition

_CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
# The leader reconciles the installation at least once in every resync period; longer silence means that it hangs.
STUCK_SECONDS = 900.0
_STUCK = f"no reconcile finished in the last {STUCK_SECONDS:.0f} s\n"


@dataclass(frozen=True, slots=True)
class OperatorStats:
    """The numbers behind the metrics.

    heartbeat_age: seconds since a reconcile finished; None if this replica does not lead.
    states: number of endpoints by state. waiting: objects in the work queue.
    """

    leading: bool
    heartbeat_age: float | None
    waiting: int
    reconciles: int
    failures: int
    states: dict[str, int]

    @property
    def alive(self) -> bool:
        """False if this replica is the leader and has not finished a reconcile for too long."""
        return self.heartbeat_age is None or self.heartbeat_age < STUCK_SECONDS


LEADER = MetricDefinition("nightlatch_operator_leader", "gauge", "1 if this replica is the leader.")
WORKQUEUE_DEPTH = MetricDefinition("nightlatch_operator_workqueue_depth", "gauge", "Objects that wait for a reconcile.")
RECONCILES = MetricDefinition("nightlatch_operator_reconciles_total", "counter", "Reconciles that succeeded.")
RECONCILE_ERRORS = MetricDefinition(
    "nightlatch_operator_reconcile_errors_total", "counter", "Reconciles that failed. Each is retried."
)
ENDPOINTS = MetricDefinition(
    "nightlatch_endpoints", "gauge", "InferenceEndpoints in each state: Asleep, Waking, Awake, Draining.", ("state",)
)
METRICS = (LEADER, WORKQUEUE_DEPTH, RECONCILES, RECONCILE_ERRORS, ENDPOINTS)


class OperatorCollector(Collector):
    """The metrics in METRICS, computed at each scrape."""

    def __init__(self, stats: Callable[[], OperatorStats]) -> None:
        self._stats = stats

    def collect(self) -> Iterator[Metric]:
        """All metrics."""
        stats = self._stats()
        yield LEADER.value(stats.leading)
        yield WORKQUEUE_DEPTH.value(stats.waiting)
        yield RECONCILES.value(stats.reconciles)
        yield RECONCILE_ERRORS.value(stats.failures)
        yield ENDPOINTS.values(((state,), number) for state, number in stats.states.items())


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
