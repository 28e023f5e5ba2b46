"""A key that is revoked or ends is refused on every gateway, also on connections that were open before."""

import asyncio
import contextlib
import json
import os
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from nightlatch.api import names
from nightlatch.wire.revocations import Revocations, encode_revocations
from tests.attack import proof
from tests.attack.row import EVERY, Call, Protocol, Row
from tests.attack.traces import found_in
from tests.attack.wire import Answer, Wire
from tests.embedded.envoy_fixture import Caller
from tests.embedded.gatekeeper_lab import KEY, Lab, eventually

# Without a body: Envoy ends an HTTP/1.1 connection whose body it did not wait for.
ABOUT = Call("GET", f"/v2/models/{KEY.name}")
REFUSED = Row("the key", ABOUT.with_(("x-api-key", "{bot}")), ABOUT.with_(("x-api-key", "{other}")))


class Two:
    """Two gateways before one model server, and a connection of each protocol to each of them."""

    def __init__(self, lab: Lab, audit: Path) -> None:
        self.lab = lab
        self.other = Caller("other", os.urandom, "metadata")
        self.words = {"host": f"{KEY.name}.{KEY.namespace}.localhost", "model": KEY.name, "other": self.other.key}
        self._audit = audit
        self._connections: list[tuple[Protocol, Any]] = []
        self._sequence = 0
        self._refusals: Counter[Protocol] = Counter()
        self._written = 0

    @contextlib.contextmanager
    def connected(self, caller: Caller) -> Iterator[None]:
        """Open connections on which this caller is `bot`."""
        self.words["bot"] = caller.key
        with contextlib.ExitStack() as stack:
            self._connections = [
                (protocol, stack.enter_context(Wire(gateway.port, self.words).connection(ABOUT, protocol)))
                for gateway in self.lab.gateways
                for protocol in EVERY
            ]
            yield

    async def answers(self, call: Call) -> list[tuple[Protocol, Answer]]:
        """The answer on each connection."""
        found = [(protocol, await asyncio.to_thread(each.send, call)) for protocol, each in self._connections]
        self._refusals.update(protocol for protocol, answer in found if _refused(protocol, answer))
        return found

    async def let_through(self, call: Call) -> bool:
        return not any(_refused(*each) for each in await self.answers(call))

    async def refused(self) -> bool:
        return all(_refused(*each) for each in await self.answers(REFUSED.call))

    async def put(self, *keys: Caller) -> None:
        self._sequence += 1
        grants = tuple(each.grant for each in (*keys, self.other))
        await self.lab.put(self.lab.document(sequence=self._sequence, keys=grants))

    async def proves(self) -> None:
        """One more call on each connection: the uniform answer, no model server, and a twin that is let through.

        Each refusal until now has its line, and no other call has one.
        """
        received = len(self.lab.upstream().received)
        for protocol, answer in await self.answers(REFUSED.call):
            proof.answers_as_told(answer, REFUSED, protocol, Wire(0, self.words))
        assert len(self.lab.upstream().received) == received
        assert await self.let_through(REFUSED.twin)
        expected = self._written + self._refusals.total()
        await eventually(lambda: len(self._lines()) >= expected, "the audit log", 5)
        lines = self._lines()[self._written :]
        # Two gateways write into one file, each with several threads: the lines come in any order.
        told = sorted(map(json.loads, lines), key=lambda line: line["status"])
        for protocol, line in zip(sorted(self._refusals.elements(), key=_status), told, strict=True):
            proof.audited_as_told(line, REFUSED, protocol, Wire(0, self.words))
        self._written, self._refusals = expected, Counter()
        assert not found_in("".join(lines).encode(), (self.words["bot"], self.other.key))

    def _lines(self) -> list[str]:
        """Refusals alone are written."""
        return self._audit.read_text().split("\n")[:-1] if self._audit.exists() else []


def _status(protocol: Protocol) -> int:
    """What the audit log says of a refusal."""
    return 200 if protocol == "grpc" else 401


def _refused(protocol: Protocol, answer: Answer) -> bool:
    assert answer.status, "the connection was ended"
    return answer.grpc[0] == "16" if protocol == "grpc" else answer.status == 401


@pytest.fixture(scope="module")
async def two(tmp_path_factory: pytest.TempPathFactory, gate: None) -> AsyncIterator[Two]:
    folder = tmp_path_factory.mktemp("two")
    audit = folder / "audit.log"
    configuration = {"file": str(audit), "refusals_per_second": 10_000, "allows_percent": 0}
    lab = Lab(folder, gateways=2, audit=configuration)
    two = Two(lab, audit)
    lab.replica(ready=True)
    await two.put(lab.caller)
    await lab.start()
    try:
        for gateway in lab.gateways:
            await gateway.ready()
        yield two
    finally:
        lab.stop()


async def _once(condition: Any) -> float:
    """Seconds until it is so."""
    started = time.monotonic()
    async with asyncio.timeout(20):
        while not await condition():
            await asyncio.sleep(0.01)
    return time.monotonic() - started


@pytest.mark.parametrize("revoked", ["key", "client"])
async def test_a_revocation_holds_on_every_gateway_and_on_connections_that_are_open(two: Two, revoked: str):
    caller = Caller(f"revoked-{revoked}", os.urandom, "metadata")
    await two.put(caller)
    grant = caller.grant
    document = Revocations(
        two._sequence, *((frozenset(), {grant.key_id}) if revoked == "key" else ({grant.client}, ()))
    )
    with two.connected(caller):
        await _once(lambda: two.let_through(REFUSED.call))
        data = encode_revocations(document)
        await two.lab.put_secret(names.REVOCATIONS_SECRET, names.ROLE_REVOCATIONS, data)
        took = await _once(two.refused)
        print(f"refused on every connection after {took:.3f} s")
        await two.proves()


async def test_the_previous_key_is_let_through_within_the_overlap_and_refused_after_it(two: Two):
    previous = Caller("rotated", os.urandom, "metadata")
    ends = int(time.time()) + 3
    previous.grant = replace(previous.grant, not_after=ends)
    await two.put(previous)
    with two.connected(previous):
        await _once(lambda: two.let_through(REFUSED.call))
        assert time.time() < ends
        await _once(two.refused)
        assert time.time() >= ends
        await two.proves()
