"""The command and environment of one model server, and the cause of its end. Pure but for reading its files."""

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from nightlatch.planning.workload import Workload
from nightlatch.workloads.processes.files import ReplicaFiles
from nightlatch.workloads.protocol import WorkloadError

HOST = "127.0.0.1"
# Gateways on this machine learn within milliseconds that a replica is terminating.
DRAIN_DELAY = 0.5
DRAIN_TIMEOUT = 30.0
LONGEST_MESSAGE = 600
LOG_TAIL = 64 * 1024
# The variables that a model server inherits. It gets no other, so that no credential of ours reaches it.
INHERITED = (
    "PATH",
    "HOME",
    "LANG",
    "LC_ALL",
    "TZ",
    "TMPDIR",
    "LD_LIBRARY_PATH",
    "CUDA_VISIBLE_DEVICES",
    "OMP_NUM_THREADS",
    "OMP_WAIT_POLICY",
)


@dataclass(frozen=True, slots=True)
class Launch:
    """What all replicas of a workload run. A workload whose Launch does not change needs no roll."""

    program: tuple[str, ...]
    arguments: tuple[str, ...]
    environment: Mapping[str, str]

    def command(self, files: ReplicaFiles) -> tuple[str, ...]:
        """The command line of one replica."""
        own = ("--announce", str(files.announce), "--termination-message", str(files.ended))
        return (*self.program, *own, *self.arguments)


# `python -m nightlatch_server`, with our own interpreter.
MODEL_SERVER = (sys.executable, "-m", "nightlatch_server")


def launch(workload: Workload, tls: Path, program: tuple[str, ...] = MODEL_SERVER) -> Launch:
    """How to run a workload on this machine. Raises WorkloadError if that is not possible."""
    return Launch(program, _arguments(workload, tls), _environment(workload))


def model_directory(workload: Workload) -> Path:
    """The directory of the model package. Raises WorkloadError if the model is not a local directory."""
    if workload.source.path is None:
        raise WorkloadError("only spec.model.source.path can be served on this machine: name a local directory there")
    return Path(workload.source.path).expanduser().absolute()


def cause_of_end(files: ReplicaFiles) -> str:
    """Why the server ended: its termination message, else the newest error in its log, else the last line."""
    if ended := _tail(files.ended).strip():
        return _shortened(ended)
    lines = [line for line in _tail(files.log).splitlines() if line.strip()]
    entries = [_log_entry(line) for line in lines]
    errors = [entry for entry in entries if entry.get("level") in ("error", "critical")]
    newest = (errors or entries or [{}])[-1]
    return _shortened(str(newest.get("message", "")))


def _arguments(workload: Workload, tls: Path) -> tuple[str, ...]:
    digest = ("--expect-digest", workload.digest) if workload.digest else ()
    return (
        *("--model-dir", str(model_directory(workload)), "--model-name", workload.model_name),
        *("--host", HOST, "--port", "0", "--admin-port", "0"),
        *("--tls-cert", str(tls / "tls.crt"), "--tls-key", str(tls / "tls.key"), "--tls-ca", str(tls / "ca.crt")),
        *("--admit", workload.admit),
        *("--drain-delay", str(DRAIN_DELAY), "--drain-timeout", str(DRAIN_TIMEOUT)),
        *digest,
        *workload.runtime.args,
    )


def _environment(workload: Workload) -> dict[str, str]:
    inherited = {name: os.environ[name] for name in INHERITED if name in os.environ}
    wanted = {variable.name: variable.value for variable in workload.runtime.env}
    # So that a checkout that is not installed finds its packages.
    ours = {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path), "PYTHONUNBUFFERED": "1"}
    return inherited | wanted | ours


def _tail(path: Path) -> str:
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - LOG_TAIL))
            return file.read().decode(errors="replace")
    except FileNotFoundError:
        return ""


def _log_entry(line: str) -> dict[str, Any]:
    """One line of the structured log. Any other line becomes the message of an entry."""
    try:
        found = orjson.loads(line)
    except orjson.JSONDecodeError:
        return {"message": line.strip()}
    return found if isinstance(found, dict) else {"message": line.strip()}


def _shortened(text: str) -> str:
    one_line = " ".join(text.split())
    return one_line if len(one_line) <= LONGEST_MESSAGE else one_line[: LONGEST_MESSAGE - 1] + "…"
