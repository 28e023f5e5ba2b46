"""How long it takes until every gateway refuses a client whose access ended.

From the beginning of the write to the API server, on connections that are open: HTTP/1.1 and HTTP/2 to each gateway,
and a call that each gateway holds for an endpoint whose pod does not start.
"""

import asyncio
import contextlib
import math
import os
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import httpx
import psutil

from nightlatch.kube.client import ApiServer
from nightlatch.kube.errors import ApiServerError
from tests.cluster.installation import Caller, Installation, eventually
from tests.embedded.raw_http import Connection, request

# The promise.
BOUND_S = 1.0
# How often an open connection is asked, in seconds.
PAUSE_S = 0.01
# The gateways' pods listen here.
PORT = 8443
GRANTED, REFUSED = 403, 401
HOLD_S = 120
PATIENCE_S = 120.0
BOT = "bot"


@dataclass(frozen=True)
class World:
    """The client and its endpoints. `held` does not wake, because the kubelet starts no pod; all others stay asleep.

    The client may infer only: 403 while its credential is good, and nothing wakes. gateways: the address of each by
    name. shows: what the client proves with who it is.
    """

    installation: Installation
    api: ApiServer
    gateways: Mapping[str, str]
    namespace: str
    names: Sequence[str]
    held: str
    shows: Literal["apiKey", "certificate"] = "apiKey"

    @property
    def resource(self) -> str:
        return f"/apis/nightlatch.dev/v1alpha1/namespaces/{self.namespace}/inferenceclients"

    def declared(self) -> dict[str, Any]:
        grants = [{"name": name, "permissions": ["infer"]} for name in (*self.names, self.held)]
        metadata = {"name": BOT, "namespace": self.namespace}
        spec: dict[str, Any] = {"endpoints": grants, self.shows: {}}
        return {"apiVersion": "nightlatch.dev/v1alpha1", "kind": "InferenceClient", "metadata": metadata, "spec": spec}

    async def caller(self, name: str) -> Caller:
        """With the client's credential as it is now."""
        of = self.installation.certified if self.shows == "certificate" else self.installation.caller
        return await asyncio.to_thread(of, BOT, name, self.namespace)

    async def patch(self, spec: Mapping[str, Any]) -> None:
        """A process of kubectl would take longer to start than what is measured."""
        merge = "application/merge-patch+json"
        await self.api.request("PATCH", f"{self.resource}/{BOT}", body={"spec": spec}, content_type=merge)

    def host(self, name: str) -> str:
        return f"{name}.{self.namespace}.svc"


Write = Callable[[World, Caller], Awaitable[None]]


async def suspended(world: World, _: Caller) -> None:
    await world.patch({"suspend": True})


async def removed_from_spec(world: World, _: Caller) -> None:
    await world.patch({"endpoints": []})


async def deleted(world: World, _: Caller) -> None:
    await world.api.request("DELETE", f"{world.resource}/{BOT}")


async def _let_in(world: World) -> None:
    """The client may call, with a credential that every gateway takes on every endpoint."""
    with contextlib.suppress(ApiServerError):
        await world.api.request("POST", world.resource, body=world.declared())
    await world.patch({"suspend": False, "endpoints": world.declared()["spec"]["endpoints"]})
    caller = await world.caller(world.names[0])
    async with asyncio.timeout(PATIENCE_S):
        for address in world.gateways.values():
            for name in world.names:
                while not await _answers(replace(caller, host=world.host(name), address=address, port=PORT)):
                    await asyncio.sleep(0.2)
                    caller = await world.caller(world.names[0])


async def _answers(caller: Caller) -> bool:
    async with caller.client(http2=True) as http:
        return (await http.get("/v1/models")).status_code == GRANTED


@dataclass
class Round:
    """Seconds from the beginning of the write to the first refusal, by gateway and way."""

    seconds: dict[tuple[str, str], float] = field(default_factory=dict)


async def _measure(world: World, write: Write) -> Round:
    """Ask on open connections, hold a call on each gateway, write, and note when each was refused."""
    found, started = Round(), asyncio.get_running_loop().create_future()
    caller, holding = await world.caller(world.names[0]), await world.caller(world.held)
    asking = [asyncio.Event() for _ in range(2 * len(world.gateways))]
    ready = iter(asking)
    installation, held_name = world.installation, world.held
    await eventually(lambda: installation.asleep(held_name, world.namespace), "the endpoint of the held calls sleeps")
    async with asyncio.timeout(PATIENCE_S), asyncio.TaskGroup() as group:
        for gateway, address in world.gateways.items():
            calling = replace(caller, address=address, port=PORT)
            group.create_task(_http1_refused(world, calling, gateway, found, started, next(ready)))
            group.create_task(_http2_refused(calling, gateway, found, started, next(ready)))
        for each in asking:
            await each.wait()
        with _stopped_kubelet(installation):
            held = [
                group.create_task(_held_refused(replace(holding, address=address, port=PORT), gateway, found, started))
                for gateway, address in world.gateways.items()
            ]
            await eventually(lambda: _held(world) == len(world.gateways), "each gateway holds a call")
            started.set_result(time.perf_counter())
            await write(world, caller)
            await asyncio.wait(held)
    return found


@contextlib.contextmanager
def _stopped_kubelet(installation: Installation) -> Iterator[None]:
    """No pod starts. The node stays ready for 40 s without it."""
    (kubelet,) = [each for each in installation.node_processes() if _is_kubelet(each)]
    kubelet.suspend()
    try:
        yield
    finally:
        kubelet.resume()


def _is_kubelet(process: psutil.Process) -> bool:
    try:
        return Path(process.cmdline()[0]).name == "kubelet"
    except (psutil.NoSuchProcess, IndexError):
        # It has ended since, or it is a zombie, which has no command line.
        return False


def _held(world: World) -> int:
    """Calls that the gateways hold."""
    total = 0
    for address in world.gateways.values():
        for line in httpx.get(f"http://{address}:8080/metrics").text.splitlines():
            if line.startswith("nightlatch_gateway_held_requests{") and f'"{world.held}"' in line:
                total += int(float(line.split()[-1]))
    return total


async def _http1_refused(
    world: World, caller: Caller, gateway: str, found: Round, started: Any, asking: asyncio.Event
) -> None:
    """One open connection to each endpoint; the slowest of them counts.

    Until the first of them refuses, it alone is asked, and then all at once, so that the last of hundreds
    does not wait for the answers to the others. Asking hundreds all the time would take the node's cores from what is
    measured.
    """
    connections = [await OpenConnection.to(caller, world.host(name)) for name in world.names]
    for each in connections:
        assert not await each.is_refused()
    while not await connections[0].is_refused():
        asking.set()
        await asyncio.sleep(PAUSE_S)
    left = connections[1:]
    while left:
        refused = await asyncio.gather(*(each.is_refused() for each in left))
        left = [each for each, gone in zip(left, refused, strict=True) if not gone]
    found.seconds[gateway, "HTTP/1.1"] = time.perf_counter() - started.result()
    for each in connections:
        await each.connection.close()


@dataclass(frozen=True)
class OpenConnection:
    """HTTP/1.1, kept alive, to one endpoint. `raw`: a call for metadata."""

    connection: Connection
    raw: bytes

    @classmethod
    async def to(cls, caller: Caller, host: str) -> "OpenConnection":
        raw = request("GET", "/v1/models", host, headers=tuple(caller.headers.items()))
        return cls(await replace(caller, host=host).connect(), raw)

    async def is_refused(self) -> bool:
        """Ask."""
        status = (await self.connection.send(self.raw)).status
        assert status in {GRANTED, REFUSED}
        return status == REFUSED


async def _http2_refused(caller: Caller, gateway: str, found: Round, started: Any, asking: asyncio.Event) -> None:
    async with caller.client(http2=True) as http:
        while (answer := await http.get("/v1/models")).status_code != REFUSED:
            assert answer.status_code == GRANTED
            assert answer.http_version == "HTTP/2"
            asking.set()
            await asyncio.sleep(PAUSE_S)
    found.seconds[gateway, "HTTP/2"] = time.perf_counter() - started.result()


async def _held_refused(caller: Caller, gateway: str, found: Round, started: Any) -> None:
    """A call that waits for an endpoint whose pod does not start."""
    async with caller.client(http2=True) as http:
        body = {"model": caller.model, "input": ["A cat sleeps."]}
        headers = {"x-nightlatch-hold-timeout": str(HOLD_S)}
        answer = await http.post("/v1/embeddings", json=body, headers=headers)
    assert answer.status_code == REFUSED, answer.text
    found.seconds[gateway, "held call"] = time.perf_counter() - started.result()


async def slowest(world: World, write: Write, times: int) -> float:
    """The 99th percentile of the seconds until the last refusal of all gateways and ways."""
    rounds: list[Round] = []
    for _ in range(times):
        await _let_in(world)
        rounds.append(await _measure(world, write))
    for way in ("HTTP/1.1", "HTTP/2", "held call"):
        seconds = [each for found in rounds for (_, by), each in found.seconds.items() if by == way]
        _tell(f"{write.__name__}, {way}", seconds)
    last = [max(found.seconds.values()) for found in rounds]
    _tell(f"{write.__name__}, everywhere, {len(world.names) + 1} endpoints", last)
    return _percentile(last, 99)


def _tell(what: str, seconds: Sequence[float]) -> None:
    p50, p99 = _percentile(seconds, 50) * 1000, _percentile(seconds, 99) * 1000
    print(f"{what}: {len(seconds)} times, p50 {p50:.0f} ms, p99 {p99:.0f} ms, load average {os.getloadavg()[0]:.1f}")


def _percentile(values: Sequence[float], percent: float) -> float:
    """Nearest rank."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)]
