"""Keys rotate under steady load on two gateways, a gateway and an operator restart meanwhile, and no call fails.

Each client reads its key before each call from its Secret as a pod has it mounted, so the kubelet decides when it sees
a new one. No call is repeated. What failed is counted at the client, and what was answered at the model server, too.
"""

import asyncio
import contextlib
import itertools
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.installation import GATEWAYS, SYSTEM, Caller, Installation, client, endpoint, eventually, until
from tests.cluster.under_load import gateway_names, leader, mounted, restart, served
from tests.embedded.raw_http import Connection, request

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]

NAMESPACE = "rotation"
# Each with a key of its own. All keys rotate in each round.
CLIENTS = [f"bot-{number}" for number in range(4)]
# Calls a second of all clients, and on how many connections: each of them calls ten times a second, or five times.
METADATA_RPS, METADATA_CONNECTIONS = 300, 30
EMBEDDING_RPS, EMBEDDING_CONNECTIONS = 10, 2
# In which rounds of four a gateway restarts in the middle, and at which an operator does.
GATEWAY_AT, OPERATOR_AT, EVERY = {0, 1}, {0, 2}, 4
# So many calls may gateways make to the model server in the time of a round.
GATEWAYS_OWN_CALLS = 20


@dataclass
class Mounted:
    """A client's Secret in a pod that does nothing else; `shown`: when each key was first read, in Unix seconds."""

    path: Path
    shown: dict[str, float] = field(default_factory=dict)

    def key(self) -> str:
        found = self.path.read_text().strip()
        self.shown.setdefault(found, time.time())
        return found

    def ids(self) -> dict[str, str]:
        """The keys that the client has read, by id."""
        return {key.split("_")[1]: key for key in list(self.shown)}


@dataclass
class Load:
    """Steady calls until the block ends. `failed`: what was wrong with each call that was not answered 200."""

    callers: Mapping[str, Caller]
    mounted: Mapping[str, Mounted]
    answered: Counter[str] = field(default_factory=Counter)
    failed: Counter[str] = field(default_factory=Counter)
    took: float = 0.0
    _stop: bool = False

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        started = time.monotonic()
        async with asyncio.TaskGroup() as group:
            clients = itertools.cycle(CLIENTS)
            for number in range(METADATA_CONNECTIONS):
                pause = METADATA_CONNECTIONS / METADATA_RPS
                offset = number / METADATA_CONNECTIONS
                group.create_task(self._call(next(clients), "metadata", _metadata, pause, offset))
            for number in range(EMBEDDING_CONNECTIONS):
                pause = EMBEDDING_CONNECTIONS / EMBEDDING_RPS
                offset = number / EMBEDDING_CONNECTIONS
                group.create_task(self._call(next(clients), "embeddings", _embedding, pause, offset))
            try:
                yield
            finally:
                self._stop = True
        self.took = time.monotonic() - started

    async def _call(
        self, client: str, what: str, raw: Callable[[Caller, str], bytes], pause: float, offset: float
    ) -> None:
        """On one connection, for as long as the gateway keeps it."""
        caller, mounted = self.callers[client], self.mounted[client]
        connection: Connection | None = None
        due = time.monotonic() + offset * pause
        while not self._stop:
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            due = max(due + pause, time.monotonic())
            key = mounted.key()
            try:
                connection = connection or await caller.connect()
                reply = await connection.send(raw(caller, key))
            except (OSError, asyncio.IncompleteReadError) as error:
                self.failed[f"{what}: {type(error).__name__}"] += 1
                connection = None
                continue
            if reply.status == 200:
                self.answered[what] += 1
            else:
                self.failed[f"{what}: {reply.status} {reply.body[:200]!r}"] += 1
            if reply.headers.get("connection", "").lower() == "close":
                await connection.close()
                connection = None
        if connection:
            await connection.close()


def _metadata(caller: Caller, key: str) -> bytes:
    return request("GET", f"/v2/models/{caller.model}", caller.host, headers=[_bearer(key)])


def _embedding(caller: Caller, key: str) -> bytes:
    body = {"model": caller.model, "input": ["A cat sleeps."]}
    return request("POST", "/v1/embeddings", caller.host, body, [_bearer(key)])


def _bearer(key: str) -> tuple[str, str]:
    return "Authorization", f"Bearer {key}"


@pytest.fixture
def stage(installation: Installation) -> Iterator[tuple[Installation, Load]]:
    """An endpoint that stays awake, its clients, and a pod that has the clients' Secrets mounted."""
    namespace = installation.namespace(NAMESPACE)
    installation.apply(
        endpoint("one", namespace, scaling={"minReplicas": 1}),
        *(_bot(name, installation.apps_take_s) for name in CLIENTS),
    )
    installation.ready("one", namespace)
    until(lambda: installation.state("one", namespace) == "Awake", "the endpoint is awake")
    callers = {name: installation.caller(name, "one", namespace) for name in CLIENTS}
    directory = mounted(installation, namespace, {name: f"{name}-key" for name in CLIENTS})
    yield installation, Load(callers, {name: Mounted(directory / name / "api-key") for name in CLIENTS})
    for kind, name in (("pod", "reader"), *(("ic", name) for name in CLIENTS), ("ie", "one")):
        installation.delete(kind, name, namespace)


def _bot(name: str, overlap_s: int) -> dict[str, Any]:
    bot = client(name, NAMESPACE, "one", permissions=("infer", "metadata"))
    bot["spec"]["apiKey"] = {"overlap": f"{overlap_s}s"}
    return bot


def keys(installation: Installation, name: str) -> dict[str, str]:
    """The id of a client's key in each state; of Revoked ones the newest."""
    status = (installation.get("ic", name, NAMESPACE) or {}).get("status", {})
    return {each["state"]: each["id"] for each in reversed(status.get("keys", []))}


def promoted_at(installation: Installation, name: str) -> float:
    """When the newest key became Current, in Unix seconds: the end of the key before, less the overlap."""
    status = (installation.get("ic", name, NAMESPACE) or {}).get("status", {})
    (previous,) = [each for each in status["keys"] if each["state"] == "Previous"]
    return datetime.fromisoformat(previous["expiresAt"]).timestamp() - installation.apps_take_s


async def rotate(installation: Installation, load: Load, number: int) -> list[float]:
    """A new key for each client, from the annotation until all use theirs; seconds by which the kubelet was late."""
    old = {name: (await asyncio.to_thread(keys, installation, name))["Current"] for name in CLIENTS}
    asked = f"nightlatch.dev/rotate=number-{number}"
    await asyncio.to_thread(installation.kubectl, "annotate", "--overwrite", "ic", *CLIENTS, "-n", NAMESPACE, asked)
    if number % EVERY in GATEWAY_AT:
        (gateway, *_) = await asyncio.to_thread(gateway_names, installation)
        await asyncio.to_thread(restart, installation, GATEWAYS, gateway)
    if number % EVERY in OPERATOR_AT:
        operator = await asyncio.to_thread(leader, installation)
        await asyncio.to_thread(restart, installation, SYSTEM, operator)
    return await asyncio.gather(*(_used(installation, load.mounted[name], name, old[name]) for name in CLIENTS))


async def _used(installation: Installation, mounted: Mounted, name: str, old: str) -> float:
    """Wait until a client uses the key after `old`, and `old` has ended; seconds by which the kubelet was late."""

    def is_promoted() -> bool:
        now = keys(installation, name)
        return now.get("Current") not in {None, old} and "Previous" in now

    await eventually(is_promoted, "the new key is Current")
    current = (await asyncio.to_thread(keys, installation, name))["Current"]
    since = await asyncio.to_thread(promoted_at, installation, name)
    overlap_s = installation.apps_take_s
    await eventually(lambda: current in mounted.ids(), "the kubelet shows it", timeout=overlap_s)
    # The next rotation would wait for the end of this overlap.
    await eventually(lambda: "Previous" not in keys(installation, name), "the old key ends", timeout=overlap_s + 60)
    return mounted.shown[mounted.ids()[current]] - since


async def test_no_call_fails_while_keys_rotate_and_gateways_and_operators_restart(
    stage: tuple[Installation, Load], times: Callable[..., int]
) -> None:
    installation, load = stage
    rounds = times(1, soak=5)
    before = served(installation, "one", NAMESPACE)
    async with load.running():
        await asyncio.sleep(2)
        late = [each for number in range(rounds) for each in await rotate(installation, load, number)]
        await asyncio.sleep(2)
    calls = load.answered.total() + load.failed.total()
    print(
        f"{calls} calls in {load.took:.0f} s ({calls / load.took:.0f} a second), {len(late)} rotations: "
        f"{dict(load.answered)} answered 200, failed: {dict(load.failed) or 0}; "
        f"the mounted Secret was {', '.join(f'{each:.0f}' for each in sorted(late))} s late"
    )
    assert not load.failed
    assert [len(each.shown) for each in load.mounted.values()] == [rounds + 1] * len(CLIENTS)
    # A gateway that starts asks the model for its metadata, too.
    assert 0 <= served(installation, "one", NAMESPACE) - before - calls <= GATEWAYS_OWN_CALLS * rounds
    # What the documentation says that the overlap must exceed.
    assert max(late) < installation.kubelet_s
