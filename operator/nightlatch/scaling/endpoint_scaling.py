"""The scaling of one endpoint: its load window and its lifecycle, updated together."""

from dataclasses import dataclass, replace

from nightlatch.api.duration import parse_duration
from nightlatch.api.endpoint import EndpointSpec
from nightlatch.api.meta import NamespacedName, ObjectMeta
from nightlatch.scaling.decide import ScalingSpec, Window, decide, idle_at
from nightlatch.scaling.fleet import Fleet, load_of
from nightlatch.scaling.lifecycle import Inputs, Lifecycle, Replicas, advance, take_over
from nightlatch.scaling.lifecycle import next_check_at as lifecycle_checks_at
from nightlatch.scaling.runtime import EndpointRuntime
from nightlatch.wire.report import WakeReport
from nightlatch.wire.report_service import DRAIN_GRACE

# Asleep, Starting, Awake, Holding, Emptying, Asleep: the same inputs never cause more transitions than this.
MAX_TRANSITIONS = 6


@dataclass(frozen=True, slots=True)
class DesiredScaling:
    """How the owner of an endpoint wants it to be scaled. `drain_limit`: seconds that a drain may take."""

    endpoint: NamespacedName
    uid: str
    scaling: ScalingSpec
    drain_limit: float
    generation: int

    @classmethod
    def of(cls, metadata: ObjectMeta, spec: EndpointSpec) -> "DesiredScaling":
        """From an accepted spec."""
        return cls(
            endpoint=metadata.key,
            uid=metadata.uid,
            scaling=ScalingSpec.of(spec.scaling),
            drain_limit=DRAIN_GRACE + parse_duration(spec.request_timeout),
            generation=metadata.generation,
        )


@dataclass(frozen=True, slots=True)
class EndpointScaling:
    """What the leader remembers of one endpoint."""

    window: Window
    lifecycle: Lifecycle


def initial(now: float, running: Replicas | None, desired: DesiredScaling) -> EndpointScaling:
    """The state from which a new leader starts."""
    return EndpointScaling(Window.opened(now), take_over(now, running, desired.generation))


def update(
    state: EndpointScaling, now: float, desired: DesiredScaling, running: Replicas | None, fleet: Fleet
) -> EndpointScaling:
    """Every transition that follows from the replicas and the reports as they are now."""
    views = fleet.views(desired.endpoint)
    state = replace(state, window=state.window.observe(now, load_of(views)))
    for _ in range(MAX_TRANSITIONS):
        count = decide(now, state.window, desired.scaling, replicas=state.lifecycle.replicas)
        inputs = Inputs(now, count, running, views, desired.drain_limit, desired.generation)
        lifecycle = advance(state.lifecycle, inputs)
        if lifecycle == state.lifecycle:
            break
        state = _moved(state, lifecycle, now)
    return state


def next_check_at(state: EndpointScaling, desired: DesiredScaling) -> float:
    """When the passing of time alone changes something, in Unix seconds; infinity if it never does."""
    by_lifecycle = lifecycle_checks_at(state.lifecycle, desired.drain_limit)
    if state.lifecycle.phase in ("Starting", "Awake") and not desired.scaling.min_replicas:
        return min(by_lifecycle, idle_at(state.window, desired.scaling))
    return by_lifecycle


def runtime(
    state: EndpointScaling,
    running: Replicas | None,
    fleet: Fleet,
    endpoint: NamespacedName,
    last_wake: WakeReport | None,
    *,
    settled: bool = True,
) -> EndpointRuntime:
    """The state to publish in RuntimeStatus."""
    reports = {view.gateway: view.report for view in fleet.views(endpoint) if view.report}
    return EndpointRuntime(
        state=state.lifecycle.state,
        desired=state.lifecycle.replicas,
        replicas=running.live if running else 0,
        failure=state.lifecycle.failure,
        last_wake=last_wake,
        applied={gateway: report.applied for gateway, report in reports.items()},
        nacks={gateway: report.nacked for gateway, report in reports.items() if report.nacked is not None},
        too_old=tuple(sorted(gateway for gateway, report in reports.items() if report.too_new)),
        disconnected=fleet.disconnected,
        members=fleet.applied(endpoint),
        formats=fleet.formats,
        model=next((report.model for report in reports.values() if report.model), None),
        settled=settled,
    )


def _moved(state: EndpointScaling, lifecycle: Lifecycle, now: float) -> EndpointScaling:
    """Becoming awake, also by an aborted drain, opens a new idle window: drains do not follow in a tight loop."""
    became_awake = lifecycle.phase == "Awake" != state.lifecycle.phase
    window = replace(state.window, busy_at=now) if became_awake else state.window
    return EndpointScaling(window, lifecycle)
