"""The leader's side of waking and sleeping an endpoint: `advance(lifecycle, inputs)` makes at most one transition.

Transitions depend on what gateways and the platform report now, never on a message that may have been lost.

    Asleep -> Starting      replicas are wanted (a held call, or minReplicas)
    Starting -> Awake       a replica is ready, or a gateway serves from a replica that it probed
    Starting -> BackOff     the start failed; held calls are answered with the reason
    BackOff -> Starting     the delay is over and replicas are wanted (if none are: BackOff -> Asleep)
    Awake -> Holding        no replica is wanted: drain epoch N opens, every gateway turns its hold on
    Holding -> Emptying     every gateway reports Holding(N) with nothing in flight or held: they may empty EDS
    Emptying -> Asleep      every gateway reports Cold(N): the replicas may go
    Holding, Emptying -> Awake  a held call, a refusal, a gateway that lost the epoch, a time-out: epoch N+1
    any with replicas -> BackOff    the last ready replica crashed
"""

from dataclasses import dataclass, replace
from typing import Literal

from nightlatch.api.endpoint import EndpointState
from nightlatch.api.meta import NamespacedName
from nightlatch.scaling.fleet import GatewayView
from nightlatch.wire.report import Directive, HoldPhase, WakeFailure

Phase = Literal["Asleep", "Starting", "BackOff", "Awake", "Holding", "Emptying"]

# Below the default of hold.timeout (45 s), so that a held call lives to see the next attempt.
FIRST_BACKOFF = 1.0
LONGEST_BACKOFF = 30.0
# An endpoint that has served this long is stable: its next crash starts the back-off from the beginning.
STABLE_AFTER = 60.0

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
    """What runs on the platform. live: not terminating. failed_starts: only grows. reason, message: of the newest."""

    desired: int = 0
    live: int = 0
    ready: int = 0
    failed_starts: int = 0
    reason: str = ""
    message: str = ""


@dataclass(frozen=True, slots=True)
class Inputs:
    """Everything that a transition may depend on. Times in Unix seconds.

    wanted: the result of decide(). running: None while the endpoint has no workload. gateways: those that count.
    drain_limit: seconds after which a drain is given up. generation: of the endpoint's spec.
    """

    now: float
    wanted: int
    running: Replicas | None
    gateways: tuple[GatewayView, ...]
    drain_limit: float
    generation: int = 1


@dataclass(frozen=True, slots=True)
class Lifecycle:
    """The phase of one endpoint, and what must be remembered for the next transition.

    epoch: the newest one used. It only grows, also across leaders, and numbers failures as well as drains.
    since: when the phase began. seen_failures: how many of the platform's failed starts have been handled.
    crashes: failures in a row. failure: shown in status until a replica serves; reported: held calls get it, too.
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
        """The phase as status shows it."""
        return _STATES[self.phase]

    def directive(self, endpoint: NamespacedName) -> Directive:
        """What the gateways should do now."""
        state: EndpointState = "Asleep" if self.phase == "Emptying" else self.state
        return Directive(endpoint, state, self.epoch, self.failure if self.reported else None)


def take_over(now: float, running: Replicas | None, generation: int = 1) -> Lifecycle:
    """The lifecycle from which a new leader starts: it takes over the running replicas unchanged.

    Epochs start at the current Unix time, which is higher than any epoch used before.
    """
    running = running or Replicas()
    seen = running.failed_starts if running.live or not running.desired else 0
    lifecycle = Lifecycle("Asleep", int(now), now, generation=generation, seen_failures=seen)
    if not running.desired:
        return lifecycle
    return replace(lifecycle, phase="Awake" if running.ready else "Starting", replicas=running.desired)


def advance(lifecycle: Lifecycle, inputs: Inputs) -> Lifecycle:
    """One transition, or the same lifecycle if nothing changes."""
    lifecycle = _ahead_of(lifecycle, inputs.gateways)
    if inputs.running is None:
        return lifecycle if lifecycle.phase == "Asleep" else _fall_asleep(lifecycle, inputs)
    if lifecycle.replicas and _crashed(lifecycle, inputs.running):
        return _back_off(lifecycle, inputs, inputs.running)
    return _TRANSITIONS[lifecycle.phase](lifecycle, inputs)


def next_check_at(lifecycle: Lifecycle, drain_limit: float) -> float:
    """When the passing of time alone causes a transition; infinity if it never does."""
    if lifecycle.phase in ("Holding", "Emptying"):
        return lifecycle.since + drain_limit
    return lifecycle.retry_at if lifecycle.phase == "BackOff" else float("inf")


def backoff(crashes: int) -> float:
    """Seconds before the next start after so many failures in a row."""
    return min(FIRST_BACKOFF * 2.0 ** min(crashes - 1, 16), LONGEST_BACKOFF)


def _ahead_of(lifecycle: Lifecycle, gateways: tuple[GatewayView, ...]) -> Lifecycle:
    """Skip epochs that an earlier leader, whose clock was ahead, has used."""
    reports = [view.report for view in gateways if view.report]
    newest = max((max(report.epoch, report.refused_epoch) for report in reports), default=0)
    return replace(lifecycle, epoch=newest + 1) if newest > lifecycle.epoch else lifecycle


def _crashed(lifecycle: Lifecycle, running: Replicas) -> bool:
    # A pod that cannot pull its image is live but never ready. Beside a ready replica a failure changes nothing.
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


def _holding(lifecycle: Lifecycle, inputs: Inputs) -> Lifecycle:
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
    "Holding": _holding,
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
    """Calls held because a stable replica died are not answered with the failure: the next start serves them."""
    crashes = lifecycle.crashes + 1
    if lifecycle.phase != "Starting" and inputs.now - lifecycle.since >= STABLE_AFTER:
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
