"""The gatekeeper of one gateway: passes events from store, platform, leader and Envoy to the endpoints.

All state is in memory, on one event loop. `process/service.py` opens the sockets.
"""

import asyncio
import contextlib
import logging
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping

from nightlatch.api import names
from nightlatch.api.meta import NamespacedName
from nightlatch.gatekeeper.documents import DocumentChanges, Documents
from nightlatch.gatekeeper.gate_state import GateState, gate_ir, narrowed_issuers, next_gate_state
from nightlatch.gatekeeper.hold.endpoint import GatewayEndpoint, Programmed
from nightlatch.gatekeeper.hold.gateway_places import GatewayPlaces
from nightlatch.gatekeeper.hold.hold_service import Admit, HoldService
from nightlatch.gatekeeper.hold.hold_state import Directed, Load, Replicas, Tick
from nightlatch.gatekeeper.hold.still_allowed import HeldCall
from nightlatch.gatekeeper.load import LoadReports
from nightlatch.gatekeeper.report_stream import ReportStream
from nightlatch.gatekeeper.stats import GatewayStats
from nightlatch.gatekeeper.xds.program import Program
from nightlatch.gatekeeper.xds.resources import ResourceId
from nightlatch.gatekeeper.xds.server import Ads
from nightlatch.pki.material import TlsMaterial
from nightlatch.routing.ir import Serving, resource_name
from nightlatch.store.protocol import Store
from nightlatch.wire import caller_errors
from nightlatch.wire.error_body import CallerError
from nightlatch.wire.report import Directive, Directives, GatewayReport, WakeReport
from nightlatch.wire.route_document import RouteDocument
from nightlatch.workloads.protocol import Replica, WorkloadReader

_log = logging.getLogger(__name__)

RETRY_PAUSE = 1.0
TICK = 1.0
# How many wakes, and for how many seconds, the reports repeat, so that a leader that connects late learns of them.
WAKES_KEPT = 64
WAKES_FOR = 30.0
# Seconds after the start in which documents that are too new keep the gateway from being ready. The operator writes
# what the gateway reads as soon as it hears from it, but a new leader may have to be elected first.
DOCUMENTS_PATIENCE = 60.0


class Gatekeeper:
    """One gateway's state and the services over it. It is the EndpointHost of its endpoints."""

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
        max_held: int,
    ) -> None:
        self.name = name
        self.places = GatewayPlaces(max_held)
        self.endpoints: dict[NamespacedName, GatewayEndpoint] = {}
        self.ads = Ads(program.stand_in, lambda _: self.changed())
        self.load = LoadReports(self._load_reported)
        self.hold_service = HoldService(self._admit_of)
        self.reports = ReportStream(operator_identity, self.report, self._directed)
        self.documents = Documents(store, gateway_namespace, self._documents_changed, self.clock)
        self.stale = False
        self.gate_state = GateState()
        self._workloads = workloads
        self._program = program
        self._max_staleness = max_staleness
        self._revoked: Callable[[HeldCall], bool] = lambda _: False
        self._narrowed: frozenset[str] = frozenset()
        self._directives: dict[NamespacedName, Directive] = {}
        self._wakes: deque[tuple[float, WakeReport]] = deque(maxlen=WAKES_KEPT)
        self._replicas: dict[NamespacedName, tuple[Replica, ...]] = {}
        self._started = self.clock()
        self._current = False
        self._led = False
        self._batches = 0
        self._key_uses: Mapping[str, int] = {}
        self._unknown_keys: Mapping[str, int] = {}

    @property
    def last_heard(self) -> float:
        """When the store last answered, in Unix seconds."""
        return self.wall() - self.documents.age

    async def become_current(self) -> None:
        """Read documents and replicas before anything is handed to Envoy, so that a restart changes nothing there."""
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
        """Follow the store, the platform and the clock, until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.documents.follow())
            tasks.create_task(self._follow_workloads())
            tasks.create_task(self._tick())

    def close(self) -> None:
        """Refuse the held calls."""
        for endpoint in self.endpoints.values():
            endpoint.close()

    def _admit_of(self, key: NamespacedName) -> Admit | None:
        endpoint = self.endpoints.get(key)
        return endpoint.admit if endpoint else None

    # EndpointHost, for the endpoints.

    def clock(self) -> float:
        """Monotonic seconds."""
        return time.monotonic()

    def wall(self) -> float:
        """Unix seconds."""
        return time.time()

    def program(self, document: RouteDocument, serving: Serving) -> Programmed:
        """Hand Envoy what differs in the endpoint's resources."""
        parts = self._program.put(document, serving)
        return Programmed(self._push(), parts)

    def _push(self) -> int:
        """Hand Envoy what changed, or do so at the end of the current batch. Returns the version that contains it."""
        if self._batches:
            return self.ads.resources.version + 1
        return self.ads.update(self._program.changes())

    @contextlib.contextmanager
    def _batch(self) -> Iterator[None]:
        """Compile and push the changes to many endpoints once, at the end. The block must not await anything."""
        self._batches += 1
        try:
            yield
        finally:
            self._batches -= 1
            self._push()

    def applied(self, resources: Iterable[ResourceId], version: int) -> Awaitable[None]:
        """Wait for Envoy's ACK. Raises RefusedError if Envoy refuses a resource."""
        return self.ads.applied(resources, version)

    def client_tls(self) -> TlsMaterial | None:
        """The gateway's client certificate."""
        return self.documents.client_tls

    def trust(self) -> str:
        """The bundle that model servers are verified with."""
        return self._program.trust

    def refuses(self, call: HeldCall) -> CallerError | None:
        """Why the whole gateway refuses this call now; None if it does not."""
        if self.stale:
            return caller_errors.POLICY_STALE
        if self._revoked(call):
            return caller_errors.UNAUTHENTICATED
        return caller_errors.VERIFICATION_UNAVAILABLE if call.issuers & self._narrowed else None

    def changed(self) -> None:
        """Send a report soon."""
        self.reports.changed()

    def woke(self, wake: WakeReport) -> None:
        """Report a finished wake."""
        _log.info("endpoint woke", extra={"endpoint": str(wake.endpoint), "phases_ms": wake.phases})
        self._wakes.append((self.clock(), wake))
        self.changed()

    # Reports and metrics.

    def report(self) -> GatewayReport:
        """The report to the leader."""
        horizon = self.clock() - WAKES_FOR
        return GatewayReport(
            gateway=self.name,
            serving=self.ads.serving,
            endpoints=tuple(
                e.report(issued=self._issued(e.key), too_new=names.route_document(e.key) in self.documents.too_new)
                for e in self.endpoints.values()
            ),
            wakes=tuple(wake for at, wake in self._wakes if at > horizon),
            checks=self.hold_service.checks,
            reads=self.documents.reads,
            used=self._key_uses,
            unknown_keys=self._unknown_keys,
        )

    def stats(self) -> GatewayStats:
        """The numbers for the metrics."""
        return GatewayStats(
            endpoints=self.report().endpoints,
            held_limit=self.places.limit,
            held_refused=self.places.refused,
            checks=self.hold_service.checks,
            acks=self.ads.acks,
            nacks=self.ads.nacks,
            streams=self.ads.streams,
            leader_connected=self.reports.connected,
            store_age=self.documents.age,
            stale=self.stale,
            serving=self.ads.serving,
            loaded=self.ads.loaded,
            awaits_documents=bool(self.documents.never_read) and self.clock() - self._started < DOCUMENTS_PATIENCE,
        )

    # Events.

    def keys_used(self, uses: Mapping[str, int]) -> None:
        """Report from now on when each key was last used."""
        self._key_uses = uses

    def keys_unknown(self, numbers: Mapping[str, int]) -> None:
        """Report how many tokens came with a key that is not known."""
        if numbers != self._unknown_keys:
            self._unknown_keys = numbers
            self.changed()

    def refuse_revoked(self, revoked: Callable[[HeldCall], bool]) -> None:
        """Refuse the calls of which `revoked` is true: those that are held now, and those to come.

        It replaces the function of the call before. A gateway-wide revocation is in force here before the documents of
        the endpoints follow.
        """
        self._revoked = revoked
        for endpoint in self.endpoints.values():
            endpoint.refuse_revoked()

    def _refuse_unverifiable(self, issuers: frozenset[str]) -> None:
        """Refuse the calls that are held now by a token of these issuers: only a new call can show the token again."""
        self._narrowed = issuers
        for endpoint in self.endpoints.values():
            endpoint.refuse_revoked()
        self._narrowed = frozenset()

    def _documents_changed(self, changed: DocumentChanges) -> None:
        if not self._current:
            return
        with self._batch():
            self._update_gate()
            if changed.tls and self.documents.client_tls:
                self._program.put_client(self.documents.client_tls)
            for key in changed.endpoints:
                self._refresh(key)

    def _update_gate(self) -> None:
        """Hand the gate the revocations, and the time until which it may go on. A change is one push."""
        documents = self.documents
        state = next_gate_state(
            self.gate_state, documents.revocations, self.last_heard, self._max_staleness, documents.sorted_issuers()
        )
        if state is self.gate_state:
            return
        revoked = state.revocations != self.gate_state.revocations
        narrowed = narrowed_issuers(self.gate_state, state)
        self.gate_state = state
        clients, keys = (frozenset(map(str, each)) for each in (state.revocations.clients, state.revocations.keys))
        identities = state.revocations.identities
        certificates = frozenset((str(each.client), each.sha256) for each in state.revocations.certificates)
        self._program.put_gate(gate_ir(state))
        self._push()
        if narrowed:
            self._refuse_unverifiable(narrowed)
        if revoked:
            # The gate asks before a call is held; those that are held already are refused here.
            # An identity of another CA is its own client.
            self.refuse_revoked(
                lambda call: any(
                    proof.client in clients
                    or proof.client in identities
                    or proof.credential in keys
                    or (proof.client, proof.credential) in certificates
                    for proof in call.proofs
                )
            )

    def _refresh(self, key: NamespacedName) -> None:
        """Apply an endpoint's document. An error concerns this endpoint only."""
        try:
            self._apply_document(key)
        except Exception:  # noqa: BLE001 - one bad document must not stop the other endpoints
            _log.exception("cannot translate a document; the last good one stays", extra={"endpoint": str(key)})

    def _apply_document(self, key: NamespacedName) -> None:
        document = self.documents.routes.get(key)
        endpoint = self.endpoints.get(key)
        if document is None:
            self._drop(key)
            return
        problem = self.documents.unreadable.get(names.route_document(key))
        if endpoint is None:
            self._add(key, document, problem)
        elif endpoint.document != document:
            endpoint.replace_document(document, stand_in_for=problem)
        else:
            endpoint.keep_document(problem)

    def _add(self, key: NamespacedName, document: RouteDocument, problem: str | None) -> None:
        replicas = self._replicas.get(key, ())
        self.endpoints[key] = endpoint = GatewayEndpoint(document, replicas, self, stand_in_for=problem)
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
            except Exception:  # noqa: BLE001 - an error of the platform must not end the gateway
                _log.exception("cannot follow the workloads")
            await asyncio.sleep(RETRY_PAUSE)

    async def _observe(self, key: NamespacedName) -> None:
        state = await self._workloads.observe(key)
        self._replicas[key] = state.replicas if state else ()
        if endpoint := self.endpoints.get(key):
            endpoint.feed(Replicas(self._replicas[key]))

    def _directed(self, directives: Directives) -> None:
        # The first directives may carry a failure from before we started. The calls held then were told about it.
        fresh = self._led
        if directives.complete:
            self._directives.clear()
            self._led = True
        self.documents.expect(directives.documents, complete=directives.complete)
        with self._batch():
            if directives.gateways:
                self._program.put_gateways(directives.gateways)
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
            for endpoint in list(self.endpoints.values()):
                # A key may have expired.
                endpoint.refuse_revoked()
                if endpoint.hold.drain:
                    endpoint.feed(Tick())
            self.documents.catch_up()
            self._update_gate()
            self._check_staleness()

    def _check_staleness(self) -> None:
        stale = self.documents.age > self._max_staleness
        if stale != self.stale:
            self.stale = stale
            if stale:
                _log.error("denying all calls: the store does not answer", extra={"age_s": round(self.documents.age)})
            else:
                _log.warning("the store answers again; calls are no longer denied")
            with self._batch():
                self._program.deny_all(caller_errors.POLICY_STALE.code if stale else None)
                for endpoint in self.endpoints.values():
                    endpoint.reprogram()
