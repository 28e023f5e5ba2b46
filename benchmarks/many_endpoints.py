"""One gateway with a thousand endpoints: memory, time until it serves, and time until one endpoint's change is applied.

The real gatekeeper and Envoy serve a store of route documents with ten keys each, and every endpoint is asleep. The
peer is the same Envoy with as many static SNI chains and mTLS clusters and no filter but the router. It shows what the
names and certificates alone cost.
"""

import argparse
import asyncio
import contextlib
import os
import signal
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from cpu import machine, resident_mib
from envoys import Authorities, envoy, free_port, static_chains
from table import markdown, median, percentile

from nightlatch.api.meta import NamespacedName
from nightlatch.api_keys.api_key import digest, mint
from nightlatch.wire.route_document import KeyGrant
from tests.embedded.gatekeeper_lab import Gateway, Lab, Leader, infer

KEYS_EACH = 10
NAMESPACE = "many"


@dataclass(frozen=True, slots=True)
class EndpointScaling:
    """What a gateway costs to have. serving: seconds from start to listening with everything. MiB in RAM."""

    serving: float
    gatekeeper: float
    envoy: float


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--endpoints", type=int, default=1000, help="default: %(default)s")
    parser.add_argument("--changes", type=int, default=40, help="default: %(default)s")
    parser.add_argument("--quick", action="store_true", help="a smoke run: its numbers mean nothing")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    asyncio.run(run(*((20, 3) if options.quick else (options.endpoints, options.changes))))


async def run(endpoints: int, changes: int) -> None:
    """Measure one, then the other, and print."""
    print(f"machine: {machine()}")
    with tempfile.TemporaryDirectory(prefix="nl-bench-") as folder:
        peer = await _peer(Path(folder), endpoints)
        async with _lab(Path(folder), endpoints) as (lab, started):
            ours = _standing(lab.gateways[0], started)
            back = await _restarted(lab.gateways[0])
            wakes, edits = await _wakes(lab, changes), await _edits(lab, changes)
    print(_costs(endpoints, ours, peer))
    print()
    print(f"A killed gatekeeper serves Envoy again after {back:.1f} s. Envoy goes on serving calls.")
    print()
    print(_changes(endpoints, wakes, edits))


async def _peer(folder: Path, endpoints: int) -> EndpointScaling:
    authorities = Authorities()
    names = [f"e{index}.{NAMESPACE}.localhost" for index in range(endpoints)]
    port = free_port()
    config = static_chains(port, {name: authorities.leaf(f"spiffe://peer/{name}", "server", name) for name in names})
    start = time.monotonic()
    async with envoy(folder, "peer", config, port, workers=2) as pid:
        serving = time.monotonic() - start
        await asyncio.sleep(1.0)
        return EndpointScaling(serving, 0.0, resident_mib(pid))


@contextlib.asynccontextmanager
async def _lab(folder: Path, endpoints: int) -> AsyncIterator[tuple[Lab, float]]:
    """The gateway, ready, and how many seconds that took."""
    lab = Lab(folder, fresh=True)
    try:
        for index in range(endpoints):
            await lab.put(lab.document(_key(index), keys=(lab.caller.grant, *_grants())))
        start = time.monotonic()
        await lab.start()
        await lab.gateways[0].ready()
        serving = time.monotonic() - start
        await asyncio.sleep(1.0)
        yield lab, serving
    finally:
        lab.stop()


def _key(index: int) -> NamespacedName:
    return NamespacedName(NAMESPACE, f"e{index}")


def _grants() -> tuple[KeyGrant, ...]:
    minted = [mint(os.urandom) for _ in range(KEYS_EACH - 1)]
    return tuple(
        KeyGrant(digest(each.text), NamespacedName(NAMESPACE, "bot"), each.key_id, ("infer",), "") for each in minted
    )


def _standing(gateway: Gateway, serving: float) -> EndpointScaling:
    assert gateway.gatekeeper
    assert gateway.envoy
    return EndpointScaling(serving, resident_mib(gateway.gatekeeper.pid), resident_mib(gateway.envoy.pid))


async def _restarted(gateway: Gateway) -> float:
    gateway.kill(gateway.gatekeeper)
    gateway.announce.unlink()
    start = time.monotonic()
    gateway.start_gatekeeper()
    await gateway.ready()
    return time.monotonic() - start


async def _wakes(lab: Lab, count: int) -> list[dict[str, float]]:
    """Phases, in milliseconds, of wakes whose replica is there at once: what the gateway's own part takes."""
    leader = Leader(lab)
    found: list[dict[str, float]] = []
    try:
        for index in range(count):
            key = _key(index)
            async with lab.client(key=key) as client:
                call = asyncio.ensure_future(infer(client, key))
                await leader.until("gateway-0", lambda said: said.held, "the call is held", key)
                leader.tell("Waking", 1, key=key)
                lab.replica(key)
                answer = await call
            if answer.status_code != 200:
                raise RuntimeError(f"{key}: {answer.status_code} {answer.text}")
            found.append(await _reported(leader, key))
    finally:
        await leader.stop()
    return found


async def _reported(leader: Leader, key: NamespacedName) -> dict[str, float]:
    while True:
        for wake in leader.wakes:
            if wake.endpoint == key:
                return dict(wake.phases)
        await asyncio.sleep(0.01)


async def _edits(lab: Lab, count: int) -> list[float]:
    """Milliseconds from writing a document with fewer keys to the report that every gateway has it."""
    leader = Leader(lab)
    took: list[float] = []
    try:
        for index in range(count, 2 * count):
            document = replace(lab.document(_key(index)), sequence=2)
            start = time.monotonic()
            await lab.put(document)
            await leader.until("gateway-0", lambda said: said.applied >= 2, "applied", document.endpoint)
            took.append((time.monotonic() - start) * 1000)
    finally:
        await leader.stop()
    return took


def _costs(endpoints: int, ours: EndpointScaling, peer: EndpointScaling) -> str:
    def row(name: str, mine: float, theirs: float, digits: int) -> list[str]:
        return [name, f"{mine:.{digits}f}", f"{theirs:.{digits}f}", f"{mine / theirs:.2f}"]

    rows = [
        row("start to serving, s", ours.serving, peer.serving, 1),
        row("Envoy, MiB", ours.envoy, peer.envoy, 0),
        row("Envoy and gatekeeper, MiB", ours.envoy + ours.gatekeeper, peer.envoy, 0),
    ]
    return markdown([f"{endpoints:,} endpoints", "Nightlatch", "plain Envoy", "ratio"], rows)


def _changes(endpoints: int, wakes: Sequence[dict[str, float]], edits: Sequence[float]) -> str:
    rows = [
        ("wake: address pushed to ACKed", [float(each["eds"]) for each in wakes]),
        ("wake: route with the hold off, pushed to ACKed", [float(each["release"]) for each in wakes]),
        ("a document written to applied, as the leader hears it", list(edits)),
    ]
    cells = [[name, f"{median(each):.1f}", f"{percentile(each, 95):.1f}"] for name, each in rows]
    return markdown([f"one of {endpoints:,} endpoints changes, ms", "p50", "p95"], cells)


if __name__ == "__main__":
    main()
