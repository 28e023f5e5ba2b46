"""Wakes the tasks that wait for a file to change, in whichever process it is changed.

It looks at the file every 50 ms while a task waits: polling needs no inotify watches and behaves the same on every file
system. A writer in this process calls `wake`, so that nobody waits for the next look.
"""

import asyncio
from pathlib import Path

INTERVAL = 0.05

# Inode and size; (0, 0) when there is no file.
Fingerprint = tuple[int, int]


class FileWatcher:
    """One for each file, shared by all tasks of an event loop that wait for it."""

    def __init__(self, path: Path) -> None:
        self._path = str(path)
        self._waiting = 0
        self._task: asyncio.Task[None] | None = None
        self._nap: asyncio.Future[None] | None = None

    def fingerprint(self) -> Fingerprint:
        """What the file looks like now. Take it before reading, and `wait` misses no change."""
        try:
            found = Path(self._path).stat()
        except OSError:
            return (0, 0)
        return found.st_ino, found.st_size

    async def wait(self, seen: Fingerprint) -> None:
        """Wait until the file differs from the fingerprint `seen`."""
        self._waiting += 1
        try:
            while self.fingerprint() == seen:
                if self._task is None or self._task.done():
                    self._task = asyncio.create_task(self._poll(seen))
                await asyncio.wait((self._task,))
        finally:
            self._waiting -= 1
            if not self._waiting and self._task is not None:
                self._task.cancel()
                self._task = None

    def wake(self) -> None:
        """Look at the file now."""
        if self._nap is not None and not self._nap.done():
            self._nap.set_result(None)

    async def _poll(self, seen: Fingerprint) -> None:
        loop = asyncio.get_running_loop()
        while self.fingerprint() == seen:
            self._nap = loop.create_future()
            timer = loop.call_later(INTERVAL, self.wake)
            try:
                await self._nap
            finally:
                timer.cancel()
