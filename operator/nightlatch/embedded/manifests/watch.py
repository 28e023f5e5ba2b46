"""Notices when a manifest is edited. It watches directories, because many editors replace files when they save."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

from watchfiles import Change, awatch

from nightlatch.embedded.manifests.apply import is_watched
from nightlatch.embedded.manifests.documents import SUFFIXES


async def edits(watched: tuple[Path, ...], stop: asyncio.Event) -> AsyncIterator[None]:
    """One item for each burst of edits, until `stop` is set."""

    def relevant(_change: Change, path: str) -> bool:
        file = Path(path)
        return file in watched or (file.suffix in SUFFIXES and is_watched(file, watched))

    directories = {path if path.is_dir() else path.parent for path in watched}
    async for _ in awatch(*directories, watch_filter=relevant, stop_event=stop, debounce=200, step=50, recursive=False):
        yield
