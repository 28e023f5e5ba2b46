"""Makes sure that only one `up` runs on a state directory, and tells other commands which one."""

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
class RunningUp:
    """The `up` that runs on a state directory. `ports` has one port for each gateway."""

    pid: int
    ports: tuple[int, ...]


@contextmanager
def exclusive(layout: Layout) -> Iterator[None]:
    """Lock the directory. The lock ends with the process, even after SIGKILL. Raises UserError if it is taken."""
    with layout.lock.open("a") as file:
        layout.lock.chmod(0o600)
        if not _acquired(file):
            raise UserError(_held_by(layout), "stop it first, or choose another directory with --state-dir")
        try:
            yield
        finally:
            layout.running.unlink(missing_ok=True)


def _acquired(file: IO[str]) -> bool:
    """Try for half a second: another command that calls `running` may hold the lock for a moment."""
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
    return f"`nightlatch up` is already running on {layout.root} ({who})"


def announce(layout: Layout, ports: tuple[int, ...]) -> None:
    """Tell other commands that this process runs on the directory."""
    replace_file(layout.running, json.dumps({"pid": os.getpid(), "port": ports[0], "ports": ports}).encode())


def running(layout: Layout) -> RunningUp | None:
    """The `up` that runs on the directory now, or None."""
    if not layout.lock.exists():
        return None
    with layout.lock.open("r") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return _recorded(layout)
        return None


def _recorded(layout: Layout) -> RunningUp | None:
    try:
        record = json.loads(layout.running.read_bytes())
        return RunningUp(record["pid"], tuple(record["ports"]))
    except (OSError, ValueError, KeyError):
        return None
