"""Authenticated before awake: no refused call starts a process or runs Python in the gateway."""

import asyncio
import secrets

import pytest

from nightlatch.api_keys.api_key import mint
from tests.embedded.raw_http import request

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


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/metrics", 403),
        ("DELETE", "/v1/embeddings", 403),
        ("POST", "/v2/repository/index", 403),
        ("GET", "/v2/models/one/../../secret", 403),
    ],
)
async def test_what_the_key_does_not_permit_is_403_and_wakes_nobody(shared, method, path, status):
    await shared.ready("one")
    await shared.asleep("one")
    checks = shared.probe.checks()
    connection = await shared.connect("one")
    key = [("Authorization", f"Bearer {shared.key('one-bot')}")]
    assert (await connection.send(request(method, path, shared.host("one"), headers=key))).status == status
    assert shared.probe.checks() == checks
    assert shared.probe.model_servers() == 0


async def test_a_host_that_is_not_the_name_of_the_connection_is_421(shared):
    await shared.ready("one", "two")
    connection = await shared.connect("one")
    key = [("Authorization", f"Bearer {shared.key('two-bot')}")]
    reply = await connection.send(request("GET", "/v2/models/two", shared.host("two"), headers=key))
    assert reply.status == 421


async def test_two_keys_that_disagree_are_400(shared):
    await shared.ready("one")
    connection = await shared.connect("one")
    headers = [("X-API-Key", mint(secrets.token_bytes).text)]
    reply = await connection.send(shared.embedding("one", shared.key("one-bot"), headers=headers))
    assert reply.status == 400


async def test_every_401_has_the_same_body(shared):
    await shared.ready("one", "two")
    bodies = set()
    for key in (None, "nl_x", mint(secrets.token_bytes).text, shared.key("two-bot")):
        connection = await shared.connect("one")
        reply = await connection.send(shared.embedding("one", key))
        assert reply.status == 401
        assert "www-authenticate" in reply.headers
        bodies.add(reply.body)
    assert len(bodies) == 1
