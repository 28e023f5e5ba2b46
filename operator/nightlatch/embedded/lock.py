"""One `up` for each state directory, and who it is."""

import fcntl
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO

from nightlatch.embedded.errors import UserError
from nightlatch.embedded.layout import Layout
from nightlatch.files import replace_file

ATTEMPTS, BETWEEN_ATTEMPTS = 20, 0.025


@dataclass(frozen=True, slots=True)
class Running:
    """The `up` that holds a state directory. `ports`: one for each gateway."""

    pid: int
    ports: tuple[int, ...]


@contextmanager
def exclusive(layout: Layout) -> Iterator[None]:
    """Hold the directory. The lock dies with the process, also by SIGKILL. Raises UserError when it is held."""
    with layout.lock.open("a") as file:
        layout.lock.chmod(0o600)
        if not _acquired(file):
            raise UserError(_held_by(layout), "stop it first, or give another --state-dir")
        try:
            yield
        finally:
            layout.running.unlink(missing_ok=True)


def _acquired(file: IO[str]) -> bool:
    """Another command that asks `running` holds the lock for an instant: outlast it."""
    for _ in range(ATTEMPTS):
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(BETWEEN_ATTEMPTS)
        else:
            return True
    return False


def _held_by(layout: Layout) -> str:
    other = _recorded(layout)
    who = f"process {other.pid}" if other else "another process"
    return f"`nightlatch up` already runs on {layout.root} ({who})"


def announce(layout: Layout, ports: tuple[int, ...]) -> None:
    """Say to other commands that we run."""
    replace_file(layout.running, json.dumps({"pid": os.getpid(), "port": ports[0], "ports": ports}).encode())


def running(layout: Layout) -> Running | None:
    """The `up` that runs there now, if any."""
    if not layout.lock.exists():
        return None
    with layout.lock.open("r") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return _recorded(layout)
        return None


def _recorded(layout: Layout) -> Running | None:
    try:
        record = json.loads(layout.running.read_bytes())
        return Running(record["pid"], tuple(record["ports"]))
    except (OSError, ValueError, KeyError):
        return None
