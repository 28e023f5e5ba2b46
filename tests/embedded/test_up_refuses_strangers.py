"""Authenticated before awake: a flood of refused calls starts no process and runs no Python in the gateway.

tests/attack/test_up.py shows the same of one call of each kind.
"""

import asyncio
import secrets

import pytest

from nightlatch.api_keys.api_key import mint

FLOOD = 10_000
CONNECTIONS = 20


async def flood(up, raw, count=FLOOD):
    connections = await asyncio.gather(*(up.connect("one") for _ in range(CONNECTIONS)))
    floods = (connection.flood(raw, count // CONNECTIONS) for connection in connections)
    statuses = [status for each in await asyncio.gather(*floods) for status in each]
    await asyncio.gather(*(connection.close() for connection in connections))
    return statuses


@pytest.mark.parametrize("stranger", ["no key", "a wrong key", "a malformed key", "another endpoint's key"])
async def test_a_flood_of_strangers_wakes_nobody(shared, stranger):
    await shared.ready("one", "two")
    await shared.asleep("one")
    key = {
        "no key": None,
        "a wrong key": mint(secrets.token_bytes).text,
        "a malformed key": "nl_x",
        "another endpoint's key": shared.key("two-bot"),
    }[stranger]
    woke, checks = (await shared.view("one")).wake_at, shared.probe.checks()

    statuses = await flood(shared, shared.bare("one", key))

    assert len(statuses) == FLOOD
    assert set(statuses) == {401}
    assert shared.probe.checks() == checks
    assert shared.probe.model_servers() == 0
    seen = await shared.view("one")
    assert (seen.state, seen.replicas, seen.wake_at) == ("Asleep", 0, woke)
