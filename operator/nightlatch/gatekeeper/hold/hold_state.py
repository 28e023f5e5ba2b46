"""The hold of one endpoint on this gateway: a pure state machine, `step(hold, event, now) -> HoldState`.

While the hold is on, Envoy asks about every call, and the gatekeeper holds the call. While the hold is off (`open`),
calls pass. GatewayEndpoint compares the state before and after an event: `serving` is what Envoy should have, `open`
decides whether a call passes at once, and `probing` lists the replicas to probe. Times are monotonic seconds.

Invariants: the hold goes off only when Envoy has acknowledged an address; the hold is on before the last address is
removed; a held call aborts a drain; a drain that takes too long is given up.
"""

from dataclasses import dataclass, replace

from nightlatch.routing.ir import Serving
from nightlatch.wire.report import Directive, HoldPhase, WakeFailure
from nightlatch.wire.report_service import DRAIN_GRACE
from nightlatch.workloads.protocol import Replica

Address = tuple[str, int]
# Load reports without a call that prove a drain, counted from when Envoy acknowledged the hold. The first of two may
# describe the time before.
FRESH_REPORTS = 2


@dataclass(frozen=True, slots=True)
class Held:
    """The number of calls held has changed."""

    count: int


@dataclass(frozen=True, slots=True)
class Directed:
    """A directive of the leader. `fresh`: it was issued while this process ran, so held calls hear of its failure."""

    directive: Directive
    fresh: bool = True


@dataclass(frozen=True, slots=True)
class Replicas:
    """The replicas that the platform runs now."""

    replicas: tuple[Replica, ...]


@dataclass(frozen=True, slots=True)
class Probed:
    """A replica answered a probe that it is ready, and proved its identity."""

    replica: str
    address: Address


@dataclass(frozen=True, slots=True)
class AddressesApplied:
    """Envoy acknowledged these addresses (EDS)."""

    addresses: tuple[Address, ...]


@dataclass(frozen=True, slots=True)
class RouteApplied:
    """Envoy acknowledged the route with the hold on or off (RDS)."""

    holding: bool


@dataclass(frozen=True, slots=True)
class Load:
    """A fresh load report; None when the load is unknown (Envoy came or went)."""

    in_flight: int | None


@dataclass(frozen=True, slots=True)
class Tick:
    """Time passed."""


Event = Held | Directed | Replicas | Probed | AddressesApplied | RouteApplied | Load | Tick


@dataclass(frozen=True, slots=True)
class Drain:
    """A drain epoch in progress. `quiet`: consecutive load reports without a call since Envoy acknowledged the hold."""

    epoch: int
    since: float
    quiet: int = 0


@dataclass(frozen=True, slots=True)
class HoldState:
    """One endpoint's hold.

    open: the hold is off. addresses: what Envoy should have. addresses_acked, route_acked: what Envoy has acknowledged,
    None before the first ACK. drain_limit: seconds after which a drain is given up. emptied: the leader's Asleep was
    carried out, so no address returns until the leader's next directive. refused_epoch: the last drain given up.
    """

    drain_limit: float
    open: bool = False
    addresses: tuple[Address, ...] = ()
    addresses_acked: tuple[Address, ...] | None = None
    route_acked: bool | None = None
    replicas: tuple[Replica, ...] = ()
    probed: frozenset[tuple[str, Address]] = frozenset()
    directive: Directive | None = None
    failure: WakeFailure | None = None
    held: int = 0
    in_flight: int | None = None
    drain: Drain | None = None
    emptied: bool = False
    refused_epoch: int = 0

    @property
    def holding(self) -> bool:
        """True if the hold is on: Envoy asks the gatekeeper about each call."""
        return not self.open

    @property
    def serving(self) -> Serving:
        """What Envoy should have."""
        return Serving(hold=self.holding, addresses=self.addresses)

    @property
    def probing(self) -> tuple[tuple[str, Address], ...]:
        """Name and address of each replica to probe, sorted."""
        if self.open or self.drain or self.emptied:
            return ()
        waiting = ((r.name, r.address) for r in self.replicas if r.address and not r.terminating and not r.ready)
        return tuple(sorted(member for member in waiting if member not in self.probed))

    @property
    def drained(self) -> bool:
        """True if nothing can be in flight any more: the drain is quiet, and Envoy has acknowledged the hold."""
        quiet = self.drain is not None and self.drain.quiet >= FRESH_REPORTS
        return quiet and self.route_acked is True and not self.held

    @property
    def phase(self) -> HoldPhase:
        """The phase as reported to the leader."""
        if self.open:
            return "Warm"
        if self.drain or (self.emptied and self.addresses_acked):
            return "Holding" if self.route_acked else "Warm"
        busy = self.held or self.probing or self.addresses
        return "Waking" if busy and not self.emptied else "Cold"

    @property
    def epoch(self) -> int:
        """The drain epoch that `phase` belongs to; 0 if it belongs to none."""
        if self.drain:
            return self.drain.epoch
        return self.directive.epoch if self.emptied and self.directive else 0

    @property
    def reported_load(self) -> int | None:
        """Calls in flight, for the leader. During a drain, zero is reported only once it is proven, and None before."""
        unproven_zero = self.drain and not self.drained and not self.in_flight
        return None if unproven_zero else self.in_flight


def new_hold_state(replicas: tuple[Replica, ...], *, request_timeout: float) -> HoldState:
    """The state of an endpoint first seen, also after a restart: the hold is off if a replica is ready."""
    hold = HoldState(drain_limit=DRAIN_GRACE + request_timeout, replicas=replicas)
    serving = serving_addresses(hold)
    return replace(hold, open=bool(serving), addresses=serving)


def serving_addresses(hold: HoldState) -> tuple[Address, ...]:
    """Addresses of the replicas that can take calls: ready or probed, and not terminating."""
    return tuple(
        sorted(
            r.address
            for r in hold.replicas
            if r.address and not r.terminating and (r.ready or (r.name, r.address) in hold.probed)
        )
    )


def step(hold: HoldState, event: Event, now: float) -> HoldState:
    """The state after an event."""
    return _settle(_record(hold, event), now)


def _record(hold: HoldState, event: Event) -> HoldState:
    """Store what the event says, without drawing conclusions."""
    match event:
        case Held(count):
            return replace(hold, held=count)
        case Directed(directive, _):
            return replace(hold, directive=directive, failure=directive.failure)
        case Replicas(replicas):
            return replace(hold, replicas=replicas, probed=_still_unready(hold.probed, replicas))
        case Probed(replica, address):
            return replace(hold, probed=hold.probed | {(replica, address)})
        case AddressesApplied(addresses):
            return replace(hold, addresses_acked=addresses)
        case RouteApplied(holding):
            return replace(hold, route_acked=holding)
        case Load(in_flight):
            return _record_load(hold, in_flight)
        case Tick():
            return hold


def _still_unready(
    probed: frozenset[tuple[str, Address]], replicas: tuple[Replica, ...]
) -> frozenset[tuple[str, Address]]:
    """A probe counts until the platform calls the replica ready itself, or the replica is gone."""
    unready = {(r.name, r.address) for r in replicas if not r.ready and not r.terminating}
    return probed & unready


def _record_load(hold: HoldState, in_flight: int | None) -> HoldState:
    drain = hold.drain
    if drain and hold.route_acked:
        drain = replace(drain, quiet=drain.quiet + 1 if in_flight == 0 else 0)
    return replace(hold, in_flight=in_flight, drain=drain)


def _settle(hold: HoldState, now: float) -> HoldState:
    return _settle_addresses(_settle_opening(_settle_drain(hold, now)))


def _settle_drain(hold: HoldState, now: float) -> HoldState:
    """Begin, finish or give up the drain that the leader wants."""
    directive = hold.directive
    if directive is None or not _wants_sleep(hold, directive):
        return replace(hold, drain=None, emptied=False)
    if hold.emptied and directive.state == "Asleep":
        return hold
    if directive.state == "Asleep" and not hold.open and not hold.addresses:
        return _emptied(hold)
    hold = _begin_drain(hold, directive.epoch, now)
    if _must_give_up(hold, now):
        return replace(hold, drain=None, refused_epoch=directive.epoch)
    return _emptied(hold) if directive.state == "Asleep" and hold.drained else hold


def _wants_sleep(hold: HoldState, directive: Directive) -> bool:
    given_up = directive.epoch != 0 and directive.epoch == hold.refused_epoch
    return directive.state in {"Draining", "Asleep"} and not given_up


def _emptied(hold: HoldState) -> HoldState:
    return replace(hold, open=False, drain=None, emptied=True, probed=frozenset())


def _begin_drain(hold: HoldState, epoch: int, now: float) -> HoldState:
    if hold.drain and hold.drain.epoch == epoch:
        return hold
    return replace(hold, open=False, emptied=False, drain=Drain(epoch, since=now))


def _must_give_up(hold: HoldState, now: float) -> bool:
    overdue = hold.drain is not None and now - hold.drain.since > hold.drain_limit
    return hold.held > 0 or overdue


def _settle_opening(hold: HoldState) -> HoldState:
    """Turn the hold off once an address is acknowledged, and on when no replica can take calls."""
    if hold.drain or hold.emptied:
        return hold
    serving = serving_addresses(hold)
    if hold.open:
        return replace(hold, open=bool(serving))
    return replace(hold, open=bool(set(serving) & set(hold.addresses_acked or ())))


def _settle_addresses(hold: HoldState) -> HoldState:
    """Remove the last address only after Envoy acknowledged the hold, so that no call meets an empty cluster."""
    serving = () if hold.emptied else serving_addresses(hold)
    if serving or hold.route_acked is True:
        return replace(hold, addresses=serving)
    return hold
