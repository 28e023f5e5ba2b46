"""Which gateways there are, and where their report streams listen."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Protocol

Address = tuple[str, int]
# Every gateway by id; None for one that has no address yet: it counts, and cannot be dialled.
Members = Mapping[str, Address | None]


class GatewayDirectory(Protocol):
    """The list that a sleeping endpoint waits for: no member may be missed."""

    def members(self) -> AsyncIterator[Members]:
        """The whole set, first as it is and then after each change, without end."""


class FileGatewayDirectory:
    """Gateways of one machine, each of which writes `{"report": {"host": …, "port": …}}` to its announce file."""

    def __init__(self, announcements: Mapping[str, Path], *, poll_seconds: float = 1.0) -> None:
        self._announcements = dict(announcements)
        self._poll_ms = int(poll_seconds * 1000)

    async def members(self) -> AsyncIterator[Members]:
        """See GatewayDirectory."""
        last: Members | None = None
        async for _ in self._touched():
            now = {gateway: await asyncio.to_thread(_read, path) for gateway, path in self._announcements.items()}
            if now != last:
                last = now
                yield now

    async def _touched(self) -> AsyncIterator[None]:
        """At once, then after each change of a file and, in case one was missed, at each poll."""
        from watchfiles import awatch  # noqa: PLC0415 - a laptop's package, not in the operator's image

        yield
        folders = {path.parent for path in self._announcements.values()}
        watch = awatch(
            *folders, recursive=False, debounce=50, step=10, rust_timeout=self._poll_ms, yield_on_timeout=True
        )
        async for _ in watch:
            yield


def _read(announcement: Path) -> Address | None:
    try:
        report = json.loads(announcement.read_bytes())["report"]
        return str(report["host"]), int(report["port"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
