"""Wakes those who wait for a file to change, whoever changed it.

It looks at the file every 50 ms while somebody waits: no inotify limits, and the same on every file system. A writer in
this process need not wait for the next look: it calls `beat`.
"""

import asyncio
from pathlib import Path

INTERVAL = 0.05

Mark = tuple[int, int]


class FileWatcher:
    """One for a file, shared by all who wait in an event loop."""

    def __init__(self, path: Path) -> None:
        self._path = str(path)
        self._waiting = 0
        self._task: asyncio.Task[None] | None = None
        self._nap: asyncio.Future[None] | None = None

    def mark(self) -> Mark:
        """What the file looks like now. Take it before reading, and `wait` misses nothing."""
        try:
            found = Path(self._path).stat()
        except OSError:
            return (0, 0)
        return found.st_ino, found.st_size

    async def wait(self, mark: Mark) -> None:
        """Until the file is not as it was at `mark`."""
        self._waiting += 1
        try:
            while self.mark() == mark:
                if self._task is None or self._task.done():
                    self._task = asyncio.create_task(self._look(mark))
                await asyncio.wait((self._task,))
        finally:
            self._waiting -= 1
            if not self._waiting and self._task is not None:
                self._task.cancel()
                self._task = None

    def beat(self) -> None:
        """Look now."""
        if self._nap is not None and not self._nap.done():
            self._nap.set_result(None)

    async def _look(self, mark: Mark) -> None:
        loop = asyncio.get_running_loop()
        while self.mark() == mark:
            self._nap = loop.create_future()
            timer = loop.call_later(INTERVAL, self.beat)
            try:
                await self._nap
            finally:
                timer.cancel()
