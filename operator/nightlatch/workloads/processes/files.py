"""The state of local workloads on disk, for readers in other processes and for a successor after a crash.

    NAMESPACE/NAME/workload.json    the endpoint's uid
    NAMESPACE/NAME/scale.json       replicas asked for, newest failure
    NAMESPACE/NAME/replica-N.json   the model server of the Nth start; beside it .log, .announce, .ended
    NAMESPACE/NAME/tls/             certificate, key and CA of the serving port

Directories have mode 0700 and files 0600. Each file is replaced in one step.
"""

import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import orjson

from nightlatch.api.meta import NamespacedName
from nightlatch.files import replace_file
from nightlatch.workloads.protocol import Failure, Replica, WorkloadState


@dataclass(frozen=True, slots=True)
class ScaleRecord:
    """`started` counts starts, so that no two replicas share a name; `attempts` counts failed starts."""

    desired: int = 0
    started: int = 0
    attempts: int = 0
    failure: Failure | None = None


@dataclass(frozen=True, slots=True)
class ReplicaRecord:
    """One model server. `created`: the process's start time (Unix seconds), in case its pid is reused."""

    name: str
    pid: int
    created: float
    address: tuple[str, int] | None = None
    ready: bool = False
    terminating: bool = False


@dataclass(frozen=True, slots=True)
class ReplicaFiles:
    """The paths of one replica's files."""

    record: Path
    log: Path
    announce: Path
    ended: Path

    def remove(self) -> None:
        """Remove all files but the log, which says why the replica ended."""
        for path in (self.record, self.announce, self.ended):
            path.unlink(missing_ok=True)


@dataclass(frozen=True, slots=True)
class EndpointFiles:
    """The files of one endpoint's workload."""

    directory: Path

    @classmethod
    def of(cls, root: Path, endpoint: NamespacedName) -> "EndpointFiles":
        return cls(root / endpoint.namespace / endpoint.name)

    @property
    def workload(self) -> Path:
        """The file whose existence means that there is a workload."""
        return self.directory / "workload.json"

    @property
    def scale(self) -> Path:
        """The file of the ScaleRecord."""
        return self.directory / "scale.json"

    @property
    def tls(self) -> Path:
        """The directory of `tls.crt`, `tls.key` and `ca.crt`."""
        return self.directory / "tls"

    def replica(self, number: int) -> ReplicaFiles:
        """The files of the nth start."""
        base = self.directory / f"replica-{number}"
        record, log, announce, ended = (base.with_suffix(s) for s in (".json", ".log", ".announce", ".ended"))
        return ReplicaFiles(record, log, announce, ended)

    def write_workload(self, uid: str) -> None:
        """Record that there is a workload."""
        replace_file(self.workload, orjson.dumps({"uid": uid}))

    def read_scale(self) -> ScaleRecord:
        """The last ScaleRecord, or the default before the first."""
        if (found := _read(self.scale)) is None:
            return ScaleRecord()
        failure = found.pop("failure")
        return ScaleRecord(**found, failure=Failure(**failure) if failure else None)

    def write_scale(self, record: ScaleRecord) -> None:
        replace_file(self.scale, orjson.dumps(asdict(record)))

    def read_replicas(self) -> tuple[ReplicaRecord, ...]:
        """The records of all model servers, sorted by name."""
        found = (_read(path) for path in self.directory.glob("replica-*.json"))
        records = (ReplicaRecord(**{**entry, "address": _address(entry)}) for entry in found if entry)
        return tuple(sorted(records, key=lambda record: record.name))

    def remove(self) -> None:
        """Remove everything, the workload's own record first."""
        self.workload.unlink(missing_ok=True)
        shutil.rmtree(self.directory, ignore_errors=True)


def write_replica(files: ReplicaFiles, record: ReplicaRecord) -> None:
    replace_file(files.record, orjson.dumps(asdict(record)))


def read_state(root: Path, endpoint: NamespacedName) -> WorkloadState | None:
    """The state of a workload, or None if there is none."""
    files = EndpointFiles.of(root, endpoint)
    if not files.workload.exists():
        return None
    scale = files.read_scale()
    replicas = (Replica(r.name, r.address, r.ready, r.terminating) for r in files.read_replicas())
    return WorkloadState(scale.desired, tuple(replicas), scale.failure)


def endpoints(root: Path) -> tuple[NamespacedName, ...]:
    """Every endpoint that has a workload, sorted."""
    return tuple(
        sorted(NamespacedName(path.parent.parent.name, path.parent.name) for path in root.glob("*/*/workload.json"))
    )


def signatures(root: Path) -> dict[NamespacedName, tuple[tuple[str, int, int], ...]]:
    """For each endpoint, a value that changes whenever a file changes that `read_state` reads."""
    return {key: tuple(sorted(_stats(EndpointFiles.of(root, key).directory))) for key in endpoints(root)}


def make_private_directory(directory: Path) -> None:
    """Make the directory and its missing parents with mode 0700."""
    if not directory.is_dir():
        make_private_directory(directory.parent)
        directory.mkdir(mode=0o700, exist_ok=True)


def _stats(directory: Path) -> Iterator[tuple[str, int, int]]:
    for path in directory.glob("*.json"):
        try:
            found = path.stat()
        except FileNotFoundError:
            continue
        yield path.name, found.st_mtime_ns, found.st_ino


def _read(path: Path) -> dict[str, Any] | None:
    try:
        return dict(orjson.loads(path.read_bytes()))
    except FileNotFoundError:
        return None


def _address(entry: dict[str, Any]) -> tuple[str, int] | None:
    return (entry["address"][0], entry["address"][1]) if entry["address"] else None
