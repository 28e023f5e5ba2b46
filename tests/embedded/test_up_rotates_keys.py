"""Keys rotate under load on two gateways and no call fails; a revoked key is refused on both within a second."""

import asyncio
import json
import time

import pytest

from nightlatch.api.meta import INFERENCE_CLIENT, SECRET, NamespacedName
from nightlatch.store.files.store import FilesStore
from tests.embedded.raw_http import request
from tests.embedded.running import manifest
from tests.embedded.test_up_follows_edits import crowding

ROTATIONS = 6
CALLERS_OF_A_GATEWAY = 3
BOT = NamespacedName("default", "one-bot")


@pytest.fixture(scope="module")
def up(lasting, tiny):
    return lasting(manifest("one", model=tiny, idle_after="10m"), gateways=2)


@pytest.fixture
async def awake(up):
    await up.ready("one")

    async def answers():
        connection = await up.connect("one")
        reply = await connection.send(up.embedding("one", up.key("one-bot")))
        await connection.close()
        return reply.status == 200

    await up.until("an answer", answers)
    return up


def edit(up, *, annotation=None, **api_key):
    """Change the client's `apiKey` in the manifest, and its `nightlatch.dev/rotate`."""
    documents = [json.loads(text) for text in up.manifest.read_text().split("---\n")]
    (client,) = [each for each in documents if each["kind"] == "InferenceClient"]
    client["spec"]["apiKey"] |= api_key
    if annotation:
        client["metadata"]["annotations"] = {"nightlatch.dev/rotate": annotation}
    up.manifest.write_text("---\n".join(json.dumps(each) + "\n" for each in documents))


async def keys(up):
    """Id and state of each key, as the status has them."""
    found = await FilesStore(up.state).get(INFERENCE_CLIENT, BOT.namespace, BOT.name)
    return [(key["id"], key["state"]) for key in found["status"].get("keys", [])]


async def has_secret(up, name):
    return name in {each["metadata"]["name"] for each in (await FilesStore(up.state).list(SECRET)).items}


async def has_no_secret(up, name):
    return not await has_secret(up, name)


async def has_states(up, *states):
    return [state for _, state in await keys(up)][: len(states)] == list(states)


def metadata(up, key):
    return request("GET", "/v2/models/one", up.host("one"), headers=[("Authorization", f"Bearer {key}")])


class Load:
    """Callers on each gateway that read their key before each call, as an app does that re-reads its Secret."""

    def __init__(self, up):
        self.up, self.statuses, self.used = up, [], set()
        self._tasks = []

    async def __aenter__(self):
        gateways = range(len(self.up.ports))
        self._tasks = [asyncio.create_task(self._call(gateway)) for gateway in [*gateways] * CALLERS_OF_A_GATEWAY]
        return self

    async def __aexit__(self, *_):
        for task in self._tasks:
            task.cancel()
        ended = await asyncio.gather(*self._tasks, return_exceptions=True)
        assert all(isinstance(each, asyncio.CancelledError) for each in ended), ended

    async def _call(self, gateway):
        connection = await self.up.connect("one", gateway)
        while True:
            key = self.up.key("one-bot")
            self.used.add(key)
            self.statuses.append((await connection.send(metadata(self.up, key))).status)
            await asyncio.sleep(0.005)


async def test_no_call_fails_while_keys_rotate_under_load(awake):
    edit(awake, overlap="2s")
    before = len(awake.printed)
    async with Load(awake) as load:
        for number in range(ROTATIONS):
            old = awake.key("one-bot")
            edit(awake, annotation=f"rotation {number}")
            await awake.until("a new key", lambda old=old: awake.key("one-bot") != old)
            await awake.until("the end of the old key", lambda: has_states(awake, "Current", "Revoked"))
    assert set(load.statuses) == {200}
    assert len(load.used) == ROTATIONS + 1
    assert len(load.statuses) > 100 * ROTATIONS
    print(f"{len(load.statuses)} calls, {ROTATIONS} rotations, 0 failed")
    assert not any(key in awake.printed[before:] for key in load.used)


async def test_the_old_key_works_until_the_overlap_ends_on_every_gateway(awake):
    edit(awake, overlap="3s")
    old = awake.key("one-bot")
    connections = [await awake.connect("one", gateway) for gateway in range(2)]
    edit(awake, annotation="once more")
    await awake.until("a new key", lambda: awake.key("one-bot") != old)
    assert [(await each.send(metadata(awake, old))).status for each in connections] == [200, 200]
    await awake.until("the end of the old key", lambda: has_states(awake, "Current", "Revoked"))
    for connection in connections:
        assert await refused(connection, awake, old) < 1.0 * crowding()


async def refused(connection, up, key):
    """Seconds until an open connection refuses the key."""
    started = time.monotonic()
    while (await connection.send(metadata(up, key))).status != 401:
        assert time.monotonic() - started < 20
        await asyncio.sleep(0.01)
    return time.monotonic() - started


async def test_a_revoked_key_is_refused_on_open_connections_of_every_gateway_and_replaced(awake):
    old = awake.key("one-bot")
    key_id = old.split("_")[1]
    connections = [await awake.connect("one", gateway) for gateway in range(2)]
    assert [(await each.send(metadata(awake, old))).status for each in connections] == [200, 200]
    edit(awake, revokedKeyIds=[key_id])
    took = await asyncio.gather(*(refused(each, awake, old) for each in connections))
    # An edit of the file is noticed within half a second.
    assert max(took) < 1.5 * crowding()
    await awake.until("a new key", lambda: awake.key("one-bot") != old)

    async def revoked():
        return (key_id, "Revoked") in await keys(awake) and await has_states(awake, "Current")

    await awake.until("its successor to be in force", revoked)
    connection = await awake.connect("one", 1)
    assert (await connection.send(metadata(awake, awake.key("one-bot")))).status == 200

    async def told():
        found = await FilesStore(awake.state).get(INFERENCE_CLIENT, BOT.namespace, BOT.name)
        return next(each for each in found["status"]["conditions"] if each["type"] == "Revoked")["status"] == "True"

    await awake.until("all gateways to confirm it", told)


async def test_another_name_for_the_secret_changes_nothing_for_callers(awake):
    edit(awake, revokedKeyIds=[])
    old = awake.key("one-bot")
    async with Load(awake) as load:
        edit(awake, secretName="renamed")
        await awake.until("the Secret of the new name", lambda: has_secret(awake, "renamed"))
        await awake.until("the end of the old Secret", lambda: has_no_secret(awake, "one-bot-key"))
        await asyncio.sleep(1)
    assert set(load.statuses) == {200}
    assert load.used == {old}


async def test_the_status_says_when_a_key_was_last_used(awake):
    key = awake.key("one-bot")
    connection = await awake.connect("one", 1)
    assert (await connection.send(metadata(awake, key))).status == 200

    async def told():
        found = await FilesStore(awake.state).get(INFERENCE_CLIENT, BOT.namespace, BOT.name)
        return {each["id"]: each.get("lastUsedAt") for each in found["status"]["keys"]}[key.split("_")[1]]

    assert (await awake.until("the last use", told)).endswith("Z")
