"""What endpoints with client certificates cost a gateway: each has a filter chain of its own in Envoy's listener.

The real gatekeeper and Envoy serve a store of 1,000 route documents, of which 200 ask their callers for certificates,
and every endpoint is asleep. Then 20 more come that ask for certificates, first one after the other and then 20 at
once. Meanwhile a client is revoked and let in again, again and again, and ordinary callers call. The client may infer
only, and asks for metadata: 403 as long as its credentials are good, 401 from then on. Neither wakes anything.
"""

import argparse
import asyncio
import contextlib
import os
import signal
import ssl
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import httpx
from cpu import cpu_seconds, machine, resident_mib
from table import markdown, percentile

from nightlatch.api import names
from nightlatch.api.meta import NamespacedName
from nightlatch.api_keys.api_key import digest, mint
from nightlatch.wire.revocations import Revocations, encode_revocations
from nightlatch.wire.route_document import CertificateGrant, KeyGrant, RouteDocument
from tests.embedded.envoy_fixture import TRUST_DOMAIN, Caller
from tests.embedded.gatekeeper_lab import Lab, Leader
from tests.embedded.raw_http import Connection, request

NAMESPACE = "many"
BOT = NamespacedName("search", "bot")
IDENTITY = names.client_identity(TRUST_DOMAIN, BOT)
KEYS_EACH = 10
GOOD, REVOKED = 403, 401
# On so many endpoints of each kind an open connection is asked for the revocation; and each has an ordinary caller.
ASKED = 4
PAUSE_S = 0.005
# Revocations of a gateway that has nothing else to do.
QUIET = 20
PATIENCE_S = 300.0
_STATS = r"^listener_manager\.(listener_modified|listener_in_place_updated|lds\.update_success)$"


@dataclass
class Phase:
    """Seconds; updates: of Envoy's listener. cpu: of Envoy. lost: connections that ended under a caller."""

    what: str
    revoked: list[float] = field(default_factory=list)
    calls: list[float] = field(default_factory=list)
    applied: list[float] = field(default_factory=list)
    lost: int = 0
    updates: int = 0
    cpu: float = 0.0
    took: float = 0.0


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--endpoints", type=int, default=1000, help="default: %(default)s")
    parser.add_argument(
        "--certified", type=int, default=200, help="how many of them ask for certificates (%(default)s)"
    )
    parser.add_argument("--added", type=int, default=20, help="default: %(default)s, twice")
    parser.add_argument("--quick", action="store_true", help="a smoke run: its numbers mean nothing")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    sizes = (20, 8, 3) if options.quick else (options.endpoints, options.certified, options.added)
    asyncio.run(run(*sizes))


async def run(endpoints: int, certified: int, added: int) -> None:
    """Measure, and print."""
    print(f"machine: {machine()}")
    with tempfile.TemporaryDirectory(prefix="nl-bench-") as folder:
        world = World(Path(folder))
        try:
            serving = await world.start(endpoints, certified)
            before = world.envoy_mib()
            quiet = await world.quiet()
            numbers = range(endpoints, endpoints + 2 * added)
            one_by_one = await world.added("one after the other", numbers[:added], together=False)
            at_once = await world.added("at once", numbers[added:], together=True)
            after = world.envoy_mib()
        finally:
            await world.stop()
    print(
        f"{serving:.1f} s to serving; Envoy {before:.0f} MiB, {after:.0f} MiB at the end; load {os.getloadavg()[0]:.1f}"
    )
    print()
    print(_table(endpoints, certified, added, (quiet, one_by_one, at_once)))


class World:
    """The gateway, the client and its open connections."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lab = Lab(folder, fresh=True)
        self._caller = Caller("bot", os.urandom, "infer")
        self._sequence = 0
        self._open: list[tuple[Connection, bytes]] = []

    async def start(self, endpoints: int, certified: int) -> float:
        """The gateway, ready; how many seconds that took."""
        leaf = self._lab.authorities.leaf(IDENTITY, "client")
        (self._folder / "bot.pem").write_bytes(leaf.certificate + leaf.private_key)
        for index in range(endpoints):
            await self._lab.put(self._document(index, certified=index < certified))
        started = time.monotonic()
        await self._lab.start()
        await self._lab.gateways[0].ready()
        serving = time.monotonic() - started
        self._leader = Leader(self._lab)
        for index in (*range(ASKED), *range(endpoints - ASKED, endpoints)):
            self._open.append(await self._connected(index))
        return serving

    async def stop(self) -> None:
        await self._leader.stop()
        self._lab.stop()

    def envoy_mib(self) -> float:
        return resident_mib(self._envoy)

    @property
    def _envoy(self) -> int:
        envoy = self._lab.gateways[0].envoy
        assert envoy
        return envoy.pid

    def _document(self, index: int, *, certified: bool) -> RouteDocument:
        document = self._lab.document(_key(index), keys=(self._caller.grant, *_grants()))
        if not certified:
            return document
        grant = CertificateGrant(IDENTITY, BOT, ("infer",))
        accept = (("mtls",), ("apiKey",))
        return replace(document, accept=accept, client_ca=self._lab.authorities.ca, certificates=(grant,))

    async def _connected(self, index: int) -> tuple[Connection, bytes]:
        """One that shows the certificate where it is asked for, and the key elsewhere."""
        host = f"{_key(index).name}.{NAMESPACE}.localhost"
        context = ssl.create_default_context(cafile=str(self._lab.ca))
        context.set_alpn_protocols(["http/1.1"])
        context.load_cert_chain(self._folder / "bot.pem")
        connection = await Connection.open(self._lab.gateways[0].port, host, context)
        shown = [] if index < ASKED else [("Authorization", f"Bearer {self._caller.key}")]
        return connection, request("GET", f"/v2/models/{_key(index).name}", host, headers=shown)

    async def quiet(self) -> Phase:
        """Revocations and calls alone."""
        phase = Phase("nothing")
        async with self._watched(phase):
            while len(phase.revoked) < QUIET:
                await asyncio.sleep(0.05)
        return phase

    async def added(self, what: str, numbers: Sequence[int], *, together: bool) -> Phase:
        """New endpoints that ask for certificates."""
        phase = Phase(what)
        documents = [self._document(index, certified=True) for index in numbers]
        async with self._watched(phase):
            if together:
                await asyncio.gather(*(self._put(each, phase) for each in documents))
            else:
                for each in documents:
                    await self._put(each, phase)
        return phase

    async def _put(self, document: RouteDocument, phase: Phase) -> None:
        started = time.monotonic()
        await self._lab.put(document)
        async with asyncio.timeout(PATIENCE_S):
            while not ((said := self._leader.said("gateway-0", document.endpoint)) and said.applied >= 1):
                await asyncio.sleep(PAUSE_S)
        phase.applied.append(time.monotonic() - started)

    @contextlib.asynccontextmanager
    async def _watched(self, phase: Phase) -> AsyncIterator[None]:
        """Revoke again and again, and call, until the block ends."""
        before, cpu, started = await self._updates(), cpu_seconds(self._envoy), time.monotonic()
        done = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._revoke(phase, done))
            for each in self._open:
                group.create_task(self._call(each, phase, done))
            yield
            done.set()
        phase.took = time.monotonic() - started
        phase.cpu = cpu_seconds(self._envoy) - cpu
        phase.updates = await self._updates() - before

    async def _revoke(self, phase: Phase, done: asyncio.Event) -> None:
        """At least once in a phase."""
        opened = [await self._connected(index) for index in range(ASKED)]
        while not (done.is_set() and phase.revoked):
            started = time.monotonic()
            await self._write(BOT)
            await self._until(opened, REVOKED)
            phase.revoked.append(time.monotonic() - started)
            await self._write()
            await self._until(opened, GOOD)

    async def _write(self, *revoked: NamespacedName) -> None:
        self._sequence += 1
        data = encode_revocations(Revocations(self._sequence, frozenset(revoked)))
        await self._lab.put_secret(names.REVOCATIONS_SECRET, names.ROLE_REVOCATIONS, data)

    async def _until(self, opened: Sequence[tuple[Connection, bytes]], wanted: int) -> None:
        async with asyncio.timeout(PATIENCE_S):
            for connection, raw in opened:
                while (await connection.send(raw)).status != wanted:
                    await asyncio.sleep(PAUSE_S)

    async def _call(self, opened: tuple[Connection, bytes], phase: Phase, done: asyncio.Event) -> None:
        """An ordinary caller; whether the client is revoked at the moment does not matter to it."""
        connection, raw = opened
        while not done.is_set():
            started = time.monotonic()
            try:
                reply = await connection.send(raw)
            except (OSError, asyncio.IncompleteReadError):
                phase.lost += 1
                return
            phase.calls.append(time.monotonic() - started)
            if reply.status not in {GOOD, REVOKED}:
                raise RuntimeError(f"answered {reply.status} {reply.body!r}")
            await asyncio.sleep(4 * PAUSE_S)

    async def _updates(self) -> int:
        """How often Envoy took another listener."""
        transport = httpx.AsyncHTTPTransport(uds=str(self._lab.gateways[0].folder / "admin.sock"))
        async with httpx.AsyncClient(transport=transport, base_url="http://envoy", timeout=PATIENCE_S) as http:
            text = (await http.get("/stats", params={"filter": _STATS})).text
        found = dict(line.split(": ") for line in text.splitlines())
        return int(found["listener_manager.lds.update_success"])


def _key(index: int) -> NamespacedName:
    return NamespacedName(NAMESPACE, f"e{index}")


def _grants() -> tuple[KeyGrant, ...]:
    minted = [mint(os.urandom) for _ in range(KEYS_EACH - 1)]
    other = NamespacedName(NAMESPACE, "other")
    return tuple(KeyGrant(digest(each.text), other, each.key_id, ("infer",), "") for each in minted)


def _table(endpoints: int, certified: int, added: int, phases: Sequence[Phase]) -> str:
    rows: list[tuple[str, Callable[[Phase], str]]] = [
        ("updates of Envoy's listener", lambda each: str(each.updates)),
        ("s until all were applied", lambda each: f"{each.took:.1f}" if each.applied else ""),
        ("applied, one endpoint: p50, ms", lambda each: _ms(each.applied, 50)),
        ("applied, one endpoint: worst, ms", lambda each: _ms(each.applied, 100)),
        ("CPU of Envoy, s", lambda each: f"{each.cpu:.1f}"),
        ("revocations", lambda each: str(len(each.revoked))),
        ("revoked: p50, ms", lambda each: _ms(each.revoked, 50)),
        ("revoked: p99, ms", lambda each: _ms(each.revoked, 99)),
        ("ordinary calls", lambda each: f"{len(each.calls):,}"),
        ("ordinary calls: p50, ms", lambda each: _ms(each.calls, 50)),
        ("ordinary calls: p99, ms", lambda each: _ms(each.calls, 99)),
        ("connections lost", lambda each: str(each.lost)),
    ]
    header = [
        f"{certified} of {endpoints:,} endpoints with certificates; {added} more",
        *(each.what for each in phases),
    ]
    return markdown(header, [[name, *map(cell, phases)] for name, cell in rows])


def _ms(seconds: Sequence[float], percent: float) -> str:
    return f"{percentile([each * 1000 for each in seconds], percent):.0f}" if seconds else ""


if __name__ == "__main__":
    main()
