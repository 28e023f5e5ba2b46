"""Observes a running `up` from outside: its objects, its processes and its metrics."""

import asyncio
import json
import re
import subprocess
import time
import urllib.request
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import psutil

from nightlatch.api.meta import INFERENCE_ENDPOINT, NamespacedName, RawObject
from nightlatch.embedded import lock
from nightlatch.embedded.console.lines import EndpointView, view
from nightlatch.embedded.errors import UserError
from nightlatch.embedded.layout import Layout
from nightlatch.embedded.ports import HOST
from nightlatch.store.files.state_directory import StateDirectoryError
from nightlatch.store.files.store import FilesStore
from nightlatch.store.protocol import NotFoundError

MODEL_SERVER = "nightlatch_server"
POLL_S = 0.02


@dataclass(frozen=True, slots=True)
class UpProbe:
    """Observes the `up` that runs on one state directory."""

    layout: Layout

    async def endpoint(self, key: NamespacedName) -> RawObject | None:
        """The object as it is now, or None. It is None also before `up` has created its directory."""
        try:
            store = FilesStore(self.layout.root, read_only=True)
            return await store.get(INFERENCE_ENDPOINT, key.namespace, key.name)
        except (NotFoundError, StateDirectoryError):
            return None

    async def view(self, key: NamespacedName) -> EndpointView:
        """The endpoint's view; an empty one if the endpoint does not exist."""
        found = await self.endpoint(key)
        return view(found) if found else EndpointView()

    def model_servers(self) -> int:
        """How many model servers run now."""
        return sum(MODEL_SERVER in " ".join(_command(child)) for child in self.processes())

    def processes(self) -> list[psutil.Process]:
        """Every process that `up` started, and the processes that those started."""
        running = lock.running(self.layout)
        try:
            return psutil.Process(running.pid).children(recursive=True) if running else []
        except psutil.NoSuchProcess:
            return []

    def checks(self, gateway: int = 0) -> int:
        """How many calls have reached the Python of a gatekeeper since it started."""
        announced = json.loads(self.layout.gateway(gateway).announce.read_bytes())
        url = f"http://{HOST}:{announced['metrics']['port']}/metrics"
        with urllib.request.urlopen(url, timeout=5) as response:
            text = response.read().decode()
        return sum(
            int(float(n)) for n in re.findall(r"^nightlatch_gateway_checks_total(?:\{.*\})? (\S+)", text, re.MULTILINE)
        )

    async def until(
        self, what: str, condition: Callable[[], Awaitable[bool]], *, timeout_s: float, process: subprocess.Popen[bytes]
    ) -> float:
        """Wait for a condition and return the seconds it took. Raises UserError if it takes too long."""
        started = time.monotonic()
        while not await condition():
            if process.poll() is not None:
                raise UserError(f"`nightlatch up` stopped while waiting for {what}", f"see {self.layout.root.parent}")
            if time.monotonic() - started > timeout_s:
                raise UserError(
                    f"waited {timeout_s:.0f} s for {what}", f"see {self.layout.logs} and `nightlatch get -A`"
                )
            await asyncio.sleep(POLL_S)
        return time.monotonic() - started


def _command(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []
