"""Our own programs in processes that are forked from one which has already imported everything.

Most of what such a process costs is the imports: hundreds of tests pay for them once. What stays to be shown, that
`python -m nightlatch` and `python -m nightlatch.gatekeeper` start from nothing, the demo and every gateway of an `up`
show.
"""

import multiprocessing
import multiprocessing.connection
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

_VERBS = ("up", "get", "call", "logs", "delete", "rotate", "revoke", "inspect", "package")
_SERVER = multiprocessing.get_context("forkserver")
_SERVER.set_forkserver_preload([__name__, "nightlatch.gatekeeper.__main__", *(f"nightlatch.cli.{v}" for v in _VERBS)])


class Forked:
    """A process that calls `main` of a program; the rest is as with subprocess.Popen."""

    def __init__(
        self,
        program: Callable[[], object],
        arguments: Sequence[str],
        out: Path,
        err: Path | None = None,
        *,
        environment: dict[str, str] | None = None,
        directory: Path | None = None,
    ) -> None:
        """`out` and `err`, by default the same, are appended to. A program ends by SystemExit or returns a status."""
        self.arguments = list(arguments)
        environment = dict(os.environ) if environment is None else environment
        passed = program, self.arguments, out, err or out, environment, directory or Path.cwd()
        self._process = _SERVER.Process(target=_run, args=passed, daemon=True)
        self._process.start()
        assert self._process.pid is not None
        self.pid = self._process.pid
        # The status can be read once, and a test may wait in a thread while another asks.
        self._lock = threading.Lock()

    def poll(self) -> int | None:
        """The status with which it ended; negative for a signal, None while it runs."""
        with self._lock:
            return self._process.exitcode

    def wait(self, timeout: float | None = None) -> int:
        multiprocessing.connection.wait([self._process.sentinel], timeout)
        status = self.poll()
        if status is None:
            raise subprocess.TimeoutExpired(self.arguments, timeout or 0)
        return status

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        self._process.terminate()

    def kill(self) -> None:
        self._process.kill()


def _run(program, arguments, out, err, environment, directory) -> None:
    os.setsid()
    os.chdir(directory)
    os.environ.clear()
    os.environ.update(environment)
    for stream, path in ((sys.stdout, out), (sys.stderr, err)):
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(file, stream.fileno())
        os.close(file)
    sys.argv[1:] = arguments
    sys.exit(program())
