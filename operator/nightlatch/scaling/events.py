"""Which changes of an endpoint's state its owner should hear of, as Events independent of any API."""

from dataclasses import dataclass
from typing import Literal

from nightlatch.scaling.runtime import EndpointRuntime


@dataclass(frozen=True, slots=True)
class EndpointEvent:
    """One Event. `reason` is CamelCase, `message` a sentence."""

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
            return EndpointEvent("Normal", "Waking", "An authorized call is held: starting the model server")
        case "Awake" if before.state == "Draining":
            return EndpointEvent("Normal", "Awake", "A call came during the drain: the endpoint stays awake")
        case "Awake":
            return EndpointEvent("Normal", "Awake", "The model server is ready")
        case "Draining":
            return EndpointEvent("Normal", "Draining", "The endpoint is idle: it sleeps once every gateway has drained")
        case "Asleep":
            return EndpointEvent("Normal", "Asleep", "No replica is running: an authorized call wakes the endpoint")
