"""A call that the gate let in and the hold refused has its line, which names the client; also where a gateway is stale.

A real gatekeeper decides here; tests/embedded/test_audit_log.py has what gate and Envoy refuse.
"""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Any

import httpx
import pytest

from nightlatch.api import names
from nightlatch.api.meta import SECRET, NamespacedName, ObjectRef
from nightlatch.routing.limits import HELD_CALL_BYTES
from nightlatch.wire.report import WakeFailure
from nightlatch.wire.revocations import Revocations, encode_revocations
from tests.embedded.gatekeeper_lab import NAMESPACE, Lab, Leader, eventually, infer
from tests.embedded.test_gatekeeper_goes_stale import MAX_STALENESS, store_away

PLACES = 8


@pytest.fixture
async def lab(tmp_path, request):
    audit = {"file": str(tmp_path / "audit.log"), "refusals_per_second": 1000, "allows_percent": 0}
    staleness = getattr(request, "param", 3600.0)
    lab = Lab(tmp_path, max_staleness=staleness, audit=audit, max_held_bytes=PLACES * HELD_CALL_BYTES)
    await lab.start()
    try:
        yield lab
    finally:
        lab.stop()


@pytest.fixture
async def leader(lab):
    leader = Leader(lab)
    yield leader
    await leader.stop()


async def line_of(lab: Lab, key: NamespacedName, number: int = 1) -> dict[str, Any]:
    """The last of the lines about this endpoint, of which `number` are expected."""
    path = lab.folder / "audit.log"

    def lines() -> list[dict[str, Any]]:
        text = path.read_text() if path.exists() else ""
        read = [json.loads(line) for line in text.split("\n")[:-1]]
        return [line for line in read if line.get("endpoint") == str(key)]

    await eventually(lambda: len(lines()) >= number, f"{key} has {number} lines")
    found = lines()
    assert len(found) == number, found
    return found[-1]


def by_the_hold(lab: Lab, line: dict[str, Any]) -> tuple[Any, ...]:
    """Status and code of the line of a call that was let in by the gate and refused by the hold."""
    told = tuple(line[name] for name in ("decision", "details", "client", "credential", "sequence", "peer"))
    assert told == ("deny", "ext_authz_denied", "search/bot", lab.caller.grant.key_id, "1", "127.0.0.1")
    assert {"rule", "permission"}.isdisjoint(line)
    return line["status"], line["code"]


@dataclass(frozen=True)
class World:
    """One endpoint asleep, and a call of it that is held."""

    lab: Lab
    leader: Leader
    key: NamespacedName


async def _revoke(world: World) -> None:
    await world.lab.put(world.lab.document(world.key, sequence=2, keys=()))


async def _revoke_everywhere(world: World) -> None:
    data = encode_revocations(Revocations(1, frozenset(), frozenset({world.lab.caller.grant.key_id})))
    await world.lab.put_secret(names.REVOCATIONS_SECRET, names.ROLE_REVOCATIONS, data)


async def _narrow(world: World) -> None:
    narrowed = replace(world.lab.caller.grant, permissions=("metadata",))
    await world.lab.put(world.lab.document(world.key, sequence=2, keys=(narrowed,)))


async def _deny(world: World) -> None:
    await world.lab.put(world.lab.document(world.key, sequence=2, denied="policy_invalid"))


async def _remove(world: World) -> None:
    name = NamespacedName(NAMESPACE, names.route_document(world.key))
    await world.lab.store.delete(ObjectRef(SECRET.kind, name))


async def _fail(world: World) -> None:
    world.leader.tell("Waking", 1, key=world.key)
    failure = WakeFailure(3, "ModelServerExited", "exited with status 1")
    world.leader.tell("Asleep", 2, failure, key=world.key)


ENDS: dict[str, tuple[int, str, Callable[[World], Awaitable[None]]]] = {
    "revoked": (401, "unauthenticated", _revoke),
    "revoked-everywhere": (401, "unauthenticated", _revoke_everywhere),
    "narrowed": (403, "insufficient_scope", _narrow),
    "denied": (503, "policy_invalid", _deny),
    "removed": (503, "endpoint_removed", _remove),
    "failed": (503, "wake_failed", _fail),
}


async def held(lab: Lab, leader: Leader, client: httpx.AsyncClient, key: NamespacedName, **changes: Any) -> Any:
    """A call that is held by the policy of this document."""
    await lab.put(lab.document(key, **changes))
    await lab.gateways[0].ready()
    # Envoy has the endpoint.
    await leader.until("gateway-0", lambda said: said.applied == 1, "the document is in force", key)
    call = asyncio.ensure_future(infer(client, key))
    await leader.until("gateway-0", lambda said: said.held == 1, "held", key)
    return call


@pytest.mark.parametrize("name", ENDS)
async def test_a_held_call_that_must_not_go_on_has_its_line(lab, leader, name) -> None:
    status, code, end = ENDS[name]
    key = NamespacedName("search", name)
    async with lab.client(key=key) as client:
        call = await held(lab, leader, client, key, hold_timeout=600.0)
        await end(World(lab, leader, key))
        answer = await call
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    line = await line_of(lab, key)
    assert by_the_hold(lab, line) == (status, code)
    # The time for which it was held is in it.
    assert int(line["duration_ms"]) > 0


async def test_a_held_call_whose_key_expires_has_its_line(lab, leader) -> None:
    key = NamespacedName("search", "expires")
    async with lab.client(key=key) as client:
        call = await held(lab, leader, client, key, hold_timeout=600.0)
        # The expiry arrives while the call is held, so that a slow machine does not reach it before.
        expiring = replace(lab.caller.grant, not_after=int(time.time()) + 3)
        await lab.put(lab.document(key, sequence=2, hold_timeout=600.0, keys=(expiring,)))
        assert (await call).status_code == 401
    assert by_the_hold(lab, await line_of(lab, key)) == (401, "unauthenticated")


async def test_calls_that_are_not_held_or_no_longer_have_their_lines(lab, leader) -> None:
    share, full = NamespacedName("search", "share"), NamespacedName("search", "full")
    async with lab.client(key=share) as client, lab.client(key=full) as others:
        waiting = [await held(lab, leader, client, share, hold_timeout=600.0, hold_max_requests=4)]
        assert (await infer(client, share)).json()["code"] == "too_many_held_by_client"
        assert by_the_hold(lab, await line_of(lab, share)) == (429, "too_many_held_by_client")

        waiting.append(await held(lab, leader, others, full, hold_timeout=600.0))
        impatient = await infer(others, full, **{"x-nightlatch-hold-timeout": "0.2"})
        assert impatient.json()["code"] == "wake_timeout"
        assert by_the_hold(lab, await line_of(lab, full)) == (503, "wake_timeout")
        # With the call of the other endpoint, three quarters of the places are taken.
        waiting += [asyncio.ensure_future(infer(others, full)) for _ in range(4)]
        await leader.until("gateway-0", lambda said: said.held == 5, "it has as many as it gets", full)
        assert (await infer(others, full)).json()["code"] == "too_many_held_at_gateway"
        assert by_the_hold(lab, await line_of(lab, full, 2)) == (429, "too_many_held_at_gateway")
        for call in waiting:
            call.cancel()


@pytest.mark.parametrize("lab", [MAX_STALENESS], indirect=True)
async def test_a_gateway_that_is_stale_writes_what_it_refuses(lab, leader) -> None:
    """The hold refuses the call that it holds, and the gate the next one, of which it asks no credential."""
    key = NamespacedName("search", "stale")
    async with lab.client(key=key) as client:
        call = await held(lab, leader, client, key, hold_timeout=600.0)
        with store_away(lab):
            assert (await call).json()["code"] == "policy_stale"
            assert by_the_hold(lab, await line_of(lab, key)) == (503, "policy_stale")
            late = await infer(client, key)
            assert late.json()["code"] == "policy_stale"
            line = await line_of(lab, key, 2)
    told = tuple(line.get(name) for name in ("decision", "status", "code", "details", "client"))
    assert told == ("deny", 503, "policy_stale", "nightlatch_policy_stale", None)
