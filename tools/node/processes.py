"""Identifies a process by its pid and start time, so that we never touch a reused pid."""

import os
import select
import signal
from dataclasses import dataclass
from pathlib import Path

from tools.node.errors import NodeError


@dataclass(frozen=True)
class ProcessIdentity:
    """A process of this machine; `started` is in clock ticks since boot (proc(5), stat field 22)."""

    pid: int
    started: int


def parse_stat(stat: str) -> tuple[str, int]:
    """Return state letter and start time from the text of /proc/PID/stat; the name in it may be any text."""
    fields = stat.rpartition(")")[2].split()
    return fields[0], int(fields[19])


def identify(pid: int) -> ProcessIdentity | None:
    """Return the identity of a living process, None for one that is gone or a zombie."""
    try:
        state, started = parse_stat(Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace"))
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if state in "ZX" else ProcessIdentity(pid, started)


def is_running(identity: ProcessIdentity) -> bool:
    """Return whether this process is alive, and not another one with its pid."""
    return identify(identity.pid) == identity


def kill(identity: ProcessIdentity, timeout: float) -> None:
    """Kill the process and wait until it is gone. Does nothing if it is gone already.

    Raises NodeError when it is still there after `timeout` seconds.
    """
    try:
        descriptor = os.pidfd_open(identity.pid)
    except ProcessLookupError:
        return
    try:
        # The descriptor keeps the pid from being reused, so the comparison below has no race.
        if not is_running(identity):
            return
        signal.pidfd_send_signal(descriptor, signal.SIGKILL)
        if not select.select([descriptor], [], [], timeout)[0]:
            raise NodeError(f"Process {identity.pid} still runs {timeout:.0f} s after SIGKILL: run `down` again")
    finally:
        os.close(descriptor)
