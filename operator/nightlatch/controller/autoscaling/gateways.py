"""The gateways of the installation, and the addresses of their report streams."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Protocol

Address = tuple[str, int]
# Every gateway by id. None: it has no address yet, so it cannot be dialled, but it counts.
Members = Mapping[str, Address | None]


class GatewayDirectory(Protocol):
    """The list of gateways. It must be complete, because an endpoint sleeps only once every gateway has drained."""

    def members(self) -> AsyncIterator[Members]:
        """The whole set as it is now, and again after each change, without end."""


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
        from watchfiles import awatch  # noqa: PLC0415 - only on a laptop, not in the operator's image

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
