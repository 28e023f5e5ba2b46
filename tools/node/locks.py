"""File locks, so that two processes never build the same thing at the same time."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tools.node.progress import Progress


@contextmanager
def exclusive(path: Path, progress: Progress) -> Iterator[None]:
    """Hold the lock at `path`. Other processes wait, and then find the work done."""
    with path.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            progress.step("Another process is building the same thing: waiting for it")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield
