"""The workloads seam over local processes: a replica is a child process on loopback, and its state is a file.

An unexpected exit is a failed start, which `observe` reports. The process is not started again here: the leader decides
when to try again. If the command changes, replicas roll: an old process ends only once a new one is ready, so a broken
new one leaves the old one in service.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from nightlatch.api.conditions import Reason
from nightlatch.api.meta import NamespacedName
from nightlatch.files import replace_file
from nightlatch.planning.workload import Workload
from nightlatch.workloads.processes import installation
from nightlatch.workloads.processes.files import (
    EndpointFiles,
    ScaleRecord,
    endpoints,
    make_private_directory,
    read_state,
)
from nightlatch.workloads.processes.model_process import MODEL_SERVER, Launch, cause_of_end, launch, model_directory
from nightlatch.workloads.processes.orphans import reap_orphans
from nightlatch.workloads.processes.replica_process import ReplicaProcess
from nightlatch.workloads.protocol import Failure, WorkloadError, WorkloadState

# The grace when an endpoint is removed or `up` ends: no call can arrive any more.
HURRIED_GRACE = 5.0
KEPT_LOGS = 5
TLS_FILES = ("tls.crt", "tls.key", "ca.crt")
SecretReader = Callable[[NamespacedName], Awaitable[Mapping[str, bytes]]]

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Served:
    """One endpoint's workload in this process."""

    workload: Workload
    files: EndpointFiles
    launch: Launch
    scale: ScaleRecord
    replicas: dict[ReplicaProcess, asyncio.Task[None]] = field(default_factory=dict)

    def live(self, *, current: bool) -> list[ReplicaProcess]:
        """Replicas that are not stopping: those of the current command, or those of earlier ones."""
        return [r for r in self.replicas if r.wanted and (r.launch == self.launch) is current]


class ProcessWorkloads:
    """Workloads over child processes. It owns `directory`. Call `reap()` first and `close()` at the end.

    read_secret: gives the data of a Secret. program: the command that gets the model server's options.
    """

    def __init__(self, directory: Path, read_secret: SecretReader, *, program: tuple[str, ...] = MODEL_SERVER) -> None:
        self._root = directory.absolute()
        self._read_secret = read_secret
        self._program = program
        self._served: dict[NamespacedName, _Served] = {}
        self._listeners: set[asyncio.Queue[NamespacedName]] = set()

    async def reap(self) -> int:
        """End the processes that a killed predecessor left, and update the records. Returns the number of processes."""
        make_private_directory(self._root)
        count = await asyncio.to_thread(reap_orphans, self._root)
        for key in endpoints(self._root):
            files = EndpointFiles.of(self._root, key)
            for path in files.directory.glob("replica-*.json"):
                path.unlink(missing_ok=True)
            files.write_scale(replace(files.read_scale(), desired=0))
        return count

    async def close(self) -> None:
        """End every model server, and wait for it."""
        await asyncio.gather(*(self._stop_all(served) for served in self._served.values()))

    async def observe(self, endpoint: NamespacedName) -> WorkloadState | None:
        return await asyncio.to_thread(read_state, self._root, endpoint)

    async def publish_trust(self, namespace: str, bundle: str) -> None:
        """Do nothing: on a laptop, callers find the CA beside their key."""

    async def tell_installation(self, told: Mapping[str, str]) -> Mapping[str, str]:
        """In a file, in which the command line writes the annotations."""
        return await asyncio.to_thread(installation.tell, self._root, told)

    async def listed(self) -> tuple[NamespacedName, ...]:
        return await asyncio.to_thread(endpoints, self._root)

    async def changes(self) -> AsyncIterator[NamespacedName]:
        """Without delay, because the changes are made in this process."""
        queue: asyncio.Queue[NamespacedName] = asyncio.Queue()
        self._listeners.add(queue)
        try:
            for key in endpoints(self._root):
                yield key
            while True:
                yield await queue.get()
        finally:
            self._listeners.discard(queue)

    async def ensure(self, workload: Workload) -> None:
        """Also write the serving port's certificate again if its Secret changed."""
        files = EndpointFiles.of(self._root, workload.endpoint)
        wanted = launch(workload, files.tls, self._program)
        material = await self._read_secret(NamespacedName(workload.endpoint.namespace, workload.tls_secret))
        _write_tls(files, workload.tls_secret, material)
        served = self._served.get(workload.endpoint) or self._admit(
            _Served(workload, files, wanted, files.read_scale())
        )
        changed = served.launch != wanted
        served.workload, served.launch = workload, wanted
        self._check_model(served)
        if changed and served.live(current=False):
            self._start_missing(served)
            self._stop_surplus(served)

    async def scale(self, endpoint: NamespacedName, replicas: int) -> None:
        """Asking again for the same number starts failed replicas again."""
        served = self._served.get(endpoint)
        if served is None:
            raise WorkloadError(f"{endpoint} has no workload yet")
        self._record(served, replace(served.scale, desired=replicas))
        self._start_missing(served)
        self._stop_surplus(served)

    async def remove(self, endpoint: NamespacedName) -> None:
        served = self._served.pop(endpoint, None)
        files = EndpointFiles.of(self._root, endpoint)
        files.workload.unlink(missing_ok=True)
        self._tell(endpoint)
        if served:
            await self._stop_all(served)
        await asyncio.to_thread(files.remove)

    # The rest is synchronous, so that nothing happens between a decision and its execution.

    def _admit(self, served: _Served) -> _Served:
        """Let it be scaled from now on, also if a predecessor left its files."""
        served.files.write_workload(served.workload.uid)
        self._served[served.workload.endpoint] = served
        self._tell(served.workload.endpoint)
        return served

    def _start_missing(self, served: _Served) -> None:
        missing = served.scale.desired - len(served.live(current=True))
        if missing > 0 and self._check_model(served, again=True):
            for _ in range(missing):
                self._start(served)

    def _start(self, served: _Served) -> None:
        number = served.scale.started + 1
        self._record(served, replace(served.scale, started=number, failure=None))
        served.files.replica(number - KEPT_LOGS).log.unlink(missing_ok=True)
        endpoint = served.workload.endpoint

        def changed() -> None:
            self._stop_surplus(served)
            self._tell(endpoint)

        replica = ReplicaProcess(f"{endpoint.name}-{number}", served.files.replica(number), served.launch, changed)
        served.replicas[replica] = asyncio.create_task(
            self._run(served, replica), name=f"replica {replica.record.name}"
        )

    def _stop_surplus(self, served: _Served) -> None:
        """Stop the newest replicas that are too many, and those of earlier commands once enough new ones are ready."""
        current = served.live(current=True)
        surplus = current[served.scale.desired :]
        if sum(r.record.ready for r in current) >= served.scale.desired:
            surplus = surplus + served.live(current=False)
        for replica in surplus:
            replica.stop()

    async def _run(self, served: _Served, replica: ReplicaProcess) -> None:
        try:
            ended = _how_it_ended(await replica.run(), was_ready=replica.record.ready)
        except OSError as error:
            ended = f"the model server could not be started: {error}"
        finally:
            served.replicas.pop(replica, None)
        if replica.wanted:
            cause = await asyncio.to_thread(cause_of_end, replica.files)
            self._fail(
                served, Reason.MODEL_SERVER_EXITED, f"{ended}{': ' + cause if cause else ''} (log: {replica.files.log})"
            )

    def _check_model(self, served: _Served, *, again: bool = False) -> bool:
        """True if the model directory exists. If not, record a failure; `again`: also if it is recorded already."""
        directory = model_directory(served.workload)
        known = served.scale.failure is not None and served.scale.failure.reason == Reason.MODEL_NOT_FOUND
        if directory.is_dir():
            if known:
                self._record(served, replace(served.scale, failure=None))
            return True
        if again or not known:
            message = f"the directory {directory} does not exist: correct spec.model.source.path"
            self._fail(served, Reason.MODEL_NOT_FOUND, message)
        return False

    def _fail(self, served: _Served, reason: Reason, message: str) -> None:
        _log.warning(
            "model server failed",
            extra={"endpoint": str(served.workload.endpoint), "reason": reason, "error": message},
        )
        attempt = served.scale.attempts + 1
        failure = Failure(attempt, reason, message)
        self._record(served, replace(served.scale, attempts=attempt, failure=failure))

    def _record(self, served: _Served, scale: ScaleRecord) -> None:
        if scale == served.scale:
            return
        served.scale = scale
        if served.files.workload.exists():
            served.files.write_scale(scale)
        self._tell(served.workload.endpoint)

    def _tell(self, endpoint: NamespacedName) -> None:
        for queue in self._listeners:
            queue.put_nowait(endpoint)

    async def _stop_all(self, served: _Served) -> None:
        tasks = list(served.replicas.values())
        for replica in list(served.replicas):
            replica.stop(HURRIED_GRACE)
        if tasks:
            await asyncio.wait(tasks)


def _write_tls(files: EndpointFiles, secret: str, material: Mapping[str, bytes]) -> None:
    if missing := [name for name in TLS_FILES if name not in material]:
        raise WorkloadError(f"the Secret {secret} lacks {', '.join(missing)}")
    make_private_directory(files.tls)
    for name in TLS_FILES:
        path = files.tls / name
        if not path.exists() or path.read_bytes() != material[name]:
            replace_file(path, material[name])


def _how_it_ended(status: int, *, was_ready: bool) -> str:
    when = "while serving" if was_ready else "before it was ready"
    how = f"was killed by signal {-status}" if status < 0 else f"exited with status {status}"
    return f"the model server {how} {when}"
