"""Which changes of an endpoint's run-time state become Kubernetes Events. Pure."""

from dataclasses import dataclass
from typing import Literal

from nightlatch.api.conditions import Reason
from nightlatch.scaling.runtime import EndpointRuntime


@dataclass(frozen=True, slots=True)
class EndpointEvent:
    """The part of a Kubernetes Event that we decide. `reason` is one of those in `api/conditions.py`."""

    type: Literal["Normal", "Warning"]
    reason: str
    message: str


def events_between(before: EndpointRuntime, after: EndpointRuntime) -> tuple[EndpointEvent, ...]:
    """What happened between two snapshots, in order."""
    told = (_failure(before, after), _state(before, after))
    return tuple(notice for notice in told if notice)


def _failure(before: EndpointRuntime, after: EndpointRuntime) -> EndpointEvent | None:
    failure = after.failure
    if failure is None or (before.failure and before.failure.attempt >= failure.attempt):
        return None
    return EndpointEvent("Warning", failure.reason, f"The model server did not start: {failure.message}")


def _state(before: EndpointRuntime, after: EndpointRuntime) -> EndpointEvent | None:
    if before.state == after.state:
        return None
    match after.state:
        case "Waking":
            return EndpointEvent("Normal", Reason.WAKING, "An authorized call is held: starting the model server")
        case "Awake" if before.state == "Draining":
            return EndpointEvent("Normal", Reason.AWAKE, "A call came while it was going to sleep: it stays awake")
        case "Awake":
            return EndpointEvent("Normal", Reason.AWAKE, "The model server answers")
        case "Draining":
            return EndpointEvent("Normal", Reason.DRAINING, "Idle: going to sleep once every gateway is done")
        case "Asleep":
            return EndpointEvent("Normal", Reason.ASLEEP, "No replica runs; the next authorized call wakes it")
