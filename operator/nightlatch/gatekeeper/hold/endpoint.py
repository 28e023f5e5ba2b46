"""One endpoint on this gateway: carries out what its HoldState decides.

It feeds events into the state machine. When the state changes, it programs Envoy, releases or refuses held calls,
starts probes and asks for a report. Everything runs on one event loop, and nothing awaits between an event and what
follows from it.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from dataclasses import dataclass, replace
from typing import Any, Protocol

from nightlatch.api.conditions import Reason
from nightlatch.api.meta import NamespacedName
from nightlatch.gatekeeper.hold.gateway_places import GatewayPlaces
from nightlatch.gatekeeper.hold.hold_state import (
    Address,
    AddressesApplied,
    Directed,
    Event,
    Held,
    HoldState,
    Probed,
    RouteApplied,
    new_hold_state,
    serving_addresses,
    step,
)
from nightlatch.gatekeeper.hold.model_metadata import MetadataError, metadata_path, read_metadata
from nightlatch.gatekeeper.hold.probe import Identity, IdentityError, answer, until_ready
from nightlatch.gatekeeper.hold.still_allowed import Access, HeldCall
from nightlatch.gatekeeper.hold.waiting_room import Admitted, Bounds, Outcome, Refused, WaitingRoom
from nightlatch.gatekeeper.hold.wake_timer import WakeTimer
from nightlatch.gatekeeper.xds.program import Parts
from nightlatch.gatekeeper.xds.resources import ResourceId
from nightlatch.gatekeeper.xds.server import RefusedError
from nightlatch.pki.material import TlsMaterial
from nightlatch.routing.ir import Serving
from nightlatch.wire import caller_errors
from nightlatch.wire.error_body import CallerError
from nightlatch.wire.narrowing import takes_away
from nightlatch.wire.report import EndpointReport, ModelReport, WakeFailure, WakeReport
from nightlatch.wire.route_document import RouteDocument
from nightlatch.workloads.protocol import Replica

_log = logging.getLogger(__name__)

REMOVED = Refused(caller_errors.ENDPOINT_REMOVED, caller_errors.ENDPOINT_REMOVED.say())
IDENTITY_PAUSE = 1.0
# Seconds between the moment that calls go through and the question what the model is: the held calls go first.
DESCRIBE_AFTER = 0.5
# The detail of WAKE_FAILED for each reason that has one.
_DETAILS = {each.value: each.name.lower() for each in Reason if each.name.lower() in caller_errors.WAKE_FAILED.details}


@dataclass(frozen=True, slots=True)
class Programmed:
    """The resources of one endpoint that were handed to Envoy, and the version to wait for."""

    version: int
    parts: Parts


class EndpointHost(Protocol):
    """What an endpoint needs from the gateway that it runs on."""

    places: GatewayPlaces

    def clock(self) -> float:
        """Monotonic seconds."""

    def wall(self) -> float:
        """Unix seconds."""

    def program(self, document: RouteDocument, serving: Serving) -> Programmed:
        """Hand an endpoint's resources to Envoy."""

    def applied(self, resources: Iterable[ResourceId], version: int) -> Awaitable[None]:
        """Wait for Envoy's ACK. Raises RefusedError if Envoy refuses a resource."""

    def client_tls(self) -> TlsMaterial | None:
        """The gateway's client certificate."""

    def trust(self) -> str:
        """The bundle that model servers are verified with, as Envoy has it."""

    def refuses(self, call: HeldCall) -> CallerError | None:
        """Why the whole gateway refuses this call now, whatever the endpoint's document says; None if it does not."""

    def changed(self) -> None:
        """Send a report soon."""

    def woke(self, wake: WakeReport) -> None:
        """Report a finished wake."""


class GatewayEndpoint:
    """One endpoint. `document` is the route document that Envoy should enforce; `accepted`, the last that it took.

    unread: why there is a newer document that is not enforced although `document` stays in force.
    """

    def __init__(
        self,
        document: RouteDocument,
        replicas: tuple[Replica, ...],
        gateway: EndpointHost,
        *,
        stand_in_for: str | None = None,
    ) -> None:
        self.key: NamespacedName = document.endpoint
        self.document = document
        self.hold: HoldState = new_hold_state(replicas, request_timeout=document.request_timeout)
        self.accepted: RouteDocument | None = None
        self.nacked: str | None = None
        self.unread: str | None = None
        self._stand_in_for = stand_in_for
        self._gateway = gateway
        self._access: Access | None = None
        self._room = WaitingRoom(
            _bounds(document), self._held, gateway.clock, refusal=self._refusal, places=gateway.places
        )
        self._timer = WakeTimer()
        self._tasks: set[asyncio.Task[None]] = set()
        self._probes: dict[tuple[str, Address], asyncio.Task[None]] = {}
        self._model: ModelReport | None = None
        self._described: frozenset[Address] = frozenset()
        self._part_versions: dict[str, int] = {}
        self._program()
        self._probe()

    @property
    def held(self) -> int:
        """The number of calls held now."""
        return len(self._room)

    def report(self, *, issued: int, too_new: bool = False) -> EndpointReport:
        """The endpoint's part of the report to the leader. `too_new`: this gateway is too old for the document."""
        return EndpointReport(
            endpoint=self.key,
            applied=self.accepted.sequence if self.accepted else 0,
            phase=self.hold.phase,
            in_flight=self.hold.reported_load,
            issued=issued,
            held=self.held,
            epoch=self.hold.epoch,
            refused_epoch=self.hold.refused_epoch,
            nacked=self.unread or self.nacked,
            model=self._model,
            too_new=too_new,
        )

    async def admit(self, call: HeldCall, timeout: float | None) -> Outcome:
        """Decide about one call: it passes at once if the hold is off, and is held until then otherwise.

        Envoy may have let the call in by a policy that is replaced already, so the newest one is asked first.
        """
        call = self._newest_access().judged(call)
        if refused := self._refusal(call):
            return refused
        if self.hold.open:
            return Admitted(0.0)
        return await self._room.hold(call, timeout=timeout)

    def refuse_revoked(self) -> None:
        """Refuse the held calls whose access has ended: it was taken away, or its time is up."""
        self._room.refuse_revoked()

    def _refusal(self, call: HeldCall) -> Refused | None:
        error = self._gateway.refuses(call) or self._newest_access().refusal(call, self._gateway.wall())
        return Refused(error, error.say()) if error else None

    def _newest_access(self) -> Access:
        if self._access is None:
            self._access = Access(self.document)
        return self._access

    def feed(self, event: Event) -> None:
        """Take an event, and carry out what follows from it."""
        before = self.hold
        self.hold = step(before, event, self._gateway.clock())
        if self.hold == before:
            return
        self._time(before)
        if self.hold.open and not before.open:
            self._room.release()
        if self.hold.serving != before.serving:
            self._program()
        if isinstance(event, Directed) and event.fresh and self.hold.failure != before.failure:
            self._fail(self.hold.failure)
        self._probe()
        self._describe()
        self._gateway.changed()

    def replace_document(self, document: RouteDocument, *, stand_in_for: str | None = None) -> None:
        """Enforce another document. `stand_in_for`: why Envoy cannot enforce the document that this one replaces."""
        self.document = document
        self.unread = None
        self._stand_in_for = stand_in_for
        self._access = None
        self._room.bounds = _bounds(document)
        self._program()
        self.refuse_revoked()
        self._gateway.changed()

    def keep_document(self, unread: str | None) -> None:
        """The document stays in force. `unread`: why a newer one is not enforced."""
        self.unread = unread
        self._gateway.changed()

    def reprogram(self) -> None:
        """Hand the document to Envoy again, because the gateway now enforces all documents differently."""
        self._program()
        self.refuse_revoked()

    def close(self) -> None:
        """The endpoint was removed: refuse the held calls, and stop."""
        self._room.fail(REMOVED)
        for task in (*self._tasks, *self._probes.values()):
            task.cancel()

    def _held(self, count: int) -> None:
        self.feed(Held(count))

    def _fail(self, failure: WakeFailure | None) -> None:
        """Tell the held calls the reason in a fixed sentence: the message, for status and Events, may have secrets."""
        if failure and not self.hold.open:
            self._timer.reset()
            error = caller_errors.WAKE_FAILED
            self._room.fail(Refused(error, error.say(_DETAILS.get(failure.reason)), failure.reason))

    def _program(self) -> None:
        """Hand Envoy the document with the hold and the addresses as they are now. Its ACKs come back as events."""
        document, serving = self.document, self.hold.serving
        done = self._gateway.program(document, serving)
        addresses = serving.addresses
        self._await("addresses", done.parts.addresses, done.version, lambda: self.feed(AddressesApplied(addresses)))
        self._await("routes", done.parts.routes, done.version, lambda: self._route_applied(holding=serving.hold))
        self._await("document", done.parts.everything, done.version, lambda: self._document_applied(document))

    def _route_applied(self, *, holding: bool) -> None:
        self.feed(RouteApplied(holding))
        if not holding:
            self._finish_wake()

    def _document_applied(self, document: RouteDocument) -> None:
        self.nacked = self._stand_in_for
        if not self._stand_in_for:
            self.accepted = document
        self._gateway.changed()

    def _await(self, part: str, resources: Iterable[ResourceId], version: int, then: Callable[[], None]) -> None:
        """Call `then` once Envoy has this version, unless a newer version of the same part is handed over meanwhile."""
        self._part_versions[part] = version
        self._spawn(self._when_applied(part, resources, version, then))

    async def _when_applied(
        self, part: str, resources: Iterable[ResourceId], version: int, then: Callable[[], None]
    ) -> None:
        try:
            await self._gateway.applied(resources, version)
        except RefusedError as error:
            if part == "document" and self._part_versions[part] == version:
                self._refused(str(error))
            return
        if self._part_versions[part] == version:
            then()

    def _refused(self, error: str) -> None:
        """Envoy keeps the last good document. If the refused one revokes something, every call is denied instead."""
        self.nacked = error
        refused = self.document
        if self.accepted and not self._stand_in_for and takes_away(self.accepted, refused):
            _log.error("Envoy refused a revocation, so every call is denied", extra={"endpoint": str(self.key)})
            self.replace_document(replace(refused, denied=caller_errors.POLICY_INVALID.code), stand_in_for=error)
        self._gateway.changed()

    def _probe(self) -> None:
        """Start and stop probes, so that exactly the replicas in `hold.probing` are probed."""
        wanted = set(self.hold.probing)
        for member in set(self._probes) - wanted:
            self._probes.pop(member).cancel()
        for member in wanted - set(self._probes):
            self._probes[member] = asyncio.create_task(self._probe_member(*member))

    async def _probe_member(self, replica: str, address: Address) -> None:
        while True:
            client = self._gateway.client_tls()
            try:
                if client:
                    identity = Identity(client, self._gateway.trust(), self.document.upstream_identity)
                    await until_ready(address, identity)
                    break
            except (IdentityError, OSError, ValueError) as error:
                _log.warning("probe failed", extra={"endpoint": str(self.key), "error": str(error)})
            await asyncio.sleep(IDENTITY_PAUSE)
        self.feed(Probed(replica, address))

    def _describe(self) -> None:
        """Ask what the model is when another replica begins to serve."""
        serving = frozenset(self.hold.addresses) if self.hold.open else frozenset()
        came = sorted(serving - self._described)
        self._described = serving
        if came:
            self._spawn(self._ask_for_the_model(came[0]))

    async def _ask_for_the_model(self, replica: Address) -> None:
        """Only the status depends on the answer, so a replica that gives none is not asked again."""
        await asyncio.sleep(DESCRIBE_AFTER)
        path, client = metadata_path(self.document), self._gateway.client_tls()
        if path is None or client is None or replica not in self._described:
            return
        identity = Identity(client, self.document.upstream_ca, self.document.upstream_identity)
        try:
            body = await answer(replica, identity, path)
            described = read_metadata(body) if body else None
        except (IdentityError, MetadataError, OSError, ValueError) as error:
            _log.warning("cannot tell what the model is", extra={"endpoint": str(self.key), "error": str(error)})
            return
        if described and described != self._model:
            self._model = described
            self._gateway.changed()

    def _time(self, before: HoldState) -> None:
        """Tell the wake timer which moments of a wake are reached."""
        hold, now = self.hold, self._gateway.clock()
        waking = hold.directive is not None and hold.directive.state == "Waking"
        if not hold.open and not hold.drain and (hold.held or waking):
            self._timer.begin(now)
        marks = {
            "directed": waking,
            "addressed": bool(hold.probing or serving_addresses(hold)),
            "answered": bool(serving_addresses(hold)),
            "applied": hold.open and not before.open,
        }
        for moment in (moment for moment, reached in marks.items() if reached):
            self._timer.mark(moment, now)
        if hold.phase == "Cold" and not hold.held and not waking:
            self._timer.reset()

    def _finish_wake(self) -> None:
        now = self._gateway.clock()
        self._timer.mark("released", now)
        if phases := self._timer.finish():
            self._gateway.woke(WakeReport(self.key, self._gateway.wall(), phases))

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _bounds(document: RouteDocument) -> Bounds:
    return Bounds(document.hold_max_requests, document.hold_timeout)
