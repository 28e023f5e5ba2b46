"""The gateways of one machine, found by the announce files that they write."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

from watchfiles import awatch

from nightlatch.controller.autoscaling.gateways import Address, Members


class FileGatewayDirectory:
    """Gateways of one machine, each of which writes `{"report": {"host": …, "port": …}}` to its announce file."""

    def __init__(self, announcements: Mapping[str, Path], *, poll_seconds: float = 1.0) -> None:
        self._announcements = dict(announcements)
        self._poll_ms = int(poll_seconds * 1000)

    async def members(self) -> AsyncIterator[Members]:
        last: Members | None = None
        async for _ in self._changes():
            now = {gateway: await asyncio.to_thread(_read, path) for gateway, path in self._announcements.items()}
            if now != last:
                last = now
                yield now

    async def _changes(self) -> AsyncIterator[None]:
        """Now, after each change of a file, and at each poll in case a change was missed."""
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
