"""Keeps child processes alive, and ends those that a killed `up` left behind.

Every child leads its own session. So a Ctrl-C in the terminal reaches only `up`, and a signal to the session reaches
the child and all its children.
"""

import asyncio
import contextlib
import json
import os
import signal
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from nightlatch.files import replace_file

FIRST_DELAY_S = 0.1
LONGEST_DELAY_S = 10.0
# After a child has run for this long, the delays start again from the first one.
STEADY_S = 10.0
# psutil rounds start times to clock ticks.
SAME_START_S = 0.02


@dataclass(frozen=True, slots=True)
class Child:
    """A process to keep alive. `environment` is added to that of this process."""

    name: str
    command: tuple[str, ...]
    log: Path
    environment: Mapping[str, str] = field(default_factory=dict)


def next_delay(previous: float, ran_s: float) -> float:
    """Seconds to wait before the next start."""
    if ran_s >= STEADY_S or previous == 0:
        return FIRST_DELAY_S
    return min(previous * 2, LONGEST_DELAY_S)


class Supervisor:
    """Starts children and restarts them when they exit. `say` shows a line to the user."""

    def __init__(self, records: Path, say: Callable[[str], None]) -> None:
        self._records = records
        self._say = say
        self._processes: dict[str, asyncio.subprocess.Process] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._stopping = False

    def start(self, child: Child) -> None:
        """Keep `child` alive from now on. Does not wait for it to start."""
        self._tasks[child.name] = asyncio.create_task(self._keep_alive(child), name=child.name)

    def pid(self, name: str) -> int | None:
        """The process id of a child, or None if it is not running."""
        process = self._processes.get(name)
        return process.pid if process and process.returncode is None else None

    def kill(self) -> None:
        """Send SIGKILL to every child's session, and do not wait."""
        self._stopping = True
        for process in self._processes.values():
            if process.returncode is None:
                _signal_group(process.pid, signal.SIGKILL)

    async def stop(self, *, grace_s: float = 5.0) -> None:
        """Send SIGTERM to every child's session, and SIGKILL after `grace_s` seconds. Returns when all have ended."""
        self._stopping = True
        running = [process for process in self._processes.values() if process.returncode is None]
        for process in running:
            _signal_group(process.pid, signal.SIGTERM)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(grace_s):
                await asyncio.gather(*(process.wait() for process in running))
        for process in running:
            _signal_group(process.pid, signal.SIGKILL)
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)
        for process in running:
            await process.wait()

    async def _keep_alive(self, child: Child) -> None:
        delay = 0.0
        while not self._stopping:
            started = time.monotonic()
            process = await self._spawn(child)
            status = await process.wait()
            _signal_group(process.pid, signal.SIGKILL)
            if self._stopping:
                return
            delay = next_delay(delay, time.monotonic() - started)
            self._say(f"{child.name} {_ending(status)}; restarting it in {delay:.1f} s (log: {child.log})")
            await asyncio.sleep(delay)

    async def _spawn(self, child: Child) -> asyncio.subprocess.Process:
        with child.log.open("ab") as log:
            process = await asyncio.create_subprocess_exec(
                *child.command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, **child.environment},
                start_new_session=True,
            )
        self._processes[child.name] = process
        write_record(self._records / f"{child.name}.json", process.pid)
        return process


def _ending(status: int) -> str:
    if status < 0:
        return f"was killed by {signal.Signals(-status).name}"
    return f"exited with status {status}"


def _signal_group(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, number)


def write_record(path: Path, pid: int) -> None:
    """Record a process with its start time, which tells it apart from a later process with the same id."""
    with contextlib.suppress(psutil.NoSuchProcess):
        replace_file(path, json.dumps({"pid": pid, "started": psutil.Process(pid).create_time()}).encode())


def recorded(path: Path) -> psutil.Process | None:
    """The process of a record, or None if it no longer runs."""
    try:
        record = json.loads(path.read_bytes())
        process = psutil.Process(record["pid"])
        if abs(process.create_time() - record["started"]) < SAME_START_S and process.status() != psutil.STATUS_ZOMBIE:
            return process
    except (OSError, ValueError, KeyError, psutil.Error):
        pass
    return None


def reap(records: Path) -> tuple[str, ...]:
    """End the processes that a killed `up` left behind, with their sessions. Returns their names."""
    orphans: dict[str, psutil.Process] = {}
    for path in sorted(records.glob("*.json")):
        process = recorded(path)
        if process is not None:
            orphans[path.stem] = process
            _signal_group(process.pid, signal.SIGKILL)
        path.unlink(missing_ok=True)
    psutil.wait_procs(list(orphans.values()), timeout=10)
    return tuple(orphans)
