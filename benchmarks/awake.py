"""A running `nightlatch up` with one endpoint, and callers of it."""

import asyncio
import contextlib
import http.client
import json
import re
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path

from nightlatch.api.meta import NamespacedName
from nightlatch.embedded import http_client, lock
from nightlatch.embedded.console.lines import EndpointView
from nightlatch.embedded.demo.probe import UpProbe
from nightlatch.embedded.layout import Layout
from nightlatch.workloads.processes.files import read_state

ENDPOINT = NamespacedName("default", "minilm")
CLIENT = NamespacedName("default", "bench")
TEXT = "A cat sleeps on the sofa."
_PATIENCE_S = 60.0
_STOP_S = 20.0


class Caller:
    """Calls for an embedding, again and again on one kept-alive connection."""

    def __init__(self, connection: http.client.HTTPSConnection, key: str | None) -> None:
        self._connection = connection
        self._headers = {"content-type": "application/json"} | ({"authorization": f"Bearer {key}"} if key else {})
        self._body = json.dumps({"model": ENDPOINT.name, "input": [TEXT]}).encode()

    def embed(self) -> tuple[int, float | None]:
        """Status (0: the connection was lost) and for how many milliseconds the call was held, if it was."""
        try:
            self._connection.request("POST", "/v1/embeddings", self._body, self._headers)
            response = self._connection.getresponse()
            response.read()
        except (OSError, http.client.HTTPException):
            self._connection.close()
            return 0, None
        wake = re.search(r"\bwake;dur=([0-9.]+)", response.getheader("server-timing") or "")
        return response.status, float(wake[1]) if wake else None


@dataclass(frozen=True, slots=True)
class Stage:
    """`up`, seen from outside. out: what it prints."""

    process: "subprocess.Popen[bytes]"
    layout: Layout
    out: Path

    @property
    def probe(self) -> UpProbe:
        """Looks into its state directory."""
        return UpProbe(self.layout)

    async def view(self) -> EndpointView:
        """The endpoint's status."""
        return await self.probe.view(ENDPOINT)

    async def until(self, what: str, holds: Callable[[EndpointView], bool]) -> None:
        """Wait for a status."""

        async def condition() -> bool:
            return holds(await self.view())

        await self.probe.until(what, condition, timeout_s=_PATIENCE_S, process=self.process)

    async def asleep(self) -> None:
        """Wait until no model server runs."""
        await self.until("sleep", lambda view: view.state == "Asleep" and self.probe.model_servers() == 0)

    def caller(self) -> Caller:
        """A fresh connection through the gateway."""
        running = lock.running(self.layout)
        if running is None:
            raise RuntimeError(f"`nightlatch up` ended:\n{self.printed()}")
        files = self.layout.client(CLIENT)
        url = f"https://{ENDPOINT.name}.{ENDPOINT.namespace}.localhost:{running.ports[0]}"
        return Caller(http_client.Connection(url, files / "ca.crt"), (files / "api-key").read_text().strip())

    def address(self) -> tuple[str, int]:
        """Where the model server listens now."""
        state = read_state(self.layout.workloads, ENDPOINT)
        found = [each.address for each in state.replicas if each.address and not each.terminating] if state else []
        if not found:
            raise RuntimeError("no model server runs")
        return found[0]

    def printed(self) -> str:
        """What `up` said so far."""
        return self.out.read_text()


@contextlib.asynccontextmanager
async def stage(folder: Path, model: Path, idle_after: str) -> AsyncIterator[Stage]:
    """`nightlatch up` as a user starts it, asleep and ready to be called; gone with the block."""
    if not (model / "model.json").exists():
        raise SystemExit("the model package is missing; make it: make models/minilm/model.json")
    layout, out = Layout.at(folder / "state"), folder / "up.out"
    process = _start(folder / "bench.yaml", _manifest(model, idle_after), layout.root, out)
    try:
        here = Stage(process, layout, out)
        await here.until("the endpoint to be Ready", lambda view: view.ready is True)
        await here.probe.until("the key", _exported(layout), timeout_s=_PATIENCE_S, process=process)
        yield here
    finally:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            await asyncio.to_thread(process.wait, _STOP_S)
        process.kill()


def _start(manifest: Path, text: str, state: Path, out: Path) -> "subprocess.Popen[bytes]":
    manifest.write_text(text)
    command = [sys.executable, "-m", "nightlatch", "up", str(manifest), "--state-dir", str(state), "--port", "0"]
    with out.open("wb") as file:
        return subprocess.Popen(command, stdout=file, stderr=file)


def _exported(layout: Layout) -> "Callable[[], asyncio.Future[bool]]":
    path = layout.client(CLIENT) / "api-key"
    return lambda: asyncio.ensure_future(asyncio.to_thread(path.exists))


def _manifest(model: Path, idle_after: str) -> str:
    spec = {
        "model": {"source": {"path": str(model.absolute())}},
        "scaling": {"idleAfter": idle_after},
        "access": {"apiKey": {}},
    }
    client = {"endpoints": [{"name": ENDPOINT.name}], "apiKey": {}}
    objects = [("InferenceEndpoint", ENDPOINT.name, spec), ("InferenceClient", CLIENT.name, client)]
    documents = [
        {"apiVersion": "nightlatch.dev/v1alpha1", "kind": kind, "metadata": {"name": name}, "spec": spec}
        for kind, name, spec in objects
    ]
    return "\n---\n".join(map(json.dumps, documents))
