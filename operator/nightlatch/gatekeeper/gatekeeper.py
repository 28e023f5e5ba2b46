"""The gatekeeper of one gateway: brings news of store, platform, leader and Envoy to the endpoints' gates.

In memory, on one event loop. `service.py` opens its sockets.
"""

import asyncio
import contextlib
import logging
import time
from collections import deque
from collections.abc import Awaitable, Iterable, Iterator
from dataclasses import replace

from nightlatch.api import names
from nightlatch.api.meta import NamespacedName
from nightlatch.gatekeeper.documents import DocumentChanges, Documents
from nightlatch.gatekeeper.hold.endpoint import GatewayEndpoint, Programmed
from nightlatch.gatekeeper.hold.hold_service import Admit, HoldService
from nightlatch.gatekeeper.hold.hold_state import Address, Directed, Load, Replicas, Tick
from nightlatch.gatekeeper.load import LoadReports
from nightlatch.gatekeeper.process.metrics import GatewayStats
from nightlatch.gatekeeper.report_stream import ReportStream
from nightlatch.gatekeeper.xds.program import Program
from nightlatch.gatekeeper.xds.resources import ResourceId
from nightlatch.gatekeeper.xds.server import Ads
from nightlatch.pki.material import TlsMaterial
from nightlatch.routing.ir import Serving, resource_name
from nightlatch.store.protocol import Store
from nightlatch.wire import caller_errors
from nightlatch.wire.report import Directive, Directives, GatewayReport, WakeReport
from nightlatch.wire.route_document import RouteDocument
from nightlatch.workloads.protocol import Replica, WorkloadReader

_log = logging.getLogger(__name__)

RETRY_PAUSE = 1.0
TICK = 1.0
# A wake is repeated in the reports for so long, so that a leader that connects late hears of it.
WAKES_KEPT = 64
WAKES_FOR = 30.0


class Gatekeeper:
    """See the module. It is the `Gateway` that its endpoints talk to."""

    def __init__(
        self,
        *,
        name: str,
        store: Store,
        gateway_namespace: str,
        workloads: WorkloadReader,
        operator_identity: str,
        program: Program,
        max_staleness: float,
    ) -> None:
        self.name = name
        self.endpoints: dict[NamespacedName, GatewayEndpoint] = {}
        self.ads = Ads(program.stand_in, lambda _: self.changed())
        self.load = LoadReports(self._load_reported)
        self.authorization = HoldService(self._admit_of)
        self.reports = ReportStream(operator_identity, self.report, self._directed)
        self.documents = Documents(store, gateway_namespace, self._documents_changed, self.clock)
        self.stale = False
        self._workloads = workloads
        self._program = program
        self._max_staleness = max_staleness
        self._directives: dict[NamespacedName, Directive] = {}
        self._wakes: deque[tuple[float, WakeReport]] = deque(maxlen=WAKES_KEPT)
        self._replicas: dict[NamespacedName, tuple[Replica, ...]] = {}
        self._current = False
        self._led = False
        self._batches = 0

    async def become_current(self) -> None:
        """Learn documents and replicas before anything is handed to Envoy, so that a restart flips nothing."""
        await self.documents.load()
        for key in self.documents.routes:
            await self._observe(key)
        while self.documents.client_tls is None:
            _log.warning("waiting for the gateway's client certificate")
            await asyncio.sleep(RETRY_PAUSE)
            await self.documents.load()
        self._current = True
        self._documents_changed(DocumentChanges(frozenset(self.documents.routes), tls=True))

    async def follow(self) -> None:
        """Keep up with store, platform and time, without end."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.documents.follow())
            tasks.create_task(self._follow_workloads())
            tasks.create_task(self._tick())

    def close(self) -> None:
        """Send everyone held away."""
        for endpoint in self.endpoints.values():
            endpoint.close()

    def _admit_of(self, key: NamespacedName) -> Admit | None:
        endpoint = self.endpoints.get(key)
        return endpoint.admit if endpoint else None

    # What the endpoints ask for.

    def clock(self) -> float:
        """Monotonic seconds."""
        return time.monotonic()

    def wall(self) -> float:
        """Unix seconds."""
        return time.time()

    def program(self, document: RouteDocument, holding: bool, addresses: tuple[Address, ...]) -> Programmed:  # noqa: FBT001
        """Hand an endpoint's resources to Envoy: the difference to what it has."""
        effective = replace(document, denied=caller_errors.POLICY_STALE.code) if self.stale else document
        self._program.put(effective, Serving(holding, addresses))
        return Programmed(self._push(), self._program.parts(document.endpoint))

    def _push(self) -> int:
        """Hand Envoy what changed; within a batch, at its end. Returns the version that has it."""
        if self._batches:
            return self.ads.resources.version + 1
        return self.ads.update(self._program.changes())

    @contextlib.contextmanager
    def _batch(self) -> Iterator[None]:
        """Changes to many endpoints are compiled and pushed once. Nothing may be awaited within."""
        self._batches += 1
        try:
            yield
        finally:
            self._batches -= 1
            self._push()

    def applied(self, resources: Iterable[ResourceId], version: int) -> Awaitable[None]:
        """Wait for Envoy's ACK. Raises RefusedError."""
        return self.ads.applied(resources, version)

    def client_tls(self) -> TlsMaterial | None:
        """The gateway's client certificate."""
        return self.documents.client_tls

    def changed(self) -> None:
        """There is something new to report."""
        self.reports.changed()

    def woke(self, wake: WakeReport) -> None:
        """A wake is finished."""
        _log.info("woke", extra={"endpoint": str(wake.endpoint), "phases_ms": wake.phases})
        self._wakes.append((self.clock(), wake))
        self.changed()

    # What is asked from outside.

    def report(self) -> GatewayReport:
        """Everything there is to tell the leader."""
        horizon = self.clock() - WAKES_FOR
        return GatewayReport(
            gateway=self.name,
            serving=self.ads.serving,
            endpoints=tuple(e.report(issued=self._issued(e.key)) for e in self.endpoints.values()),
            wakes=tuple(wake for at, wake in self._wakes if at > horizon),
            checks=self.authorization.checks,
        )

    def figures(self) -> GatewayStats:
        """Everything there is to count."""
        return GatewayStats(
            endpoints=self.report().endpoints,
            checks=self.authorization.checks,
            acks=self.ads.acks,
            nacks=self.ads.nacks,
            streams=self.ads.streams,
            leader_connected=self.reports.connected,
            store_age=self.documents.age,
            stale=self.stale,
            serving=self.ads.serving,
        )

    # News.

    def _documents_changed(self, changed: DocumentChanges) -> None:
        if not self._current:
            return
        with self._batch():
            if changed.tls and self.documents.client_tls:
                self._program.put_client(self.documents.client_tls)
            for key in changed.endpoints:
                self._refresh(key)

    def _refresh(self, key: NamespacedName) -> None:
        """Bring an endpoint in line with its document; trouble with one stays with that one."""
        try:
            self._bring_in_line(key)
        except Exception:  # noqa: BLE001 - whatever is wrong with one document, the others go on
            _log.exception("cannot translate a document, the last good one stays", extra={"endpoint": str(key)})

    def _bring_in_line(self, key: NamespacedName) -> None:
        document = self.documents.routes.get(key)
        endpoint = self.endpoints.get(key)
        if document is None:
            self._drop(key)
        elif endpoint is None:
            self._add(key, document)
        elif endpoint.document != document:
            unreadable = self.documents.unreadable.get(names.route_document(key))
            endpoint.replace_document(document, stand_in_for=unreadable)

    def _add(self, key: NamespacedName, document: RouteDocument) -> None:
        self.endpoints[key] = endpoint = GatewayEndpoint(document, self._replicas.get(key, ()), self)
        if directive := self._directives.get(key):
            endpoint.feed(Directed(directive, fresh=False))
        self.changed()

    def _drop(self, key: NamespacedName) -> None:
        if endpoint := self.endpoints.pop(key, None):
            endpoint.close()
            self._program.remove(key)
            self._push()
            self.changed()

    async def _follow_workloads(self) -> None:
        while True:
            try:
                async for key in self._workloads.changes():
                    await self._observe(key)
            except Exception:  # noqa: BLE001 - the platform's trouble must not end the gateway
                _log.exception("cannot follow the workloads")
            await asyncio.sleep(RETRY_PAUSE)

    async def _observe(self, key: NamespacedName) -> None:
        state = await self._workloads.observe(key)
        self._replicas[key] = state.replicas if state else ()
        if endpoint := self.endpoints.get(key):
            endpoint.feed(Replicas(self._replicas[key]))

    def _directed(self, directives: Directives) -> None:
        # What failed before we started was told to those who waited then.
        fresh = self._led
        if directives.complete:
            self._directives.clear()
            self._led = True
        with self._batch():
            for directive in directives.directives:
                self._directives[directive.endpoint] = directive
                if endpoint := self.endpoints.get(directive.endpoint):
                    endpoint.feed(Directed(directive, fresh))

    def _load_reported(self) -> None:
        with self._batch():
            for key, endpoint in self.endpoints.items():
                in_flight = self.load.in_flight(resource_name(key))
                if endpoint.hold.drain or endpoint.hold.in_flight != in_flight:
                    endpoint.feed(Load(in_flight))
        self.changed()

    def _issued(self, key: NamespacedName) -> int:
        return self.load.issued(resource_name(key))

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(TICK)
            for endpoint in [each for each in self.endpoints.values() if each.hold.drain]:
                endpoint.feed(Tick())
            self._check_staleness()

    def _check_staleness(self) -> None:
        stale = self.documents.age > self._max_staleness
        if stale != self.stale:
            self.stale = stale
            _log.error("staleness changed", extra={"stale": stale, "age_s": round(self.documents.age)})
            with self._batch():
                for endpoint in self.endpoints.values():
                    endpoint.reprogram()
