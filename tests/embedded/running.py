"""`nightlatch up` as a user runs it: a process, its state directory, its files."""

import asyncio
import json
import os
import signal
import time
from pathlib import Path

import psutil

from nightlatch.api.meta import NamespacedName
from nightlatch.cli import main
from nightlatch.embedded import lock
from nightlatch.embedded.demo.probe import UpProbe
from nightlatch.embedded.layout import Layout
from tests.embedded.forked import Forked
from tests.embedded.raw_http import Connection, request, trust

ROOT = Path(__file__).parents[2]
ENVIRONMENT = {
    **os.environ,
    "PYTHONPATH": os.pathsep.join(str(ROOT / part) for part in ("operator", "gate/python", "model-server", "client")),
}


class Up:
    """A running `up`. `directory` holds the manifest, the state and what was printed."""

    def __init__(self, directory: Path, manifest: str, *, gateways: int = 1, port: int = 0, arguments=()):
        self.directory = directory
        self.manifest = directory / "app.yaml"
        self.manifest.write_text(manifest)
        self.state = directory / "state"
        self.probe = UpProbe(Layout.at(self.state))
        self._arguments = ["--gateways", str(gateways), "--port", str(port), *arguments]
        self.process: Forked | None = None

    def start(self):
        arguments = ["up", str(self.manifest), "--state-dir", str(self.state), *self._arguments]
        out = self.directory / "out"
        # It can be read from now on; the process opens it once its imports are done.
        out.touch()
        self.process = Forked(main, arguments, out, environment=ENVIRONMENT, directory=self.directory)
        return self

    async def started(self):
        """Wait until it has locked its directory and chosen its ports. Needs a directory that no earlier `up` used."""
        await self.until("its start", self.probe.layout.running.exists)
        return self

    @property
    def printed(self) -> str:
        return (self.directory / "out").read_text()

    @property
    def ports(self) -> tuple[int, ...]:
        running = lock.running(self.probe.layout)
        assert running is not None, self.printed
        return running.ports

    def children(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children(recursive=True)

    def child(self, name: str) -> psutil.Process:
        """The child process of that name, such as `envoy-0`."""
        return psutil.Process(json.loads((self.state / "processes" / f"{name}.json").read_text())["pid"])

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(30)

    def kill(self):
        self.process.kill()
        self.process.wait()

    async def until(self, what, condition, timeout_s=60.0):
        """Wait for a condition (plain or awaitable); fails with what `up` printed."""
        deadline = time.monotonic() + timeout_s
        while True:
            held = condition()
            held = await held if asyncio.iscoroutine(held) else held
            if held:
                return held
            assert self.process.poll() is None, f"`up` exited while waiting for {what}:\n{self.printed}"
            assert time.monotonic() < deadline, f"waited {timeout_s} s for {what}:\n{self.printed}"
            await asyncio.sleep(0.02)

    async def ready(self, *names):
        """Wait until the endpoints are Ready and their clients (named NAME-bot) have a key, on every gateway."""
        for name in names:
            await self.until(f"{name} to be Ready", lambda name=name: self.is_ready(name))
            await self.until(f"{name}-bot's key", lambda name=name: (self.files(f"{name}-bot") / "api-key").exists())
            for gateway in range(len(self.ports)):
                await self.until(f"gateway {gateway}", lambda name=name, g=gateway: self.listens(name, g))
        return self

    async def is_ready(self, name):
        return (await self.view(name)).ready

    async def view(self, name):
        return await self.probe.view(NamespacedName("default", name))

    async def asleep(self, name):
        async def condition():
            return (await self.view(name)).state == "Asleep" and self.probe.model_servers() == 0

        await self.until(f"{name} to sleep", condition)

    def files(self, client: str) -> Path:
        return self.probe.layout.client(NamespacedName("default", client))

    def key(self, client: str) -> str:
        return (self.files(client) / "api-key").read_text().strip()

    def host(self, name: str) -> str:
        return f"{name}.default.localhost"

    async def listens(self, name: str, gateway: int = 0) -> bool:
        """Whether a gateway takes connections for the endpoint."""
        try:
            await (await self.connect(name, gateway)).close()
        except (OSError, asyncio.IncompleteReadError):
            return False
        return True

    async def connect(self, name: str, gateway: int = 0) -> Connection:
        context = trust(self.files(f"{name}-bot") / "ca.crt")
        return await Connection.open(self.ports[gateway], self.host(name), context)

    def bare(self, name: str, key: str | None) -> bytes:
        """POST /v1/embeddings without a body: Envoy ends an HTTP/1.1 connection whose body it did not wait for."""
        credential = [("Authorization", f"Bearer {key}")] if key else []
        return request("POST", "/v1/embeddings", self.host(name), headers=credential)

    def embedding(self, name: str, key: str | None, text: str = "A cat sleeps.", headers=()) -> bytes:
        """POST /v1/embeddings as raw bytes."""
        credential = [("Authorization", f"Bearer {key}")] if key else []
        body = {"model": name, "input": [text]}
        return request("POST", "/v1/embeddings", self.host(name), body, [*credential, *headers])


def manifest(*names, model: Path, idle_after="2s", clients=1, access_logs: Path | None = None) -> str:
    """An endpoint for each name, with the client NAME-bot (and NAME-bot-1, …).

    access_logs: a directory in which each model server writes all it was sent to NAME.log.
    """
    documents = []
    for name in names:
        spec = {
            "model": {"source": {"path": str(model)}},
            "scaling": {"idleAfter": idle_after},
            "access": {"apiKey": {}},
        }
        if access_logs:
            spec["runtime"] = {"args": ["--access-log", str(access_logs / f"{name}.log"), "--log-headers"]}
        documents.append({"kind": "InferenceEndpoint", "metadata": {"name": name}, "spec": spec})
        for index in range(clients):
            client = f"{name}-bot" + (f"-{index}" if index else "")
            spec = {"endpoints": [{"name": name}], "apiKey": {}}
            documents.append({"kind": "InferenceClient", "metadata": {"name": client}, "spec": spec})
    return "---\n".join(json.dumps({"apiVersion": "nightlatch.dev/v1alpha1", **each}) + "\n" for each in documents)
