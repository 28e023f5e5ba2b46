"""Refused calls of every kind, over the wire, at an endpoint that sleeps: no Python decides about them, nobody wakes.

The gatekeeper is a process of its own here, so that its CPU can be looked at. What one call that it does decide about
costs it is measured first: that is the scale.
"""

import asyncio
import os
import ssl
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

import psutil
import pytest

from nightlatch.api import names
from nightlatch.api.meta import NamespacedName
from nightlatch.api_keys import mint
from nightlatch.wire.revocations import Revocations, encode_revocations
from nightlatch.wire.route_document import RateTier
from tests.embedded.attacks import hello_and_gone
from tests.embedded.envoy_fixture import Caller
from tests.embedded.gatekeeper_lab import KEY, Lab, eventually, infer
from tests.embedded.raw_http import Connection

HOST = f"{KEY.name}.{KEY.namespace}.localhost"
OTHER = NamespacedName("search", "other")
DENIED = NamespacedName("search", "denied")
BUSY = NamespacedName("search", "busy")
NOBODY = "nobody.search.localhost"
INFER = f"POST /v2/models/{KEY.name}/infer HTTP/1.1"
CONNECTIONS = 20
# Seconds of CPU by which the gatekeeper's own work may differ from that of as long a quiet time. So its CPU tells
# something from some thousand calls on, as in a soak; the figures tell of each call.
UNEVEN = 0.3
CALLERS = {
    "bot": Caller("bot", os.urandom, "infer", "metadata"),
    "reader": Caller("reader", os.urandom, "metadata"),
    "expired": Caller("bot", os.urandom, "infer", not_after=int(time.time()) - 1),
    "early": Caller("bot", os.urandom, "infer", not_before=int(time.time()) + 86_400),
    "revoked": Caller("bot", os.urandom, "infer"),
    "suspended": Caller("suspended", os.urandom, "infer"),
    "limited": Caller("limited", os.urandom, "infer", tier="one"),
}
STRANGER = Caller("stranger", os.urandom, "infer", "metadata")
KEYS = {
    **{name: each.key for name, each in CALLERS.items()},
    "stranger": STRANGER.key,
    "unknown": mint(os.urandom).text,
}


@dataclass(frozen=True)
class Kind:
    """What is sent on a TLS connection for `server_name`, and the status of the answer."""

    status: int
    lines: tuple[str, ...]
    server_name: str = HOST
    line: str = INFER
    host: str | None = None

    def raw(self) -> bytes:
        host = () if self.host == "" else (f"host: {self.host or self.server_name}",)
        has_body = any(each.startswith(("content-length:", "transfer-encoding:")) for each in self.lines)
        length = () if has_body else ("content-length: 0",)
        return "\r\n".join([self.line, *host, *length, *self.lines, "", ""]).encode("latin-1")


def key(name: str) -> str:
    return f"x-api-key: {KEYS[name]}"


KINDS = {
    "no key": Kind(401, ()),
    "a malformed key": Kind(401, ("x-api-key: nl_x",)),
    "an unknown key": Kind(401, (key("unknown"),)),
    "the key of another endpoint": Kind(401, (key("stranger"),)),
    "an expired key": Kind(401, (key("expired"),)),
    "a key that is not valid yet": Kind(401, (key("early"),)),
    "a revoked key": Kind(401, (key("revoked"),)),
    "a key of a client that is suspended": Kind(401, (key("suspended"),)),
    "Basic beside a good key": Kind(401, (key("bot"), "authorization: Basic Zm9vOmJhcg==")),
    "a key in the URL": Kind(401, (), line=f"GET /v2?key={KEYS['bot']} HTTP/1.1"),
    "two keys": Kind(400, (key("bot"), key("bot"))),
    "an unreadable key": Kind(400, ("x-api-key: schl\xfcssel",)),
    "a key without the permission": Kind(403, (key("reader"),)),
    "an operation that nobody may": Kind(403, (key("bot"),), line="POST /v2/repository/index HTTP/1.1"),
    "a client over its rate": Kind(429, (key("limited"),)),
    "an endpoint that is denied": Kind(503, (key("bot"),), server_name="denied.search.localhost"),
    "another host than the connection's": Kind(421, (key("bot"),), host="other.search.localhost"),
    "a host that is nobody's": Kind(404, (key("bot"),), server_name=NOBODY),
    "HTTP/1.0": Kind(426, (key("bot"),), line="GET /v2 HTTP/1.0"),
    "no host": Kind(400, (key("bot"),), host=""),
    "two lengths": Kind(400, (key("bot"), "content-length: 1", "content-length: 2")),
    "an unknown encoding": Kind(501, (key("bot"), "transfer-encoding: br")),
    "too many headers": Kind(431, (key("bot"), *(f"x-{number}: a" for number in range(100)))),
    "long headers": Kind(431, (key("bot"), f"x: {'a' * 30_000}")),
    "an escaped slash": Kind(400, (key("bot"),), line="GET /v2%2fa HTTP/1.1"),
    "options of everything": Kind(401, (key("bot"),), line="OPTIONS * HTTP/1.1"),
}


@pytest.fixture(scope="module")
async def lab(tmp_path_factory):
    """Three endpoints asleep, of which one is denied, and one more that holds a call for as long as the tests run."""
    lab = Lab(tmp_path_factory.mktemp("lab"), new_connections_per_second=100_000)
    lab.caller = CALLERS["bot"]
    revoked = Revocations(
        1, frozenset({CALLERS["suspended"].grant.client}), frozenset({CALLERS["revoked"].grant.key_id})
    )
    await lab.put_secret(names.REVOCATIONS_SECRET, names.ROLE_REVOCATIONS, encode_revocations(revoked))
    keys = tuple(each.grant for each in CALLERS.values())
    await lab.put(lab.document(keys=keys, rate_tiers={"one": RateTier(1, 86_400.0, 1)}, hold_timeout=600.0))
    await lab.put(lab.document(OTHER, keys=(STRANGER.grant,)))
    await lab.put(lab.document(DENIED, denied="policy_invalid"))
    # One call of a client may wait; the gatekeeper refuses the next ones at once.
    await lab.put(lab.document(BUSY, hold_max_requests=4, hold_timeout=3600.0))
    await lab.start()
    try:
        await lab.gateways[0].ready()
        async with lab.client(caller=CALLERS["limited"]) as client:
            first = await infer(client, **{"x-nightlatch-hold-timeout": "0.1"})
            assert first.json()["code"] == "wake_timeout"
        yield lab
    finally:
        lab.stop()


def figures(lab: Lab) -> dict[str, float]:
    """What would change if a call reached the gatekeeper or woke an endpoint."""
    told = tuple(f"nightlatch_gateway_{name}" for name in ("checks", "held", "phase", "upstream_requests"))
    lines = lab.gateways[0].metrics().splitlines()
    found = {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines if line.startswith(told))}
    assert "nightlatch_gateway_checks_total" in found
    return found


def cpu(lab: Lab) -> float:
    """Seconds of CPU that the gatekeeper has used."""
    assert lab.gateways[0].gatekeeper
    used = psutil.Process(lab.gateways[0].gatekeeper.pid).cpu_times()
    return used.user + used.system


@dataclass(frozen=True)
class Scale:
    """`idle`: seconds of CPU a second with no call at all. `asked`: seconds of CPU for a call that it decides about."""

    idle: float
    asked: float


@pytest.fixture(scope="module")
async def scale(lab) -> Scale:
    seconds, calls = 4.0, 300
    before = cpu(lab)
    await asyncio.sleep(seconds)
    idle = (cpu(lab) - before) / seconds
    async with lab.client(key=BUSY) as client:
        waiting = asyncio.create_task(infer(client, BUSY))
        held = f'nightlatch_gateway_held_requests{{name="{BUSY.name}",namespace="{BUSY.namespace}"}}'
        await eventually(lambda: figures(lab).get(held) == 1, "one call waits")
        checks = figures(lab)["nightlatch_gateway_checks_total"]
        started, before = time.monotonic(), cpu(lab)
        answers = [await infer(client, BUSY) for _ in range(calls)]
        asked = (cpu(lab) - before - idle * (time.monotonic() - started)) / calls
        assert {answer.json()["code"] for answer in answers} == {"too_many_held_by_client"}
        assert figures(lab)["nightlatch_gateway_checks_total"] == checks + calls
        waiting.cancel()
        await eventually(lambda: figures(lab).get(held) == 0, "it has gone")
    assert asked > 0
    return Scale(idle, asked)


@dataclass(frozen=True)
class Untouched:
    """Seconds of CPU of the gatekeeper for the calls alone, and its figures before and after them."""

    used: float
    before: Mapping[str, float]
    after: Mapping[str, float]


async def during(lab: Lab, scale: Scale, calls: Callable[[], Awaitable[None]]) -> Untouched:
    before = figures(lab)
    started, used = time.monotonic(), cpu(lab)
    await calls()
    used = cpu(lab) - used - scale.idle * (time.monotonic() - started)
    return Untouched(used, before, figures(lab))


def nobody_woke(seen: Untouched, scale: Scale, calls: int) -> None:
    each, asked = (seconds * 1e6 for seconds in (seen.used / calls, scale.asked))
    print(f"{calls} calls, {each:.0f} us of the gatekeeper's CPU each; a call that it decides about: {asked:.0f} us")
    assert seen.after == seen.before
    assert seen.used < calls * scale.asked / 4 + UNEVEN


async def flood(port: int, kind: Kind, context: ssl.SSLContext, calls: int) -> list[int]:
    """The statuses of equal calls, one after the other, on a new connection whenever the gateway closes the old one."""
    statuses: list[int] = []
    connection: Connection | None = None
    while len(statuses) < calls:
        connection = connection or await Connection.open(port, kind.server_name, context)
        reply = await connection.send(kind.raw())
        statuses.append(reply.status)
        if reply.headers.get("connection") == "close":
            await connection.close()
            connection = None
    if connection:
        await connection.close()
    return statuses


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
async def test_refused_calls_cost_the_gatekeeper_nothing_and_wake_nobody(lab, scale, kind, times) -> None:
    calls = times(100, soak=10_000)
    context = ssl.create_default_context(cafile=str(lab.ca))
    context.check_hostname = False
    if kind.server_name == NOBODY:
        # It is shown the gateway's own certificate, which nobody signed.
        context.verify_mode = ssl.CERT_NONE
    port = lab.gateways[0].port
    statuses: list[int] = []

    async def all_of_them() -> None:
        floods = (flood(port, kind, context, calls // CONNECTIONS) for _ in range(CONNECTIONS))
        statuses.extend(status for each in await asyncio.gather(*floods) for status in each)

    seen = await during(lab, scale, all_of_them)
    assert len(statuses) == calls
    assert set(statuses) == {kind.status}
    nobody_woke(seen, scale, calls)


async def _hang_up(port: int) -> bytes:
    """What a server says to somebody who does not speak TLS."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(b"GET / HTTP/1.1\r\n\r\n")
        return await reader.read(1)
    except ConnectionResetError:
        return b""
    finally:
        writer.close()


@pytest.mark.parametrize("first", ["a server name in capitals", "no TLS"])
async def test_connections_that_are_closed_before_tls_cost_the_gatekeeper_nothing(lab, scale, first, times) -> None:
    calls = times(100, soak=10_000)
    port = lab.gateways[0].port
    answered: list[bool] = []

    async def some() -> None:
        for _ in range(calls // CONNECTIONS):
            if first == "no TLS":
                answered.append(await _hang_up(port) != b"")
            else:
                answered.append(await asyncio.to_thread(hello_and_gone, port, HOST.upper()))

    async def all_of_them() -> None:
        await asyncio.gather(*(some() for _ in range(CONNECTIONS)))

    seen = await during(lab, scale, all_of_them)
    assert answered == [False] * calls
    nobody_woke(seen, scale, calls)
