"""Turns changes of an endpoint's status into lines for the console. Pure."""

import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal

from nightlatch.api.conditions import EndpointCondition
from nightlatch.api.meta import NamespacedName, RawObject

Level = Literal["info", "good", "bad"]
# Type, reason and message of a condition that is False.
FalseCondition = tuple[str, str, str]


@dataclass(frozen=True, slots=True)
class Line:
    """A line, or a block of lines. `level` decides the colour."""

    text: str
    level: Level = "info"


@dataclass(frozen=True, slots=True)
class EndpointView:
    """The part of an endpoint's status that the console shows."""

    state: str | None = None
    url: str = ""
    ready: bool | None = None
    replicas: int = 0
    wake_at: str = ""
    wake: str = ""
    phases: tuple[tuple[str, int], ...] = ()
    false_conditions: tuple[FalseCondition, ...] = ()


def view(endpoint: RawObject) -> EndpointView:
    """The view of an endpoint. Conditions about an older generation do not count."""
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
        false_conditions=tuple(
            (c["type"], c["reason"], c["message"])
            for c in conditions
            if c["status"] == "False" and c["type"] != EndpointCondition.READY
        ),
    )


def status_lines(key: NamespacedName, before: EndpointView, after: EndpointView) -> list[Line]:
    """The lines to show when an endpoint's view changes."""
    lines = []
    if after.ready and not before.ready:
        lines.append(Line(f"{key} is Ready at {after.url}", "good"))
    if after.state and after.state != before.state:
        change = f"{before.state} → {after.state}" if before.state else after.state
        lines.append(Line(f"{key} {change}"))
    if after.wake_at and after.wake_at != before.wake_at and before != EndpointView():
        lines.append(Line(f"{key} woke in {_wake(after)}", "good"))
    return lines


def condition_lines(
    key: NamespacedName, shown: Collection[FalseCondition], now: Collection[FalseCondition]
) -> list[Line]:
    """A line for each false condition that was not shown yet."""
    return [
        Line(f"{key} {kind}: {reason}: {message}", "bad")
        for kind, reason, message in now
        if (kind, reason, message) not in shown
    ]


def _wake(after: EndpointView) -> str:
    total = re.sub(r"(?<=[0-9])(?=ms$|s$)", " ", after.wake)
    phases = ", ".join(f"{name} {milliseconds} ms" for name, milliseconds in after.phases)
    return f"{total} ({phases})" if phases else total
