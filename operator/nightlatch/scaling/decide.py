"""How many replicas an endpoint should have, decided from its concurrency alone."""

from dataclasses import dataclass
from math import ceil

from nightlatch.api.duration import parse_duration
from nightlatch.api.endpoint import Scaling

# Until autoscaling is implemented, maxReplicas above 1 is accepted and capped at 1.
MAX_REPLICAS_FOR_NOW = 1


@dataclass(frozen=True, slots=True)
class Load:
    """The load of one endpoint over all gateways.

    in_flight: requests in progress; None while one gateway does not know its own. held: calls that wait for a replica.
    issued: requests ever sent to the model server; a request that begins and ends between two reports changes it.
    """

    in_flight: int | None
    held: int
    issued: int = 0

    @property
    def idle(self) -> bool:
        """True only if the load is known to be zero. Unknown is not zero."""
        return self.in_flight == 0 and self.held == 0


UNKNOWN_LOAD = Load(in_flight=None, held=0)


@dataclass(frozen=True, slots=True)
class Window:
    """The newest load and when the endpoint was last not idle (Unix seconds).

    A leader opens a window at its election, so nothing scales down until one whole window has passed.
    """

    load: Load
    busy_at: float

    @classmethod
    def opened(cls, now: float) -> "Window":
        """The window of a leader that has seen no report yet."""
        return cls(UNKNOWN_LOAD, now)

    def observe(self, now: float, load: Load) -> "Window":
        """The window after one more observation. An endpoint that was busy counts as busy until now."""
        quiet = load.idle and self.load.idle and load.issued == self.load.issued
        return Window(load, self.busy_at if quiet else now)


@dataclass(frozen=True, slots=True)
class ScalingSpec:
    """`spec.scaling` as numbers. idle_after: seconds."""

    min_replicas: int
    max_replicas: int
    target_concurrency: int
    idle_after: float

    @classmethod
    def of(cls, scaling: Scaling) -> "ScalingSpec":
        """From the API's type, with the cap applied."""
        most = min(scaling.max_replicas, MAX_REPLICAS_FOR_NOW)
        return cls(
            min_replicas=min(scaling.min_replicas, most),
            max_replicas=most,
            target_concurrency=scaling.target_concurrency,
            idle_after=parse_duration(scaling.idle_after),
        )

    def clamp(self, replicas: int) -> int:
        """The nearest number within minimum and maximum."""
        return max(self.min_replicas, min(replicas, self.max_replicas))


def decide(now: float, window: Window, spec: ScalingSpec, *, replicas: int) -> int:
    """How many replicas to have when there are `replicas`: more at once, fewer only after a whole idle window."""
    wanted = spec.clamp(ceil(_concurrency(window.load, replicas) / spec.target_concurrency))
    if wanted >= replicas or now >= idle_at(window, spec):
        return wanted
    return spec.clamp(replicas)


def idle_at(window: Window, spec: ScalingSpec) -> float:
    """When the endpoint may scale down if it stays idle until then; infinity while it is not idle."""
    return window.busy_at + spec.idle_after if window.load.idle else float("inf")


def _concurrency(load: Load, replicas: int) -> int:
    # Without a replica nothing is in flight: only held calls are demand.
    return load.held if replicas == 0 else load.held + (load.in_flight or 0)
