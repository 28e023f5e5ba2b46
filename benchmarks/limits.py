"""What clients get of a rate limit on two gateways while keys rotate, the endpoint sleeps and a gateway restarts.

Everything is real: `nightlatch up` with its store, its controller, gatekeepers and Envoys. Each client asks both
gateways for more than it may have: for metadata, but once a minute all of them rest until the endpoint sleeps, and the
next call of one of them is an embedding, which wakes it. Every call counts against the limit, and no call is repeated.
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
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from cpu import machine
from table import markdown, median

from nightlatch.api import names
from nightlatch.api.meta import INFERENCE_CLIENT, RawObject
from nightlatch.store.files.store import FilesStore
from nightlatch.store.protocol import ConflictError
from nightlatch_server.model_package.writer import write_package
from tests.embedded.raw_http import Connection, request, trust
from tests.embedded.running import Up, manifest
from tests.unit.model_server import tiny_model

NAMESPACE, ENDPOINT = "default", "one"
# The client whose embeddings wake the endpoint.
WAKER = "bot-0"
GATEWAYS = 2
# Calls that each client may make in a minute, over both gateways. The burst is the same number.
LIMIT = 60
# Seconds between two calls of one client to one gateway: more than three times what it may.
PAUSE_S = 0.6
OVERLAP_S, ROTATE_EVERY_S = 10, 60.0
# The endpoint sleeps so long after the last call. All clients rest so often until it does.
IDLE_S, REST_EVERY_S = 3, 60.0
PATIENCE_S = 120.0
# Seconds without a good key or a listener at the start.
_RETRY_S = 0.1


@dataclass(slots=True)
class Got:
    """What one client got: the statuses of its answers, and the calls that a gateway's end cut off."""

    answers: Counter[int] = field(default_factory=Counter)
    lost: int = 0
    keys: set[str] = field(default_factory=set)


@dataclass(slots=True)
class Events:
    """What happened beside the calls. refused: connections that a gateway did not take while it restarted."""

    rotations: int = 0
    sleeps: int = 0
    wakes: int = 0
    restarts: int = 0
    refused: int = 0


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clients", type=int, default=30, help="default: %(default)s")
    parser.add_argument("--duration", type=float, default=600.0, help="seconds, default: %(default)s")
    parser.add_argument("--quick", action="store_true", help="a smoke run: its numbers mean nothing")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    clients, duration = (3, 45.0) if options.quick else (options.clients, options.duration)
    sys.exit(asyncio.run(run(clients, duration)))


async def run(clients: int, duration: float) -> int:
    """Print what each client got beside its bound; 1 if one got more."""
    print(f"machine: {machine()}", flush=True)
    bots = [f"bot-{number}" for number in range(clients)]
    with tempfile.TemporaryDirectory(prefix="nl-bench-") as folder:
        async with _running(Path(folder), bots) as (up, store):
            events, got, calling = Events(), {bot: Got() for bot in bots}, asyncio.Event()
            started = time.monotonic()
            tasks = [
                asyncio.create_task(_call(up, bot, gateway, got[bot], events, calling))
                for bot in bots
                for gateway in range(GATEWAYS)
            ]
            tasks.append(asyncio.create_task(_rotate(store, bots, events)))
            tasks.append(asyncio.create_task(_restart(up, duration / 2, events)))
            tasks.append(asyncio.create_task(_count_wakes(up, events)))
            tasks.append(asyncio.create_task(_rest(up, calling, events)))
            done, _ = await asyncio.wait(tasks, timeout=duration, return_when=asyncio.FIRST_EXCEPTION)
            took = time.monotonic() - started
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            for task in done:
                task.result()
    return _print(got, events, took)


@contextlib.asynccontextmanager
async def _running(folder: Path, bots: Sequence[str]) -> AsyncIterator[tuple[Up, FilesStore]]:
    """`up` with the endpoint and these clients, whose keys every gateway knows."""
    package = folder / "tiny"
    write_package(tiny_model.write(folder / "source"), package, name="tiny")
    text = manifest(ENDPOINT, model=package, clients=0, idle_after=f"{IDLE_S}s")
    up = Up(folder, text, gateways=GATEWAYS).start()
    try:
        await up.started()
        store = FilesStore(up.state)
        for bot in bots:
            await store.create(_client(bot))
        await up.until("the endpoint to be Ready", lambda: up.is_ready(ENDPOINT), PATIENCE_S)
        for bot in bots:
            await up.until(f"{bot} to be Ready", lambda bot=bot: _is_ready(store, bot), PATIENCE_S)
        yield up, store
    finally:
        if up.process is not None and up.process.poll() is None:
            up.stop()


def _client(name: str) -> RawObject:
    return {
        "apiVersion": INFERENCE_CLIENT.api_version,
        "kind": INFERENCE_CLIENT.kind,
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {
            "endpoints": [{"name": ENDPOINT}],
            "apiKey": {"overlap": f"{OVERLAP_S}s"},
            "rateLimit": {"requests": LIMIT, "per": "60s"},
        },
    }


async def _is_ready(store: FilesStore, bot: str) -> bool:
    found = await store.get(INFERENCE_CLIENT, NAMESPACE, bot)
    conditions = found.get("status", {}).get("conditions", [])
    return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)


async def _call(up: Up, bot: str, gateway: int, got: Got, events: Events, calling: asyncio.Event) -> None:
    """One client at one gateway, until cancelled and while `calling`. It reads its key before each call."""
    host, context = up.host(ENDPOINT), trust(up.files(bot) / "ca.crt")
    connection: Connection | None = None
    embedded = 0
    while True:
        await calling.wait()
        next_call = time.monotonic() + PAUSE_S
        key = up.key(bot)
        got.keys.add(key)
        raw = request("GET", f"/v2/models/{ENDPOINT}", host, headers=[("Authorization", f"Bearer {key}")])
        # Until it is let through: most calls are above the limit.
        wakes = bot == WAKER and embedded < events.sleeps
        if wakes:
            raw = up.embedding(ENDPOINT, key)
        try:
            if connection is None:
                connection = await Connection.open(up.ports[gateway], host, context)
        except (OSError, asyncio.IncompleteReadError):
            events.refused += 1
            await asyncio.sleep(_RETRY_S)
            continue
        try:
            reply = await connection.send(raw)
            got.answers[reply.status] += 1
            if wakes and reply.status == 200:
                embedded = events.sleeps
            if reply.headers.get("connection") == "close":
                connection = None
        except (OSError, asyncio.IncompleteReadError):
            got.lost += 1
            connection = None
        await asyncio.sleep(max(0.0, next_call - time.monotonic()))


async def _rotate(store: FilesStore, bots: Sequence[str], events: Events) -> None:
    """All clients get a new key again and again."""
    while True:
        await asyncio.sleep(ROTATE_EVERY_S / 2)
        for bot in bots:
            await _ask_for_a_key(store, bot, str(events.rotations))
        events.rotations += 1
        await asyncio.sleep(ROTATE_EVERY_S / 2)


async def _ask_for_a_key(store: FilesStore, bot: str, value: str) -> None:
    while True:
        changed = copy.deepcopy(await store.get(INFERENCE_CLIENT, NAMESPACE, bot))
        changed["metadata"].setdefault("annotations", {})[names.ANNOTATION_ROTATE] = value
        with contextlib.suppress(ConflictError):
            await store.replace(changed)
            return


async def _restart(up: Up, after: float, events: Events) -> None:
    """Envoy of the second gateway ends in good order, and `up` starts it again: its buckets are new."""
    await asyncio.sleep(after)
    up.child("envoy-1").terminate()
    events.restarts += 1


async def _rest(up: Up, calling: asyncio.Event, events: Events) -> None:
    """All clients call, and rest again and again until the endpoint sleeps."""
    while True:
        calling.set()
        await asyncio.sleep(REST_EVERY_S)
        calling.clear()
        await up.asleep(ENDPOINT)
        events.sleeps += 1


async def _count_wakes(up: Up, events: Events) -> None:
    was = ""
    while True:
        state = (await up.view(ENDPOINT)).state
        events.wakes += state == "Waking" and was != "Waking"
        was = state
        await asyncio.sleep(0.1)


def _print(got: dict[str, Got], events: Events, took: float) -> int:
    granted = [each.answers[200] for each in got.values()]
    allowed = LIMIT * took / 60
    # A full bucket at the start, and one that a restart filled again: that gateway's share. One call is rounding.
    explained = allowed + LIMIT + events.restarts * LIMIT / GATEWAYS + 1
    answers: Counter[int] = sum((each.answers for each in got.values()), Counter())
    rows = [
        ["the fewest that a client got", f"{min(granted):,}"],
        ["median", f"{median(granted):,.0f}"],
        ["the most that a client got", f"{max(granted):,}"],
        ["its limit for this time", f"{allowed:,.0f}"],
        ["with the burst of a client that was quiet before", f"{allowed + LIMIT:,.0f}"],
        ["with what a restart explains", f"{explained:,.0f}"],
    ]
    print(
        f"{len(got)} clients, {took:.0f} s, {GATEWAYS} gateways, load average {os.getloadavg()[0]:.1f}; "
        f"{events.rotations} rotations of each key (at most {max(len(each.keys) for each in got.values())} keys used), "
        f"{events.sleeps} sleeps, {events.wakes} wakes, {events.restarts} restart of a gateway"
    )
    print(
        f"answers: {dict(sorted(answers.items()))}; calls that the restart cut off: "
        f"{sum(each.lost for each in got.values())}; connections that it refused: {events.refused}\n"
    )
    print(markdown([f"{LIMIT} calls a minute for each client: calls let through", "calls"], rows))
    return int(max(granted) > explained or set(answers) - {200, 429} != set())


if __name__ == "__main__":
    main()
