"""How long a revocation takes: one client that names many endpoints loses its access, and every gateway refuses it.

Everything is real: `nightlatch up` with two gateways, its store, its controller, gatekeepers and Envoys. All endpoints
are asleep and stay so. The client may infer only, and asks for metadata on kept-alive connections, one to each endpoint
of each gateway: 403 as long as its key is good, 401 from then on. Neither wakes anything.
"""

import argparse
import asyncio
import contextlib
import copy
import os
import signal
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Sequence
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from cpu import machine
from table import markdown, percentile

from nightlatch.api.meta import INFERENCE_CLIENT, NamespacedName, ObjectRef, RawObject
from nightlatch.store.files.store import FilesStore
from nightlatch_server.model_package.writer import write_package
from tests.embedded.raw_http import Connection, request, trust
from tests.embedded.running import Up, manifest
from tests.unit.model_server import tiny_model

NAMESPACE, BOT = "default", "bot"
CLIENT = NamespacedName(NAMESPACE, BOT)
GOOD_KEY, REVOKED = 403, 401
# So many connections to one gateway ask at the same time.
ASKING = 2
PATIENCE_S = 120.0


@dataclass(frozen=True, slots=True)
class Route:
    """A kept-alive connection to one endpoint of one gateway."""

    gateway: int
    endpoint: str
    connection: Connection

    async def status(self, key: str, method: str = "GET", path: str = "/v1/models") -> int:
        """The answer to one call."""
        host = f"{self.endpoint}.{NAMESPACE}.localhost"
        raw = request(method, path, host, headers=[("Authorization", f"Bearer {key}")])
        return (await self.connection.send(raw)).status


@dataclass(frozen=True, slots=True)
class Round:
    """Seconds from the beginning of the write to the first refusal, by gateway and endpoint; load: average of 1 min."""

    how: str
    seconds: dict[tuple[int, str], float]
    wrote: float
    load: float

    @property
    def last(self) -> float:
        """Until every gateway refused on every endpoint."""
        return max(self.seconds.values())


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--endpoints", type=int, default=128, help="default: %(default)s, the most a client may name")
    parser.add_argument("--gateways", type=int, default=2, help="default: %(default)s")
    parser.add_argument("--rounds", type=int, default=20, help="default: %(default)s, half of them deletions")
    parser.add_argument("--quick", action="store_true", help="a smoke run: its numbers mean nothing")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    asyncio.run(run(*((4, 2, 2) if options.quick else (options.endpoints, options.gateways, options.rounds))))


async def run(endpoints: int, gateways: int, rounds: int) -> None:
    """Suspend and delete the client by turns, and print how long each took."""
    print(f"machine: {machine()}")
    names = [f"e{index}" for index in range(endpoints)]
    with tempfile.TemporaryDirectory(prefix="nl-bench-") as folder:
        async with _running(Path(folder), names, gateways) as (up, store, routes):
            found = [
                await _suspended(up, store, routes) if number % 2 == 0 else await _deleted(up, store, routes)
                for number in range(rounds)
            ]
            if up.probe.model_servers():
                raise RuntimeError("an endpoint woke")
    print(_table(found, endpoints, gateways))


@contextlib.asynccontextmanager
async def _running(
    folder: Path, names: Sequence[str], gateways: int
) -> AsyncIterator[tuple[Up, FilesStore, list[Route]]]:
    """`up` with these endpoints, all of them asleep, and a client whose key every gateway knows on every one."""
    package = folder / "tiny"
    write_package(tiny_model.write(folder / "source"), package, name="tiny")
    up = Up(folder, manifest(*names, model=package, clients=0), gateways=gateways).start()
    try:
        await up.started()
        store = FilesStore(up.state)
        await store.create(_client(names))
        files = up.files(BOT)
        await up.until("the client's key", (files / "api-key").exists, PATIENCE_S)
        for name in names:
            await up.until(f"{name} to be Ready", lambda name=name: up.is_ready(name), PATIENCE_S)
        async with asyncio.timeout(PATIENCE_S):
            routes = [await opened(up, gateway, name) for gateway in range(gateways) for name in names]
        await until_good(up.key(BOT), routes)
        yield up, store, routes
    finally:
        if up.process.poll() is None:
            up.stop()


async def opened(up: Up, gateway: int, endpoint: str) -> Route:
    """The connection, once the gateway listens for the endpoint."""
    context = trust(up.files(BOT) / "ca.crt")
    while True:
        try:
            connection = await Connection.open(up.ports[gateway], up.host(endpoint), context)
            return Route(gateway, endpoint, connection)
        except (OSError, asyncio.IncompleteReadError):
            await asyncio.sleep(0.1)


def _client(names: Sequence[str]) -> RawObject:
    endpoints = [{"name": name, "permissions": ["infer"]} for name in names]
    return {
        "apiVersion": INFERENCE_CLIENT.api_version,
        "kind": INFERENCE_CLIENT.kind,
        "metadata": {"name": BOT, "namespace": NAMESPACE},
        "spec": {"endpoints": endpoints, "apiKey": {}},
    }


async def _suspended(up: Up, store: FilesStore, routes: Sequence[Route]) -> Round:
    """Suspend the client, and then let it call again."""
    found = await store.get(INFERENCE_CLIENT, NAMESPACE, BOT)
    suspended = copy.deepcopy(found)
    suspended["spec"]["suspend"] = True
    measured = await measured_round("suspended", up.key(BOT), routes, store.replace(suspended))
    again = await store.get(INFERENCE_CLIENT, NAMESPACE, BOT)
    again["spec"]["suspend"] = False
    await store.replace(again)
    await until_good(up.key(BOT), routes)
    return measured


async def _deleted(up: Up, store: FilesStore, routes: Sequence[Route]) -> Round:
    """Delete the client, and then create it again, with another key."""
    old, names = up.key(BOT), [route.endpoint for route in routes if route.gateway == 0]
    gone = store.delete(ObjectRef(INFERENCE_CLIENT.kind, CLIENT))
    measured = await measured_round("deleted", old, routes, gone)
    await store.create(_client(names))
    file = up.files(BOT) / "api-key"
    await up.until("another key", lambda: file.exists() and up.key(BOT) not in {"", old}, PATIENCE_S)
    await until_good(up.key(BOT), routes)
    return measured


async def measured_round(how: str, key: str, routes: Sequence[Route], write: Awaitable[object]) -> Round:
    """Take access away from this key or token with a write, and ask on every connection until it is refused there."""
    gateways = sorted({route.gateway for route in routes})
    left = [[route for route in routes if route.gateway == gateway] for gateway in gateways]
    seconds: dict[tuple[int, str], float] = {}
    asking = [asyncio.create_task(_ask(share, key, seconds)) for each in left for share in _shares(each)]
    # The first sweep finds a good key everywhere.
    await asyncio.sleep(0.5)
    started = time.perf_counter()
    await write
    wrote = time.perf_counter() - started
    async with asyncio.timeout(PATIENCE_S):
        await asyncio.gather(*asking)
    for route in routes:
        if await route.status(key, "POST", "/v1/embeddings") != REVOKED:
            raise RuntimeError(f"gateway {route.gateway} refused {route.endpoint}, and then did not")
    return Round(how, {place: when - started for place, when in seconds.items()}, wrote, os.getloadavg()[0])


def _shares(routes: Sequence[Route]) -> list[list[Route]]:
    return [list(routes[number::ASKING]) for number in range(ASKING)]


async def _ask(routes: list[Route], key: str, seconds: dict[tuple[int, str], float]) -> None:
    """Ask one after the other, again and again, and note when each was first refused."""
    left = routes
    while left:
        still_good = []
        for route in left:
            status = await route.status(key)
            if status == GOOD_KEY:
                still_good.append(route)
            elif status == REVOKED:
                seconds[route.gateway, route.endpoint] = time.perf_counter()
            else:
                raise RuntimeError(f"gateway {route.gateway} answered {status} for {route.endpoint}")
        left = still_good


async def until_good(key: str, routes: Sequence[Route]) -> None:
    """Until every gateway knows the key on every endpoint, and a little longer, so that all is quiet."""
    async with asyncio.timeout(PATIENCE_S):
        for route in routes:
            while await route.status(key) != GOOD_KEY:
                await asyncio.sleep(0.05)
    await asyncio.sleep(3.0)


def _table(found: Sequence[Round], endpoints: int, gateways: int) -> str:
    rows = [
        row(f"{how}: refused by every gateway on every endpoint", [each.last for each in found if each.how == how])
        for how in ("suspended", "deleted")
    ]
    rows += [
        row("**both: refused by every gateway on every endpoint**", [each.last for each in found]),
        row(
            "both: first refusal, each gateway and endpoint by itself",
            [one for each in found for one in each.seconds.values()],
        ),
        row("both: of that, the write to the store", [each.wrote for each in found]),
    ]
    loads = [each.load for each in found]
    header = [
        f"{endpoints} endpoints on {gateways} gateways, ms from the beginning of the write",
        "times",
        "p50",
        "p99",
        "worst",
    ]
    return f"load average over the rounds: {min(loads):.1f} to {max(loads):.1f}\n\n{markdown(header, rows)}"


def row(name: str, seconds: Sequence[float]) -> list[str]:
    values = [each * 1000 for each in seconds]
    return [name, f"{len(values):,}", *(f"{percentile(values, percent):.0f}" for percent in (50, 99, 100))]


if __name__ == "__main__":
    main()
