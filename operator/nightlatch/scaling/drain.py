"""The leader's side of waking and sleeping an endpoint: `advance(cycle, sight) -> cycle`, at most one transition.

Level-based: what a gateway or the platform says now decides, never a message that may have been lost.

    Asleep -> Starting      replicas are wanted (a held call, minReplicas)
    Starting -> Awake       a replica is ready, or a gateway serves from one it probed
    Starting -> BackOff     the start failed; held calls are told why
    BackOff -> Starting     the delay is over and replicas are wanted (without demand: Asleep)
    Awake -> Gating         none is wanted: drain epoch N opens, every gateway shuts its gate
    Gating -> Emptying      every gateway is Gated(N) with nothing in flight or held: they may empty EDS
    Emptying -> Asleep      every gateway is Cold(N): now the replicas may go
    Gating, Emptying -> Awake   a held call, a refusal, a gateway that lost the epoch, a time-out: epoch N+1
    any with replicas -> BackOff    the last ready replica crashed
"""

from dataclasses import dataclass, replace
from typing import Literal

from nightlatch.api.endpoint import EndpointState
from nightlatch.api.meta import Key
from nightlatch.scaling.fleet import GatewayView
from nightlatch.scaling.report import Directive, GatePhase, WakeFailure

Phase = Literal["Asleep", "Starting", "BackOff", "Awake", "Gating", "Emptying"]

# Below hold.timeout's default (45 s), so that a held call hears of the next attempt rather than of nothing.
FIRST_BACKOFF = 1.0
LONGEST_BACKOFF = 30.0
# An endpoint that stood this long is sound: its next crash starts the back-off anew.
SOUND_AFTER = 60.0
# What gateways get to finish beyond the endpoint's own request timeout.
DRAIN_GRACE = 30.0

_STATES: dict[Phase, EndpointState] = {
    "Asleep": "Asleep",
    "BackOff": "Asleep",
    "Starting": "Waking",
    "Awake": "Awake",
    "Gating": "Draining",
    "Emptying": "Draining",
}


@dataclass(frozen=True, slots=True)
class Running:
    """What the platform runs. `live`: not terminating. `failed_starts` only grows; the rest is of the newest."""

    desired: int = 0
    live: int = 0
    ready: int = 0
    failed_starts: int = 0
    reason: str = ""
    message: str = ""


@dataclass(frozen=True, slots=True)
class Sight:
    """All that a transition may depend on. Times in Unix seconds.

    wanted: what decide() says. running: None while the endpoint has no workload. gateways: those that count.
    drain_limit: seconds from opening an epoch until it is given up. generation: of the endpoint's spec.
    """

    now: float
    wanted: int
    running: Running | None
    gateways: tuple[GatewayView, ...]
    drain_limit: float
    generation: int = 1


@dataclass(frozen=True, slots=True)
class Cycle:
    """Where one endpoint stands.

    epoch: the newest used; it only grows, also over a change of leader, and numbers failures as well.
    since: when the phase began. seen_failures: of the platform's count, those dealt with.
    crashes: failures in a row. failure: for status, until a replica serves; `told`: also for held calls.
    """

    phase: Phase
    epoch: int
    since: float
    replicas: int = 0
    generation: int = 1
    seen_failures: int = 0
    crashes: int = 0
    retry_at: float = 0.0
    failure: WakeFailure | None = None
    told: bool = False

    @property
    def state(self) -> EndpointState:
        """As status shows it."""
        return _STATES[self.phase]

    def directive(self, endpoint: Key) -> Directive:
        """What gateways are to do now."""
        state: EndpointState = "Asleep" if self.phase == "Emptying" else self.state
        return Directive(endpoint, state, self.epoch, self.failure if self.told else None)


def adopt(now: float, running: Running | None, generation: int = 1) -> Cycle:
    """What a new leader makes of what it finds: it changes nothing. Epochs start at the time, ahead of any used."""
    running = running or Running()
    seen = running.failed_starts if running.live or not running.desired else 0
    cycle = Cycle("Asleep", int(now), now, generation=generation, seen_failures=seen)
    if not running.desired:
        return cycle
    return replace(cycle, phase="Awake" if running.ready else "Starting", replicas=running.desired)


def advance(cycle: Cycle, sight: Sight) -> Cycle:
    """One transition, or the same cycle when nothing is to be done."""
    cycle = _ahead_of(cycle, sight.gateways)
    if sight.running is None:
        return cycle if cycle.phase == "Asleep" else _fall_asleep(cycle, sight)
    if cycle.replicas and _crashed(cycle, sight.running):
        return _back_off(cycle, sight, sight.running)
    return _TRANSITIONS[cycle.phase](cycle, sight)


def look_again_at(cycle: Cycle, drain_limit: float) -> float:
    """When time alone moves the cycle; infinity when it does not."""
    if cycle.phase in ("Gating", "Emptying"):
        return cycle.since + drain_limit
    return cycle.retry_at if cycle.phase == "BackOff" else float("inf")


def backoff(crashes: int) -> float:
    """Seconds before the next start after so many failures in a row."""
    return min(FIRST_BACKOFF * 2.0 ** min(crashes - 1, 16), LONGEST_BACKOFF)


def _ahead_of(cycle: Cycle, gateways: tuple[GatewayView, ...]) -> Cycle:
    """A gateway may know an epoch of an earlier leader whose clock was ahead."""
    said = [view.said for view in gateways if view.said]
    newest = max((max(report.epoch, report.refused_epoch) for report in said), default=0)
    return replace(cycle, epoch=newest + 1) if newest > cycle.epoch else cycle


def _crashed(cycle: Cycle, running: Running) -> bool:
    # A pod that cannot pull its image is live, and will not be ready; beside a ready replica a failure changes nothing.
    return running.ready == 0 and running.failed_starts > cycle.seen_failures


def _asleep(cycle: Cycle, sight: Sight) -> Cycle:
    return _start(cycle, sight) if sight.wanted else cycle


def _starting(cycle: Cycle, sight: Sight) -> Cycle:
    running = sight.running or Running()
    served = running.live and any(view.said and view.said.phase == "Warm" for view in sight.gateways)
    if running.ready or served:
        return replace(cycle, phase="Awake", since=sight.now, failure=None, told=False)
    return _open_epoch(cycle, sight) if not sight.wanted else _resize(cycle, sight)


def _back_off_phase(cycle: Cycle, sight: Sight) -> Cycle:
    if sight.generation != cycle.generation:
        cycle = replace(cycle, generation=sight.generation, crashes=0, retry_at=sight.now)
    if sight.now < cycle.retry_at:
        return cycle
    return _start(cycle, sight) if sight.wanted else replace(cycle, phase="Asleep", since=sight.now)


def _awake(cycle: Cycle, sight: Sight) -> Cycle:
    return _resize(cycle, sight) if sight.wanted else _open_epoch(cycle, sight)


def _gating(cycle: Cycle, sight: Sight) -> Cycle:
    if _must_abort(cycle, sight):
        return _abort(cycle, sight)
    if sight.gateways and all(_is_quiet(view, "Gated", cycle.epoch) for view in sight.gateways):
        return replace(cycle, phase="Emptying")
    return cycle


def _emptying(cycle: Cycle, sight: Sight) -> Cycle:
    lost = any(view.said and not _keeps_epoch(view, cycle.epoch) for view in sight.gateways)
    if lost or _must_abort(cycle, sight):
        return _abort(cycle, sight)
    if sight.gateways and all(_is_at(view, "Cold", cycle.epoch) for view in sight.gateways):
        return _fall_asleep(cycle, sight)
    return cycle


_TRANSITIONS = {
    "Asleep": _asleep,
    "Starting": _starting,
    "BackOff": _back_off_phase,
    "Awake": _awake,
    "Gating": _gating,
    "Emptying": _emptying,
}


def _start(cycle: Cycle, sight: Sight) -> Cycle:
    seen = sight.running.failed_starts if sight.running else 0
    return replace(
        cycle,
        phase="Starting",
        since=sight.now,
        replicas=sight.wanted,
        generation=sight.generation,
        seen_failures=seen,
        told=False,
    )


def _resize(cycle: Cycle, sight: Sight) -> Cycle:
    return replace(cycle, replicas=sight.wanted, generation=sight.generation)


def _open_epoch(cycle: Cycle, sight: Sight) -> Cycle:
    return replace(cycle, phase="Gating", epoch=cycle.epoch + 1, since=sight.now)


def _abort(cycle: Cycle, sight: Sight) -> Cycle:
    return replace(cycle, phase="Awake", epoch=cycle.epoch + 1, since=sight.now)


def _fall_asleep(cycle: Cycle, sight: Sight) -> Cycle:
    return replace(cycle, phase="Asleep", since=sight.now, replicas=0, crashes=0, told=False)


def _back_off(cycle: Cycle, sight: Sight, running: Running) -> Cycle:
    """Calls held after a sound replica died are not told: the next start serves them."""
    crashes = cycle.crashes + 1
    if cycle.phase != "Starting" and sight.now - cycle.since >= SOUND_AFTER:
        crashes = 1
    return replace(
        cycle,
        phase="BackOff",
        epoch=cycle.epoch + 1,
        since=sight.now,
        replicas=0,
        seen_failures=running.failed_starts,
        crashes=crashes,
        retry_at=sight.now + backoff(crashes),
        failure=WakeFailure(cycle.epoch + 1, running.reason, running.message),
        told=cycle.phase == "Starting",
    )


def _must_abort(cycle: Cycle, sight: Sight) -> bool:
    said = [view.said for view in sight.gateways if view.said]
    refused = any(report.held or report.refused_epoch >= cycle.epoch for report in said)
    return refused or sight.now >= cycle.since + sight.drain_limit


def _is_at(view: GatewayView, phase: GatePhase, epoch: int) -> bool:
    return view.said is not None and view.said.phase == phase and view.said.epoch == epoch


def _is_quiet(view: GatewayView, phase: GatePhase, epoch: int) -> bool:
    return _is_at(view, phase, epoch) and view.said is not None and view.said.in_flight == 0


def _keeps_epoch(view: GatewayView, epoch: int) -> bool:
    return _is_at(view, "Gated", epoch) or _is_at(view, "Cold", epoch)
