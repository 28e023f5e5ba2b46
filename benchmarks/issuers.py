"""What one new key of an identity provider costs a gateway whose endpoints share a few token issuers.

`nightlatch up` with one gateway has 1,000 endpoints, all of them asleep, that share 10 TokenIssuers. In each round one
issuer gets a new key, which its 100 endpoints must take, and then loses an old one, which they must refuse. Meanwhile
a caller on an open connection to each of the 1,000 endpoints calls with a token by a key that stays.

The peers are the same Envoy with its own filter jwt_authn (`jwt_peers.py`): with the keys in the listener, which is
what Istio does, and with those of all issuers as one resource.
"""

import argparse
import asyncio
import contextlib
import os
import ssl
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import httpx
from asleep import GOOD, NAMESPACE, REFUSED, Sleeping, call, client, host, raw_object, sleeping, started
from cpu import cpu_seconds
from envoys import Authorities
from jwt_peers import JwtPeer
from table import markdown, percentile

from nightlatch.api.meta import TOKEN_ISSUER
from tests.attack.tokens import Signer, claims
from tests.embedded.raw_http import Connection, Reply, trust

AUDIENCE = "minilm"
# Older than the ten seconds in which an unknown key may be on its way.
AGE_S = 60
LIFETIME_S = 12 * 3600
# So many ordinary callers call at the same time, each with a pause after a call; and so many ask for the change.
CALLING, PAUSE_S, ASKING = 8, 0.02, 2
# On so many endpoints of the issuer, each call that asks has a connection of its own.
NEW_CONNECTIONS = 10
QUIET_S, SETTLED_S, PATIENCE_S = 20.0, 1.5, 300.0
_RECEIVED, _UPDATES = "cluster.gatekeeper.upstream_cx_rx_bytes_total", "listener_manager.lds.update_success"
_DRAINING, _DRAINED = "listener_manager.total_filter_chains_draining", "downstream_cx_drain_close"
_STATS = f"{_RECEIVED}|{_UPDATES}|{_DRAINING}|{_DRAINED}"


@dataclass
class Issuer:
    """`stays`: the key by which the ordinary callers' tokens are signed. goes: the one that the next round removes."""

    name: str
    stays: Signer
    goes: Signer

    @property
    def iss(self) -> str:
        """What its tokens say."""
        return f"https://{self.name}.example"

    def token(self, signer: Signer) -> str:
        """One that may infer."""
        now = int(time.time())
        claimed = claims(self.iss, AUDIENCE, sub="caller", scope="ml:infer", iat=now - AGE_S)
        return signer.sign({**claimed, "exp": now + LIFETIME_S})


@dataclass(frozen=True, slots=True)
class Counted:
    """What Envoy and the processes beside it have counted so far. drained: connections that Envoy told to close."""

    received: int
    updates: int
    draining: int
    drained: int
    cpu: Mapping[str, float]


def _issuer(name: str) -> Issuer:
    return Issuer(name, Signer("RS256", "stays"), Signer("RS256", "old"))


class Side(Protocol):
    """A gateway under test. good: the status of a call that is let through. pids: by what the process is."""

    name: str
    good: int
    port: int
    ca: Path
    admin: Path

    @property
    def pids(self) -> Mapping[str, int]: ...

    def prepared(self, issuer: Issuer, keys: Sequence[Signer]) -> Any: ...

    async def write(self, prepared: Any) -> None: ...


@dataclass
class Ours:
    """The write is that of the TokenIssuer."""

    here: Sleeping
    name: str = "Nightlatch"
    good: int = GOOD

    def __post_init__(self) -> None:
        self.port = self.here.up.ports[0]
        self.ca = self.here.up.files("bot") / "ca.crt"
        self.admin = self.here.up.probe.layout.gateway(0).admin

    @property
    def pids(self) -> Mapping[str, int]:
        up = self.here.up
        assert up.process
        children = {name: up.child(f"{name.lower()}-0").pid for name in ("Envoy", "gatekeeper")}
        return {**children, "operator": up.process.pid}

    def prepared(self, issuer: Issuer, keys: Sequence[Signer]) -> Any:
        return issuer.name, _spec(issuer, keys)

    async def write(self, prepared: Any) -> None:
        name, spec = prepared
        found = await self.here.store.get(TOKEN_ISSUER, NAMESPACE, name)
        await self.here.store.replace({**found, "spec": spec})


@dataclass
class Theirs:
    """The write is the push of what changed, which was compiled before."""

    peer: JwtPeer
    folder: Path
    keys: dict[str, list[Mapping[str, str]]]
    good: int = 200

    def __post_init__(self) -> None:
        self.name, self.port, self.admin = self.peer.name, self.peer.port, self.peer.admin
        self.ca = self.folder / "ca.crt"

    @property
    def pids(self) -> Mapping[str, int]:
        return {"Envoy": self.peer.pid}

    def prepared(self, issuer: Issuer, keys: Sequence[Signer]) -> Any:
        self.keys[issuer.iss] = [each.jwk for each in keys]
        return self.peer.prepared(self.keys, [issuer.iss])

    async def write(self, prepared: Any) -> None:
        await self.peer.push(prepared)


@dataclass
class Measured:
    """Of one gateway. Seconds. added, removed: until all of the issuer's endpoints did it, on open connections;
    on_new_connections: until NEW_CONNECTIONS of them did on new ones. received: bytes that Envoy received for a change;
    idle: in as much time without one. calls: latencies of the ordinary callers; failed: their calls without the right
    answer."""

    added: list[float] = field(default_factory=list)
    on_new_connections: list[float] = field(default_factory=list)
    removed: list[float] = field(default_factory=list)
    received: list[int] = field(default_factory=list)
    idle: float = 0.0
    updates: int = 0
    draining: int = 0
    drained: int = 0
    reopened: int = 0
    failed: int = 0
    quiet_calls: list[float] = field(default_factory=list)
    calls: list[float] = field(default_factory=list)
    cpu: dict[str, list[float]] = field(default_factory=dict)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--endpoints", type=int, default=1000, help="default: %(default)s")
    parser.add_argument("--issuers", type=int, default=10, help="default: %(default)s")
    parser.add_argument("--rounds", type=int, default=10, help="default: %(default)s")
    parser.add_argument("--quick", action="store_true", help="a smoke run: its numbers mean nothing")
    options = parser.parse_args()
    sizes = (20, 4, 1) if options.quick else (options.endpoints, options.issuers, options.rounds)
    started(run, *sizes)


async def run(endpoints: int, issuers: int, rounds: int) -> None:
    """Measure one gateway after the other, and print."""
    names = [f"e{index}" for index in range(endpoints)]
    found: list[tuple[str, Measured]] = []
    with tempfile.TemporaryDirectory(prefix="nl-bench-") as folder:
        for kind in (_ours, _in_listener, _as_one):
            (own := Path(folder) / kind.__name__.strip("_")).mkdir()
            having = [
                Issuer(f"i{index}", *(Signer("RS256", kid) for kid in ("stays", "old"))) for index in range(issuers)
            ]
            sharing = {name: having[index % issuers] for index, name in enumerate(names)}
            async with kind(own, sharing, having) as side:
                found.append((side.name, await Bench(side, sharing).measured(having, rounds)))
                print(f"{side.name} is measured; load average {os.getloadavg()[0]:.1f}", flush=True)
    print(_table(found, endpoints, issuers, rounds))


@contextlib.asynccontextmanager
async def _ours(folder: Path, sharing: Mapping[str, Issuer], issuers: Sequence[Issuer]) -> AsyncIterator[Side]:
    access = {name: {"jwt": {"issuers": [{"name": issuer.name}]}} for name, issuer in sharing.items()}
    objects = [raw_object(TOKEN_ISSUER, each.name, _spec(each, [each.stays, each.goes])) for each in issuers]
    began = time.monotonic()
    async with sleeping(folder, access, 1, *objects, client()) as here:
        print(f"{len(access):,} endpoints are Ready after {time.monotonic() - began:.0f} s", flush=True)
        for route in here.routes:
            await route.connection.close()
        yield Ours(here)
        here.check_asleep()


def _spec(issuer: Issuer, keys: Sequence[Signer]) -> dict[str, Any]:
    return {
        "issuer": issuer.iss,
        "audiences": [AUDIENCE],
        "keys": {"inline": {"keys": [each.jwk for each in keys]}},
        "permissionsFrom": {"map": {"ml:infer": ["infer"]}},
    }


def _in_listener(folder: Path, sharing: Mapping[str, Issuer], issuers: Sequence[Issuer]) -> Any:
    return _peer(folder, "jwt_authn, keys in the listener", sharing, issuers, shared=False)


def _as_one(folder: Path, sharing: Mapping[str, Issuer], issuers: Sequence[Issuer]) -> Any:
    return _peer(folder, "jwt_authn, keys as one resource", sharing, issuers, shared=True)


@contextlib.asynccontextmanager
async def _peer(
    folder: Path, name: str, sharing: Mapping[str, Issuer], issuers: Sequence[Issuer], *, shared: bool
) -> AsyncIterator[Side]:
    keys: dict[str, list[Mapping[str, str]]] = {each.iss: [each.stays.jwk, each.goes.jwk] for each in issuers}
    peer = JwtPeer(name, {host(each): issuer.iss for each, issuer in sharing.items()}, AUDIENCE, shared)
    async with peer.running(folder, Authorities(), keys):
        yield Theirs(peer, folder, keys)


class Line:
    """A caller's kept-alive connection to one endpoint. It is opened again when Envoy ends it."""

    def __init__(self, side: Side, context: ssl.SSLContext, endpoint: str, measured: Measured) -> None:
        self.endpoint = endpoint
        self._side, self._context, self._measured = side, context, measured
        self._connection: Connection | None = None

    async def send(self, raw: bytes) -> Reply | None:
        """The answer; None if the connection ended without one."""
        if self._connection is None:
            self._connection = await Connection.open(self._side.port, host(self.endpoint), self._context)
        try:
            reply = await self._connection.send(raw)
        except (OSError, asyncio.IncompleteReadError):
            reply = None
        if reply is None or reply.headers.get("connection") == "close":
            self._measured.reopened += 1
            await self.close()
        return reply

    async def close(self) -> None:
        """Until the next call."""
        if self._connection is not None:
            await self._connection.close()
        self._connection = None


class Bench:
    """The callers of one gateway, and what they find."""

    def __init__(self, side: Side, sharing: Mapping[str, Issuer]) -> None:
        self._side, self._sharing = side, sharing
        self._measured = Measured()
        self._done = asyncio.Event()
        # CPU of the processes in a second without a change.
        self._idle: Mapping[str, float] = {}
        self._context: ssl.SSLContext = trust(side.ca)
        self._lines = [Line(side, self._context, endpoint, self._measured) for endpoint in sharing]

    async def measured(self, issuers: Sequence[Issuer], rounds: int) -> Measured:
        """Nothing happens for a while; then the keys change, one issuer after the other."""
        tokens = {each.name: each.token(each.stays) for each in issuers}
        raw = {name: call(name, tokens[issuer.name]) for name, issuer in self._sharing.items()}
        for line in self._lines:
            await self._until(line, raw[line.endpoint], self._side.good)
        # Making an RSA key would stop the callers meanwhile.
        new = [Signer("RS256", f"new-{number}") for number in range(rounds)]
        async with asyncio.TaskGroup() as group:
            for number in range(CALLING):
                group.create_task(self._calling(self._lines[number::CALLING], raw))
            await self._phases(issuers, new)
            self._done.set()
        for line in self._lines:
            await line.close()
        return self._measured

    async def _phases(self, issuers: Sequence[Issuer], new: Sequence[Signer]) -> None:
        measured = self._measured
        start, began = await self._counted(), time.monotonic()
        await asyncio.sleep(QUIET_S)
        quiet, calm = await self._counted(), time.monotonic() - began
        self._idle = {name: (seconds - start.cpu[name]) / calm for name, seconds in quiet.cpu.items()}
        measured.quiet_calls, measured.calls = measured.calls, []
        measured.reopened = 0
        began = time.monotonic()
        for number, signer in enumerate(new):
            await self._round(issuers[number % len(issuers)], signer)
        end, took = await self._counted(), time.monotonic() - began
        changes = 2 * len(new)
        measured.idle = (quiet.received - start.received) / calm * took / changes
        measured.updates, measured.drained = end.updates - quiet.updates, end.drained - quiet.drained

    async def _round(self, issuer: Issuer, new: Signer) -> None:
        """A key comes, and then the one before it goes."""
        measured, old = self._measured, issuer.goes
        await self._change(
            issuer, [issuer.stays, old, new], new, self._side.good, measured.added, measured.on_new_connections
        )
        await self._change(issuer, [issuer.stays, new], old, REFUSED, measured.removed, None)
        issuer.goes = new

    async def _change(
        self,
        issuer: Issuer,
        keys: Sequence[Signer],
        signer: Signer,
        wanted: int,
        seconds: list[float],
        on_new_connections: list[float] | None,
    ) -> None:
        """Write the keys, and ask with a token by `signer` until every endpoint of the issuer answers as `wanted`."""
        side, measured, token = self._side, self._measured, issuer.token(signer)
        endpoints = [name for name, its in self._sharing.items() if its is issuer]
        lines = [Line(side, self._context, each, measured) for each in endpoints]
        raw = {each: call(each, token) for each in endpoints}
        for line in lines:
            if (reply := await line.send(raw[line.endpoint])) is None or reply.status == wanted:
                raise RuntimeError(f"{line.endpoint} answers as after the change already")
        prepared = await asyncio.to_thread(side.prepared, issuer, keys)
        before = await self._counted()
        began = time.monotonic()
        asking = [asyncio.create_task(self._all(lines[number::ASKING], raw, wanted)) for number in range(ASKING)]
        new = asyncio.create_task(
            self._on_new_connections(endpoints[:: max(1, len(endpoints) // NEW_CONNECTIONS)], raw, wanted)
        )
        await side.write(prepared)
        async with asyncio.timeout(PATIENCE_S):
            await asyncio.gather(*asking)
            seconds.append(time.monotonic() - began)
            if on_new_connections is not None:
                on_new_connections.append(await new - began)
            await new
        await asyncio.sleep(SETTLED_S)
        after = await self._counted()
        measured.received.append(after.received - before.received)
        self._note_cpu(before, after, time.monotonic() - began)
        measured.draining = max(measured.draining, after.draining)
        for line in lines:
            await line.close()

    def _note_cpu(self, before: Counted, after: Counted, took: float) -> None:
        """What goes beyond the same time without a change. A median of it leaves a resync of the operator out."""
        for name, seconds in after.cpu.items():
            more = seconds - before.cpu[name] - self._idle[name] * took
            self._measured.cpu.setdefault(name, []).append(more)

    async def _all(self, lines: Sequence[Line], raw: Mapping[str, bytes], wanted: int) -> None:
        left = list(lines)
        while left:
            replies = [(line, await line.send(raw[line.endpoint])) for line in left]
            left = [line for line, reply in replies if reply is None or reply.status != wanted]

    async def _on_new_connections(self, endpoints: Sequence[str], raw: Mapping[str, bytes], wanted: int) -> float:
        """When the last of these answered as wanted."""
        nobody = Measured()
        for endpoint in endpoints:
            while True:
                line = Line(self._side, self._context, endpoint, nobody)
                reply = await line.send(raw[endpoint])
                await line.close()
                if reply is not None and reply.status == wanted:
                    break
        return time.monotonic()

    async def _until(self, line: Line, raw: bytes, wanted: int) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while (reply := await line.send(raw)) is None or reply.status != wanted:
                await asyncio.sleep(PAUSE_S)

    async def _calling(self, lines: Sequence[Line], raw: Mapping[str, bytes]) -> None:
        """An ordinary caller. It goes round its connections."""
        measured = self._measured
        while not self._done.is_set():
            for line in lines:
                began = time.monotonic()
                reply = await line.send(raw[line.endpoint])
                measured.calls.append(time.monotonic() - began)
                measured.failed += reply is None or reply.status != self._side.good
                await asyncio.sleep(PAUSE_S)

    async def _counted(self) -> Counted:
        transport = httpx.AsyncHTTPTransport(uds=str(self._side.admin))
        async with httpx.AsyncClient(transport=transport, base_url="http://envoy", timeout=PATIENCE_S) as http:
            text = (await http.get("/stats", params={"filter": _STATS})).text
        counts = {name: int(count) for name, _, count in (line.partition(": ") for line in text.splitlines())}
        return Counted(
            received=counts[_RECEIVED],
            updates=counts[_UPDATES],
            draining=counts[_DRAINING],
            drained=sum(count for name, count in counts.items() if name.endswith(_DRAINED)),
            cpu={name: cpu_seconds(pid) for name, pid in self._side.pids.items()},
        )


Cell = Callable[[Measured], float]


def _table(found: Sequence[tuple[str, Measured]], endpoints: int, issuers: int, rounds: int) -> str:
    share = endpoints // issuers
    compared: list[tuple[str, Cell, int]] = [
        ("bytes that Envoy receives for a change, p50", lambda each: percentile(each.received, 50), 0),
        (f"a new key is taken by {share} endpoints: p50, ms", lambda each: percentile(each.added, 50) * 1000, 0),
        (f"a new key is taken by {share} endpoints: worst, ms", lambda each: max(each.added) * 1000, 0),
        (
            "a new key is taken on new connections: p50, ms",
            lambda each: percentile(each.on_new_connections, 50) * 1000,
            0,
        ),
        (f"an old key is refused by {share} endpoints: p50, ms", lambda each: percentile(each.removed, 50) * 1000, 0),
        (f"an old key is refused by {share} endpoints: worst, ms", lambda each: max(each.removed) * 1000, 0),
        ("CPU for a change: Envoy, p50, ms", lambda each: percentile(each.cpu["Envoy"], 50) * 1000, 0),
        ("ordinary calls: p50, ms", lambda each: percentile(each.calls, 50) * 1000, 1),
        ("ordinary calls: p99, ms", lambda each: percentile(each.calls, 99) * 1000, 1),
    ]
    counted: list[tuple[str, Cell, int]] = [
        ("the same before the changes: p99, ms", lambda each: percentile(each.quiet_calls, 99) * 1000, 1),
        ("ordinary calls", lambda each: len(each.calls), 0),
        ("ordinary calls that failed", lambda each: each.failed, 0),
        ("connections that Envoy told to close", lambda each: each.drained, 0),
        ("connections that callers opened again", lambda each: each.reopened, 0),
        ("filter chains that drained at a time, at most", lambda each: each.draining, 0),
        ("updates of Envoy's listener", lambda each: each.updates, 0),
        ("bytes received in the time of a change without one", lambda each: each.idle, 0),
    ]
    header = [f"{endpoints:,} endpoints, {issuers} issuers, {2 * rounds} changes"]
    for name, _ in found:
        header += [name] if name == found[0][0] else [name, "ratio"]
    measured = [each for _, each in found]
    lines = [[name, *_cells([cell(each) for each in measured], digits)] for name, cell, digits in compared]
    for name, cell, digits in counted:
        first, *others = (f"{cell(each):,.{digits}f}" for each in measured)
        lines.append([name, first, *(text for each in others for text in (each, ""))])
    for name in ("gatekeeper", "operator"):
        ours = f"{percentile(measured[0].cpu[name], 50) * 1000:.0f}"
        lines.append([f"CPU for a change: {name}, p50, ms", ours, *[""] * (len(header) - 2)])
    return markdown(header, lines)


def _cells(values: Sequence[float], digits: int) -> list[str]:
    """Each value, and from the second on how many times the first it is."""
    ours, *others = values
    cells = [f"{ours:,.{digits}f}"]
    for each in others:
        cells += [f"{each:,.{digits}f}", f"{each / ours:.2f}" if ours else ""]
    return cells


if __name__ == "__main__":
    main()
