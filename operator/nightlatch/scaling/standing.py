"""One endpoint as the leader sees it: its load window and its cycle, settled together. Pure."""

from dataclasses import dataclass, replace

from nightlatch.api.duration import parse_duration
from nightlatch.api.endpoint import InferenceEndpoint
from nightlatch.api.meta import Key
from nightlatch.scaling.board import EndpointRuntime
from nightlatch.scaling.decide import ScalingSpec, Window, decide, idle_at
from nightlatch.scaling.drain import DRAIN_GRACE, Cycle, Running, Sight, adopt, advance
from nightlatch.scaling.drain import look_again_at as cycle_looks_again_at
from nightlatch.scaling.fleet import Fleet, load_of
from nightlatch.scaling.report import WakeReport

# Asleep, Starting, Awake, Gating, Emptying, Asleep: no input makes more of it at once.
MAX_TRANSITIONS = 6


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the endpoint's owner wants. `drain_limit`: seconds that a drain may take."""

    scaling: ScalingSpec
    drain_limit: float
    generation: int

    @classmethod
    def of(cls, endpoint: InferenceEndpoint) -> "Wanted":
        """From an endpoint that parse() accepted."""
        spec = endpoint.spec
        return cls(
            scaling=ScalingSpec.of(spec.scaling),
            drain_limit=DRAIN_GRACE + parse_duration(spec.request_timeout),
            generation=endpoint.metadata.generation,
        )


@dataclass(frozen=True, slots=True)
class Standing:
    """See the module."""

    window: Window
    cycle: Cycle


def found(now: float, running: Running | None, wanted: Wanted) -> Standing:
    """Where a new leader begins."""
    return Standing(Window.opened(now), adopt(now, running, wanted.generation))


def settle(
    standing: Standing, now: float, wanted: Wanted, running: Running | None, fleet: Fleet, endpoint: Key
) -> Standing:
    """All that follows from what is seen now."""
    views = fleet.views(endpoint)
    standing = replace(standing, window=standing.window.observe(now, load_of(views)))
    for _ in range(MAX_TRANSITIONS):
        count = decide(now, standing.window, wanted.scaling, replicas=standing.cycle.replicas)
        sight = Sight(now, count, running, views, wanted.drain_limit, wanted.generation)
        cycle = advance(standing.cycle, sight)
        if cycle == standing.cycle:
            break
        standing = _moved(standing, cycle, now)
    return standing


def look_again_at(standing: Standing, wanted: Wanted) -> float:
    """When time alone changes something, in Unix seconds; infinity when it does not."""
    by_cycle = cycle_looks_again_at(standing.cycle, wanted.drain_limit)
    if standing.cycle.phase in ("Starting", "Awake") and not wanted.scaling.min_replicas:
        return min(by_cycle, idle_at(standing.window, wanted.scaling))
    return by_cycle


def runtime(
    standing: Standing, running: Running | None, fleet: Fleet, endpoint: Key, last_wake: WakeReport | None
) -> EndpointRuntime:
    """The snapshot for the board."""
    said = {view.gateway: view.said for view in fleet.views(endpoint) if view.said}
    return EndpointRuntime(
        state=standing.cycle.state,
        desired=standing.cycle.replicas,
        replicas=running.live if running else 0,
        failure=standing.cycle.failure,
        last_wake=last_wake,
        applied={gateway: report.applied for gateway, report in said.items()},
        nacks={gateway: report.nacked for gateway, report in said.items() if report.nacked is not None},
        disconnected=fleet.disconnected,
    )


def _moved(standing: Standing, cycle: Cycle, now: float) -> Standing:
    """Becoming awake, also by an abort, opens a new idle window: no endpoint is drained in a tight loop."""
    became_awake = cycle.phase == "Awake" != standing.cycle.phase
    window = replace(standing.window, busy_at=now) if became_awake else standing.window
    return Standing(window, cycle)
