"""One model server as a child process: started in its own session, watched until it is ready and until it ends."""

import asyncio
import contextlib
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import httpx
import orjson
import psutil

from nightlatch.workloads.processes.files import ReplicaFiles, ReplicaRecord, write_replica
from nightlatch.workloads.processes.model_process import DRAIN_DELAY, DRAIN_TIMEOUT, HOST, Launch

POLL_STARTING, POLL_READY = 0.02, 1.0
# Seconds from SIGTERM, which lets it finish its requests, to SIGKILL.
GRACE = DRAIN_DELAY + DRAIN_TIMEOUT + 5.0


@dataclass(frozen=True, slots=True)
class Ports:
    """The ports that a model server announces once both accept connections."""

    serving: int
    admin: int


class ReplicaProcess:
    """One model server. `changed` is called after each change of its record on disk."""

    def __init__(self, name: str, files: ReplicaFiles, launch: Launch, changed: Callable[[], None]) -> None:
        self.launch = launch
        self.files = files
        self.record = ReplicaRecord(name, pid=0, created=0.0)
        self._changed = changed
        self._stopping = asyncio.Event()
        self._grace = GRACE

    @property
    def wanted(self) -> bool:
        """False once `stop` was called."""
        return not self._stopping.is_set()

    def stop(self, grace: float = GRACE) -> None:
        """Let it finish its requests and end. Its record says terminating first. A second call can shorten `grace`."""
        self._grace = min(grace, self._grace)
        if self.wanted:
            self._stopping.set()
            if self.record.pid:
                self._note(replace(self.record, terminating=True))

    async def run(self) -> int:
        """Run it to its end. Returns the exit status, negative for a signal. Raises OSError if it cannot start."""
        self.files.remove()
        process = await self._spawn()
        watches = [asyncio.create_task(self._watch_readiness()), asyncio.create_task(self._end_when_stopped(process))]
        try:
            return await process.wait()
        finally:
            for watch in watches:
                watch.cancel()
            if process.returncode is None:
                process.kill()
            self.files.record.unlink(missing_ok=True)
            self._changed()

    async def _spawn(self) -> asyncio.subprocess.Process:
        log = os.open(self.files.log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o600)
        try:
            process = await asyncio.create_subprocess_exec(
                *self.launch.command(self.files),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=dict(self.launch.environment),
                cwd=self.files.log.parent,
                start_new_session=True,
                umask=0o077,
            )
        finally:
            os.close(log)
        self._note(replace(self.record, pid=process.pid, created=_created(process.pid), terminating=not self.wanted))
        return process

    async def _watch_readiness(self) -> None:
        while (ports := _announced(self.files.announce)) is None:
            await asyncio.sleep(POLL_STARTING)
        self._note(replace(self.record, address=(HOST, ports.serving)))
        async with httpx.AsyncClient(base_url=f"http://{HOST}:{ports.admin}", trust_env=False, timeout=5.0) as admin:
            while True:
                ready = await _is_ready(admin)
                if ready != self.record.ready and self.wanted:
                    self._note(replace(self.record, ready=ready))
                await asyncio.sleep(POLL_READY if ready else POLL_STARTING)

    async def _end_when_stopped(self, process: asyncio.subprocess.Process) -> None:
        await self._stopping.wait()
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
            waited = 0.0
            while waited < self._grace:
                await asyncio.sleep(0.1)
                waited += 0.1
            process.kill()

    def _note(self, record: ReplicaRecord) -> None:
        self.record = record
        write_replica(self.files, record)
        self._changed()


def _created(pid: int) -> float:
    try:
        return float(psutil.Process(pid).create_time())
    except psutil.NoSuchProcess:
        return 0.0


def _announced(path: Path) -> Ports | None:
    try:
        found = orjson.loads(path.read_bytes())
        return Ports(int(found["port"]), int(found["admin_port"]))
    except (FileNotFoundError, orjson.JSONDecodeError):
        return None


async def _is_ready(admin: httpx.AsyncClient) -> bool:
    try:
        return (await admin.get("/readyz")).status_code == 200
    except httpx.TransportError:
        return False
