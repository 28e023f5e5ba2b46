"""One maker at a time for each thing in the cache."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tools.node.progress import Progress


@contextmanager
def exclusive(path: Path, progress: Progress) -> Iterator[None]:
    """Let one process make a thing at a time; the others wait and find it done."""
    with path.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            progress.step("Another process is making the same thing: waiting for it")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield
