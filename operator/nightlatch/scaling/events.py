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
    """The events between two states, in order."""
    return tuple(event for event in (_failure(before, after), _state(before, after)) if event)


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
            return EndpointEvent("Normal", Reason.AWAKE, "A call came during the drain: the endpoint stays awake")
        case "Awake":
            return EndpointEvent("Normal", Reason.AWAKE, "The model server is ready")
        case "Draining":
            message = "The endpoint is idle: it sleeps once every gateway has drained"
            return EndpointEvent("Normal", Reason.DRAINING, message)
        case "Asleep":
            message = "No replica is running: an authorized call wakes the endpoint"
            return EndpointEvent("Normal", Reason.ASLEEP, message)
