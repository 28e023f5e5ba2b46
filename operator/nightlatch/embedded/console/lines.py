"""State changes as lines for a person. Pure: `(before, after) -> lines`."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal

from nightlatch.api.conditions import EndpointCondition
from nightlatch.api.meta import NamespacedName, RawObject

Level = Literal["info", "good", "bad"]
# (condition type, reason, message) of a condition that is False.
Trouble = tuple[str, str, str]


@dataclass(frozen=True, slots=True)
class Line:
    """One line; `level` colours it."""

    text: str
    level: Level = "info"


@dataclass(frozen=True, slots=True)
class EndpointView:
    """The part of an endpoint's status that is told."""

    state: str | None = None
    url: str = ""
    ready: bool | None = None
    replicas: int = 0
    wake_at: str = ""
    wake: str = ""
    phases: tuple[tuple[str, int], ...] = ()
    troubles: tuple[Trouble, ...] = ()


def view(endpoint: RawObject) -> EndpointView:
    """What is told of an endpoint; only conditions about its present generation count."""
    status = endpoint.get("status") or {}
    current = endpoint["metadata"].get("generation", 1)
    conditions = [c for c in status.get("conditions", []) if c.get("observedGeneration", current) == current]
    ready = {c["type"]: c["status"] for c in conditions}.get(EndpointCondition.READY)
    wake = status.get("lastWake") or {}
    return EndpointView(
        state=status.get("state"),
        url=status.get("url", ""),
        ready={"True": True, "False": False}.get(ready or ""),
        replicas=status.get("replicas", 0),
        wake_at=wake.get("at", ""),
        wake=wake.get("duration", ""),
        phases=tuple((wake.get("phases") or {}).items()),
        troubles=tuple(
            (c["type"], c["reason"], c["message"])
            for c in conditions
            if c["status"] == "False" and c["type"] != EndpointCondition.READY
        ),
    )


def tell(key: NamespacedName, before: EndpointView, after: EndpointView) -> list[Line]:
    """The lines that a change of status is worth."""
    lines = []
    if after.ready and not before.ready:
        lines.append(Line(f"{key} Ready at {after.url}", "good"))
    if after.state and after.state != before.state:
        lines.append(Line(f"{key} {_step(before.state, after.state)}"))
    if after.wake_at and after.wake_at != before.wake_at and before != EndpointView():
        lines.append(Line(f"{key} woke in {after.wake}{_phases(after)}", "good"))
    return lines


def complaints(key: NamespacedName, told: Collection[Trouble], now: Collection[Trouble]) -> list[Line]:
    """A line for each trouble that was not told yet."""
    return [
        Line(f"{key} {kind}: {reason}: {message}", "bad")
        for kind, reason, message in now
        if (kind, reason, message) not in told
    ]


def _step(before: str | None, after: str) -> str:
    return f"{before} → {after}" if before else after


def _phases(after: EndpointView) -> str:
    listed = ", ".join(f"{name} {milliseconds} ms" for name, milliseconds in after.phases)
    return f" ({listed})" if listed else ""
