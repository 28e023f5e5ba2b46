"""`nightlatch up` with endpoints that are asleep and stay so, and a kept-alive connection to each on every gateway.

Everything is real: the store, the controller, gatekeepers and Envoys. A caller may infer only, and asks for metadata:
403 as long as its credential is good, 401 otherwise. Neither wakes anything.
"""

import argparse
import asyncio
import contextlib
import json
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from cpu import machine

from nightlatch.api.meta import API_VERSION, INFERENCE_CLIENT, INFERENCE_ENDPOINT, Kind, RawObject
from nightlatch.store.files.store import FilesStore
from nightlatch_server.model_package.writer import write_package
from tests.embedded.raw_http import Connection, request, trust
from tests.embedded.running import Up
from tests.unit.model_server import tiny_model

NAMESPACE, BOT = "default", "bot"
GOOD, REFUSED = 403, 401
PATIENCE_S = 120.0
# For each endpoint that is to be ready.
_PATIENCE_EACH_S = 2.0


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much is done."""

    endpoints: int
    gateways: int
    rounds: int


@dataclass(frozen=True, slots=True)
class Route:
    """A kept-alive connection to one endpoint of one gateway."""

    gateway: int
    endpoint: str
    connection: Connection

    async def status(self, credential: str, method: str = "GET", path: str = "/v1/models") -> int:
        """The answer to one call."""
        return (await self.connection.send(call(self.endpoint, credential, method, path))).status


@dataclass(frozen=True, slots=True)
class Sleeping:
    """The `up` and its store. Routes: by gateway, then in the order of the endpoints' names."""

    up: Up
    store: FilesStore
    routes: list[Route]

    async def until_good(self, credential: str) -> None:
        """Until every gateway takes the credential on every endpoint, and a little longer, so that all is quiet."""
        async with asyncio.timeout(PATIENCE_S):
            for route in self.routes:
                while await route.status(credential) != GOOD:
                    await asyncio.sleep(0.05)
        await asyncio.sleep(3.0)

    def check_asleep(self) -> None:
        """Raises RuntimeError if an endpoint woke, which no call of a benchmark asks for."""
        if self.up.probe.model_servers():
            raise RuntimeError("an endpoint woke")


def command_line(
    described: str | None, run: Callable[[Sizes], Awaitable[None]], usual: Sizes, quick: Sizes, *, rounds: str
) -> None:
    """Read the options and run. `rounds`: what a round is."""
    parser = argparse.ArgumentParser(description=described)
    parser.add_argument("--endpoints", type=int, default=usual.endpoints, help="default: %(default)s")
    parser.add_argument("--gateways", type=int, default=usual.gateways, help="default: %(default)s")
    parser.add_argument("--rounds", type=int, default=usual.rounds, help=f"{rounds}; default: %(default)s")
    parser.add_argument("--quick", action="store_true", help="a smoke run: its numbers mean nothing")
    options = parser.parse_args()
    sizes = quick if options.quick else Sizes(options.endpoints, options.gateways, options.rounds)
    started(run, sizes)


def started(run: Callable[..., Awaitable[None]], *arguments: Any) -> None:
    """Run to the end, and clean up after a SIGTERM as after Ctrl-C."""

    async def whole() -> None:
        print(f"machine: {machine()}")
        await run(*arguments)

    signal.signal(signal.SIGTERM, signal.default_int_handler)
    asyncio.run(whole())


@contextlib.asynccontextmanager
async def sleeping(
    folder: Path, access: Mapping[str, Mapping[str, Any]], gateways: int, *created: RawObject
) -> AsyncIterator[Sleeping]:
    """These endpoints, all of them Ready and asleep. access: `spec.access` by the endpoint's name.

    created: written to the store besides, such as the client BOT, whose files have the CA.
    """
    package = folder / "tiny"
    write_package(tiny_model.write(folder / "source"), package, name="tiny")
    up = Up(folder, _manifest(access, package), gateways=gateways).start()
    patience_s = PATIENCE_S + _PATIENCE_EACH_S * len(access)
    try:
        await up.started()
        store = FilesStore(up.state)
        for each in created:
            await store.create(each)
        await up.until("the client's key", (up.files(BOT) / "api-key").exists, patience_s)
        for name in access:
            await up.until(f"{name} to be Ready", lambda name=name: up.is_ready(name), patience_s)
        async with asyncio.timeout(patience_s):
            routes = [
                Route(gateway, name, await opened(up, gateway, name)) for gateway in range(gateways) for name in access
            ]
        yield Sleeping(up, store, routes)
    finally:
        if up.process is not None and up.process.poll() is None:
            up.stop()


def raw_object(kind: Kind, name: str, spec: Mapping[str, Any]) -> RawObject:
    """An object for the store."""
    metadata = {"name": name, "namespace": NAMESPACE}
    return {"apiVersion": API_VERSION, "kind": kind.kind, "metadata": metadata, "spec": dict(spec)}


def client(endpoints: Sequence[str] = ()) -> RawObject:
    """BOT, which may infer on these endpoints."""
    named = [{"name": name, "permissions": ["infer"]} for name in endpoints]
    return raw_object(INFERENCE_CLIENT, BOT, {"endpoints": named, "apiKey": {}})


def call(endpoint: str, credential: str, method: str = "GET", path: str = "/v1/models") -> bytes:
    """A call as raw bytes."""
    raw: bytes = request(method, path, host(endpoint), headers=[("Authorization", f"Bearer {credential}")])
    return raw


def host(endpoint: str) -> str:
    """The name under which callers reach an endpoint."""
    return f"{endpoint}.{NAMESPACE}.localhost"


async def opened(up: Up, gateway: int, endpoint: str) -> Connection:
    """A connection, once the gateway listens for the endpoint."""
    context = trust(up.files(BOT) / "ca.crt")
    while True:
        try:
            connection: Connection = await Connection.open(up.ports[gateway], host(endpoint), context)
        except (OSError, asyncio.IncompleteReadError):
            await asyncio.sleep(0.1)
        else:
            return connection


def _manifest(access: Mapping[str, Mapping[str, Any]], package: Path) -> str:
    objects = (
        raw_object(INFERENCE_ENDPOINT, name, {"model": {"source": {"path": str(package)}}, "access": dict(each)})
        for name, each in access.items()
    )
    return "---\n".join(json.dumps(each) + "\n" for each in objects)
