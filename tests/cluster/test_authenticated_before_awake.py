"""Authenticated before awake: 10,000 refused calls change nothing in the cluster and run no Python in a gateway."""

import asyncio
import secrets

import pytest

from nightlatch.api_keys.api_key import mint
from tests.cluster.installation import Caller, Installation, client, endpoint, eventually

pytestmark = pytest.mark.cluster

FLOOD = 10_000
CONNECTIONS = 20
WRITES = {"create", "update", "patch", "delete"}
# What goes on by itself: Leases, the events and status of other parts of the cluster.
_OF_THE_ENDPOINT = {"deployments", "replicasets", "pods", "inferenceendpoints", "secrets"}


async def flood(caller: Caller, raw: bytes) -> list[int]:
    connections = await asyncio.gather(*(caller.connect() for _ in range(CONNECTIONS)))
    floods = (connection.flood(raw, FLOOD // CONNECTIONS) for connection in connections)
    statuses = [status for each in await asyncio.gather(*floods) for status in each]
    await asyncio.gather(*(connection.close() for connection in connections))
    return statuses


@pytest.fixture(scope="module")
async def asleep(installation: Installation) -> Caller:
    """A caller of `one`, which sleeps; `two` is there for its key."""
    namespace = installation.namespace("flood")
    for name in ("one", "two"):
        installation.apply(endpoint(name, namespace), client(f"{name}-bot", namespace, name))
        installation.ready(name, namespace)
    await eventually(lambda: installation.asleep("one", namespace), "one asleep")
    return installation.caller("one-bot", "one", namespace)


@pytest.mark.parametrize("stranger", ["no key", "a wrong key", "another endpoint's key"])
async def test_refused_calls_change_nothing(installation: Installation, asleep: Caller, stranger: str):
    other = installation.caller("two-bot", "two", "flood")
    key = {"no key": None, "a wrong key": mint(secrets.token_bytes).text, "another endpoint's key": other.key}[stranger]
    before, checks = installation.audit_position(), installation.checks()

    statuses = await flood(asleep, asleep.raw(key))

    assert (len(statuses), set(statuses)) == (FLOOD, {401})
    assert installation.checks() == checks
    written = [
        (event["verb"], event["objectRef"]["resource"], event["objectRef"].get("name"))
        for event in installation.audited(before)
        if event["verb"] in WRITES
        and event.get("objectRef", {}).get("namespace") == "flood"
        and event["objectRef"]["resource"] in _OF_THE_ENDPOINT
    ]
    assert written == []
    assert installation.asleep("one", "flood")
