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
from nightlatch.api.meta import NamespacedName
from nightlatch.scaling.fleet import GatewayView
from nightlatch.wire.report import Directive, HoldPhase, WakeFailure

Phase = Literal["Asleep", "Starting", "BackOff", "Awake", "Holding", "Emptying"]

# Below hold.timeout's default (45 s), so that a held call hears of the next attempt rather than of nothing.
FIRST_BACKOFF = 1.0
LONGEST_BACKOFF = 30.0
# An endpoint that stood this long is sound: its next crash starts the back-off anew.
SOUND_AFTER = 60.0

_STATES: dict[Phase, EndpointState] = {
    "Asleep": "Asleep",
    "BackOff": "Asleep",
    "Starting": "Waking",
    "Awake": "Awake",
    "Holding": "Draining",
    "Emptying": "Draining",
}


@dataclass(frozen=True, slots=True)
class Replicas:
    """What the platform runs. `live`: not terminating. `failed_starts` only grows; the rest is of the newest."""

    desired: int = 0
    live: int = 0
    ready: int = 0
    failed_starts: int = 0
    reason: str = ""
    message: str = ""


@dataclass(frozen=True, slots=True)
class Inputs:
    """All that a transition may depend on. Times in Unix seconds.

    wanted: what decide() says. running: None while the endpoint has no workload. gateways: those that count.
    drain_limit: seconds from opening an epoch until it is given up. generation: of the endpoint's spec.
    """

    now: float
    wanted: int
    running: Replicas | None
    gateways: tuple[GatewayView, ...]
    drain_limit: float
    generation: int = 1


@dataclass(frozen=True, slots=True)
class Lifecycle:
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
    reported: bool = False

    @property
    def state(self) -> EndpointState:
        """As status shows it."""
        return _STATES[self.phase]

    def directive(self, endpoint: NamespacedName) -> Directive:
        """What gateways are to do now."""
        state: EndpointState = "Asleep" if self.phase == "Emptying" else self.state
        return Directive(endpoint, state, self.epoch, self.failure if self.reported else None)


def take_over(now: float, running: Replicas | None, generation: int = 1) -> Lifecycle:
    """What a new leader makes of what it finds: it changes nothing. Epochs start at the time, ahead of any used."""
    running = running or Replicas()
    seen = running.failed_starts if running.live or not running.desired else 0
    lifecycle = Lifecycle("Asleep", int(now), now, generation=generation, seen_failures=seen)
    if not running.desired:
        return lifecycle
    return replace(lifecycle, phase="Awake" if running.ready else "Starting", replicas=running.desired)


def advance(lifecycle: Lifecycle, inputs: Inputs) -> Lifecycle:
    """One transition, or the same cycle when nothing is to be done."""
    lifecycle = _ahead_of(lifecycle, inputs.gateways)
    if inputs.running is None:
        return lifecycle if lifecycle.phase == "Asleep" else _fall_asleep(lifecycle, inputs)
    if lifecycle.replicas and _crashed(lifecycle, inputs.running):
        return _back_off(lifecycle, inputs, inputs.running)
    return _TRANSITIONS[lifecycle.phase](lifecycle, inputs)


def next_check_at(lifecycle: Lifecycle, drain_limit: float) -> float:
    """When time alone moves the cycle; infinity when it does not."""
    if lifecycle.phase in ("Holding", "Emptying"):
        return lifecycle.since + drain_limit
    return lifecycle.retry_at if lifecycle.phase == "BackOff" else float("inf")


def backoff(crashes: int) -> float:
    """Seconds before the next start after so many failures in a row."""
    return min(FIRST_BACKOFF * 2.0 ** min(crashes - 1, 16), LONGEST_BACKOFF)


def _ahead_of(lifecycle: Lifecycle, gateways: tuple[GatewayView, ...]) -> Lifecycle:
    """A gateway may know an epoch of an earlier leader whose clock was ahead."""
    reports = [view.report for view in gateways if view.report]
    newest = max((max(report.epoch, report.refused_epoch) for report in reports), default=0)
    return replace(lifecycle, epoch=newest + 1) if newest > lifecycle.epoch else lifecycle


def _crashed(lifecycle: Lifecycle, running: Replicas) -> bool:
    # A pod that cannot pull its image is live, and will not be ready; beside a ready replica a failure changes nothing.
    return running.ready == 0 and running.failed_starts > lifecycle.seen_failures


def _asleep(lifecycle: Lifecycle, inputs: Inputs) -> Lifecycle:
    return _start(lifecycle, inputs) if inputs.wanted else lifecycle


def _starting(lifecycle: Lifecycle, inputs: Inputs) -> Lifecycle:
    running = inputs.running or Replicas()
    served = running.live and any(view.report and view.report.phase == "Warm" for view in inputs.gateways)
    if running.ready or served:
        return replace(lifecycle, phase="Awake", since=inputs.now, failure=None, reported=False)
    return _open_epoch(lifecycle, inputs) if not inputs.wanted else _resize(lifecycle, inputs)


def _back_off_phase(lifecycle: Lifecycle, inputs: Inputs) -> Lifecycle:
    if inputs.generation != lifecycle.generation:
        lifecycle = replace(lifecycle, generation=inputs.generation, crashes=0, retry_at=inputs.now)
    if inputs.now < lifecycle.retry_at:
        return lifecycle
    return _start(lifecycle, inputs) if inputs.wanted else replace(lifecycle, phase="Asleep", since=inputs.now)


def _awake(lifecycle: Lifecycle, inputs: Inputs) -> Lifecycle:
    return _resize(lifecycle, inputs) if inputs.wanted else _open_epoch(lifecycle, inputs)


def _gating(lifecycle: Lifecycle, inputs: Inputs) -> Lifecycle:
    if _must_abort(lifecycle, inputs):
        return _abort(lifecycle, inputs)
    if inputs.gateways and all(_is_quiet(view, "Holding", lifecycle.epoch) for view in inputs.gateways):
        return replace(lifecycle, phase="Emptying")
    return lifecycle


def _emptying(lifecycle: Lifecycle, inputs: Inputs) -> Lifecycle:
    lost = any(view.report and not _keeps_epoch(view, lifecycle.epoch) for view in inputs.gateways)
    if lost or _must_abort(lifecycle, inputs):
        return _abort(lifecycle, inputs)
    if inputs.gateways and all(_is_at(view, "Cold", lifecycle.epoch) for view in inputs.gateways):
        return _fall_asleep(lifecycle, inputs)
    return lifecycle


_TRANSITIONS = {
    "Asleep": _asleep,
    "Starting": _starting,
    "BackOff": _back_off_phase,
    "Awake": _awake,
    "Holding": _gating,
    "Emptying": _emptying,
}


def _start(lifecycle: Lifecycle, inputs: Inputs) -> Lifecycle:
    seen = inputs.running.failed_starts if inputs.running else 0
    return replace(
        lifecycle,
        phase="Starting",
        since=inputs.now,
        replicas=inputs.wanted,
        generation=inputs.generation,
        seen_failures=seen,
        reported=False,
    )


def _resize(lifecycle: Lifecycle, inputs: Inputs) -> Lifecycle:
    return replace(lifecycle, replicas=inputs.wanted, generation=inputs.generation)


def _open_epoch(lifecycle: Lifecycle, inputs: Inputs) -> Lifecycle:
    return replace(lifecycle, phase="Holding", epoch=lifecycle.epoch + 1, since=inputs.now)


def _abort(lifecycle: Lifecycle, inputs: Inputs) -> Lifecycle:
    return replace(lifecycle, phase="Awake", epoch=lifecycle.epoch + 1, since=inputs.now)


def _fall_asleep(lifecycle: Lifecycle, inputs: Inputs) -> Lifecycle:
    return replace(lifecycle, phase="Asleep", since=inputs.now, replicas=0, crashes=0, reported=False)


def _back_off(lifecycle: Lifecycle, inputs: Inputs, running: Replicas) -> Lifecycle:
    """Calls held after a sound replica died are not told: the next start serves them."""
    crashes = lifecycle.crashes + 1
    if lifecycle.phase != "Starting" and inputs.now - lifecycle.since >= SOUND_AFTER:
        crashes = 1
    return replace(
        lifecycle,
        phase="BackOff",
        epoch=lifecycle.epoch + 1,
        since=inputs.now,
        replicas=0,
        seen_failures=running.failed_starts,
        crashes=crashes,
        retry_at=inputs.now + backoff(crashes),
        failure=WakeFailure(lifecycle.epoch + 1, running.reason, running.message),
        reported=lifecycle.phase == "Starting",
    )


def _must_abort(lifecycle: Lifecycle, inputs: Inputs) -> bool:
    reports = [view.report for view in inputs.gateways if view.report]
    refused = any(report.held or report.refused_epoch >= lifecycle.epoch for report in reports)
    return refused or inputs.now >= lifecycle.since + inputs.drain_limit


def _is_at(view: GatewayView, phase: HoldPhase, epoch: int) -> bool:
    return view.report is not None and view.report.phase == phase and view.report.epoch == epoch


def _is_quiet(view: GatewayView, phase: HoldPhase, epoch: int) -> bool:
    return _is_at(view, phase, epoch) and view.report is not None and view.report.in_flight == 0


def _keeps_epoch(view: GatewayView, epoch: int) -> bool:
    return _is_at(view, "Holding", epoch) or _is_at(view, "Cold", epoch)
