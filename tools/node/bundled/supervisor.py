"""Starts components as children of process 1, reaps every orphan, and reports which component ended."""

import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from tools.node.bundled.components import Component
from tools.node.errors import NodeError

PATIENCE_S = 120.0


class Supervisor:
    """The children of process 1, by pid."""

    def __init__(self, logs: Path, say: Callable[[str], None]) -> None:
        """Write a log for each component to `logs`; `say` prints a line of progress."""
        self._logs = logs
        self._say = say
        self._children: dict[int, tuple[str, subprocess.Popen[bytes]]] = {}

    def start(self, component: Component) -> None:
        """Start a component, and write its output to its log."""
        with (self._logs / f"{component.name}.log").open("ab") as log:
            child = subprocess.Popen(
                component.arguments, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT
            )
        self._children[child.pid] = (component.name, child)

    def wait_until(self, what: str, holds: Callable[[], bool]) -> None:
        """Wait until `holds()` is true. Raises NodeError if a component ends first, or after two minutes."""
        deadline = time.monotonic() + PATIENCE_S
        while not holds():
            self._fail_on_ended()
            if time.monotonic() > deadline:
                raise NodeError(f"{what} is not ready after {PATIENCE_S:.0f} s; see the logs in {self._logs}")
            time.sleep(0.05)
        self._say(f"{what} ready")

    def reap_forever(self) -> NoReturn:
        """Wait for children and orphans, and log the end of each component."""
        while True:
            pid, status = os.wait()
            if pid in self._children:
                name, _ = self._children.pop(pid)
                print(f"{name} ended with {os.waitstatus_to_exitcode(status)}", flush=True)

    def _fail_on_ended(self) -> None:
        while (ended := os.waitpid(-1, os.WNOHANG)) != (0, 0):
            pid, status = ended
            if pid in self._children:
                name, _ = self._children.pop(pid)
                raise NodeError(f"{name} ended with {os.waitstatus_to_exitcode(status)}:\n{self._tail(name)}")

    def _tail(self, name: str) -> str:
        lines = (self._logs / f"{name}.log").read_text(encoding="utf-8", errors="replace").splitlines()
        return "\n".join(lines[-15:])
