"""The read-only half of the workloads seam over local processes, for a gatekeeper in another process."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

from watchfiles import Change, awatch

from nightlatch.api.meta import NamespacedName
from nightlatch.workloads.processes.files import endpoints, make_private_directory, read_state, signatures
from nightlatch.workloads.protocol import WorkloadState

# Milliseconds: how long changes are gathered, how often for more, and how often to look although none was reported.
GATHER_MS, STEP_MS, LOOK_MS = 30, 10, 1000


class ProcessWorkloadReader:
    """A WorkloadReader over the state directory's `workloads/`. It reads files only, so it works without the owner."""

    def __init__(self, directory: Path) -> None:
        self._root = directory.absolute()

    async def observe(self, endpoint: NamespacedName) -> WorkloadState | None:
        return await asyncio.to_thread(read_state, self._root, endpoint)

    async def listed(self) -> tuple[NamespacedName, ...]:
        return await asyncio.to_thread(endpoints, self._root)

    async def changes(self) -> AsyncIterator[NamespacedName]:
        known: dict[NamespacedName, tuple[tuple[str, int, int], ...]] = {}
        async for _ in _touched(self._root):
            found = await asyncio.to_thread(signatures, self._root)
            for key in sorted(known.keys() | found.keys()):
                if known.get(key) != found.get(key):
                    yield key
            known = found


async def _touched(root: Path) -> AsyncIterator[None]:
    """Yield once at the start, after each change of a record, and every second in case one was missed."""
    make_private_directory(root)
    yield
    watch = awatch(
        root,
        watch_filter=_is_record,
        debounce=GATHER_MS,
        step=STEP_MS,
        rust_timeout=LOOK_MS,
        yield_on_timeout=True,
    )
    async for _ in watch:
        yield


def _is_record(_change: Change, path: str) -> bool:
    name = Path(path).name
    return name.endswith(".json") and not name.startswith(".")
