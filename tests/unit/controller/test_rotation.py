"""Keys rotate, move and come back while the controller works, and no caller is refused meanwhile."""

import asyncio
import contextlib
from datetime import timedelta

import orjson
import pytest

from nightlatch import api_keys
from nightlatch.api.meta import INFERENCE_CLIENT, SECRET, NamespacedName
from nightlatch.scaling.runtime import EndpointRuntime
from tests.unit.controller.world import CLIENT, ENDPOINT, World, client_object, endpoint_object, until

KEY_SECRET = NamespacedName("search", "bot-key")
DAY = timedelta(days=1)


@pytest.fixture
def world(tmp_path):
    return World(tmp_path / "state")


class Gateways:
    """Two gateways that apply each document. `behind`: one that says nothing. It notes when a shown key is refused."""

    def __init__(self, world, controller):
        self.world, self.controller, self.behind = world, controller, None
        self.refused = []

    async def run(self):
        known = set()
        while True:
            document = await self.world.document()
            accepted = {grant.sha256 for grant in document.keys} if document else set()
            shown = await shown_key(self.world)
            if shown and (known := known | (accepted & {shown[1]})) and shown[1] in known and shown[1] not in accepted:
                self.refused.append(shown)
            if document:
                members = dict.fromkeys(("gw-0", "gw-1"), document.sequence)
                if self.behind:
                    members[self.behind] = None
                applied = {name: at for name, at in members.items() if at is not None}
                self.controller.runtime_status.put(ENDPOINT, EndpointRuntime(applied=applied, members=members))
            await asyncio.sleep(0.01)


@contextlib.asynccontextmanager
async def running(world, *, refuses=False):
    """A controller with its gateways. They refuse no key that callers are shown, unless `refuses`."""
    async with world.running() as controller:
        gateways = Gateways(world, controller)
        task = asyncio.create_task(gateways.run())
        try:
            yield gateways
        finally:
            task.cancel()
        assert refuses or gateways.refused == []


@contextlib.asynccontextmanager
async def with_a_key(world, **options):
    """The same, with an endpoint and a client whose key is Current."""
    await world.store.create(endpoint_object())
    await world.store.create(client_object(CLIENT, ENDPOINT))

    async def is_granted():
        document = await world.document()
        return document is not None and document.keys

    async with running(world, **options) as gateways:
        await until(lambda: has_states(world, "Current"))
        await until(is_granted)
        yield gateways


async def shown_key(world, secret=KEY_SECRET):
    """Id and digest of the key that callers read."""
    data = await world.secret(secret) or {}
    if "api-key" not in data:
        return None
    parsed = api_keys.parse(data["api-key"].decode())
    return parsed.key_id, parsed.sha256


async def states(world):
    found = await world.find(INFERENCE_CLIENT, CLIENT)
    return [(key["id"], key["state"]) for key in (found.get("status") or {}).get("keys", [])]


async def has_states(world, *expected):
    return [state for _, state in await states(world)] == list(expected)


async def accepted(world):
    return {grant.key_id: grant.not_after for grant in (await world.document()).keys}


async def annotate(world, value):
    found = await world.find(INFERENCE_CLIENT, CLIENT)
    found["metadata"].setdefault("annotations", {})["nightlatch.dev/rotate"] = value
    del found["metadata"]["resourceVersion"]
    await world.store.replace(found)


async def resync(gateways):
    gateways.controller.enqueue(INFERENCE_CLIENT.kind, CLIENT)


async def test_a_rotation_on_demand_leaves_both_keys_accepted_until_the_overlap_ends(world):
    async with with_a_key(world) as gateways:
        old, _ = await shown_key(world)
        await annotate(world, "now")
        await until(lambda: has_states(world, "Current", "Previous"))
        new, _ = await shown_key(world)
        assert new != old

        async def old_ends():
            found = await accepted(world)
            return found.keys() == {new, old} and found[old] is not None and found[new] is None

        await until(old_ends)
        world.ahead = DAY + timedelta(minutes=1)
        await resync(gateways)
        await until(lambda: has_states(world, "Current", "Revoked"))

        async def old_is_gone():
            return (await accepted(world)).keys() == {new}

        await until(old_is_gone)


async def test_a_rotation_waits_for_a_gateway_that_says_nothing(world):
    async with with_a_key(world) as gateways:
        old, _ = await shown_key(world)
        gateways.behind = "gw-1"
        await annotate(world, "now")
        await until(lambda: has_states(world, "Next", "Current"))
        await asyncio.sleep(0.5)
        assert (await shown_key(world))[0] == old
        assert await world.condition(INFERENCE_CLIENT, CLIENT, "CredentialsReady") == ("True", "Rotating")
        gateways.behind = None
        await until(lambda: has_states(world, "Current", "Previous"))


async def test_a_schedule_rotates_by_the_clock_also_after_the_operator_was_down_when_it_was_due(world):
    async with with_a_key(world):
        await world.update(INFERENCE_CLIENT, CLIENT, lambda spec: spec["apiKey"].update(rotateEvery="720h"))
        first, _ = await shown_key(world)
    world.ahead = 40 * DAY
    async with running(world):
        await until(lambda: has_states(world, "Current", "Previous"))
        assert (await states(world))[1][0] == first


@pytest.mark.parametrize("operator", ["up", "down"])
async def test_a_deleted_secret_comes_back_with_a_new_key_and_the_old_one_works_on(world, operator):
    async with with_a_key(world):
        old, _ = await shown_key(world)
        if operator == "up":
            await world.delete(SECRET, KEY_SECRET)
            await until(lambda: has_states(world, "Current", "Previous"))
    if operator == "down":
        await world.delete(SECRET, KEY_SECRET)
        async with running(world):
            await until(lambda: has_states(world, "Current", "Previous"))
    found = await states(world)
    assert found[1] == (old, "Previous")
    assert (await accepted(world)).keys() == {key_id for key_id, _ in found}


async def test_another_secret_name_moves_the_same_key(world):
    async with with_a_key(world):
        old = await shown_key(world)
        before = (await world.document()).sequence
        await world.update(INFERENCE_CLIENT, CLIENT, lambda spec: spec["apiKey"].update(secretName="renamed"))

        async def moved():
            return await shown_key(world, NamespacedName("search", "renamed")) == old and (
                await world.secret(KEY_SECRET) is None
            )

        await until(moved)
        assert (await accepted(world)).keys() == {old[0]}
        assert (await world.document()).sequence == before


async def test_a_restored_secret_is_adopted_where_a_person_asks_for_it(world):
    async with with_a_key(world):
        old = await shown_key(world)
        secret = await world.find(SECRET, KEY_SECRET)
    await world.delete(INFERENCE_CLIENT, CLIENT)
    await world.delete(SECRET, KEY_SECRET)
    secret["metadata"] = {key: secret["metadata"][key] for key in ("name", "namespace", "labels", "annotations")}
    secret["metadata"]["annotations"]["nightlatch.dev/adopt"] = "yes"
    await world.store.create(secret)
    await world.store.create(client_object(CLIENT, ENDPOINT))
    async with running(world, refuses=True):
        await until(lambda: has_states(world, "Current"))
        assert await shown_key(world) == old
        found = await world.find(SECRET, KEY_SECRET)
        client = await world.find(INFERENCE_CLIENT, CLIENT)
        assert found["metadata"]["ownerReferences"][0]["uid"] == client["metadata"]["uid"]
        assert "nightlatch.dev/adopt" not in found["metadata"]["annotations"]


async def test_a_revoked_key_gets_a_successor_and_revoked_names_the_gateway_that_is_missing(world):
    async with with_a_key(world, refuses=True) as gateways:
        old, _ = await shown_key(world)
        gateways.behind = "gw-1"
        await world.update(INFERENCE_CLIENT, CLIENT, lambda spec: spec["apiKey"].update(revokedKeyIds=[old]))

        async def waits():
            found = await world.find(INFERENCE_CLIENT, CLIENT)
            revoked = next(each for each in found["status"]["conditions"] if each["type"] == "Revoked")
            return revoked["reason"] == "WaitingForGateways" and "gw-1" in revoked["message"]

        await until(waits)
        assert (await shown_key(world))[0] != old
        gateways.behind = None

        async def done():
            return await world.condition(INFERENCE_CLIENT, CLIENT, "Revoked") == ("True", "Revoked")

        await until(done)
        await until(lambda: has_states(world, "Current", "Revoked"))
        await world.update(INFERENCE_CLIENT, CLIENT, lambda spec: spec["apiKey"].update(revokedKeyIds=[]))
        await asyncio.sleep(0.3)
        assert old not in await accepted(world)


async def test_an_unknown_id_is_told_with_the_ids_that_the_client_has(world):
    async with with_a_key(world):
        await world.update(INFERENCE_CLIENT, CLIENT, lambda spec: spec["apiKey"].update(revokedKeyIds=["TYPOTYPOTYPO"]))

        async def told():
            return await world.condition(INFERENCE_CLIENT, CLIENT, "Revoked") == ("False", "UnknownKeyId")

        await until(told)

        async def ready():
            return await world.condition(INFERENCE_CLIENT, CLIENT, "Ready") == ("True", "Ready")

        await until(ready)


async def test_no_key_and_no_digest_is_outside_the_data_of_its_secret(world):
    async with with_a_key(world):
        await annotate(world, "now")
        await until(lambda: has_states(world, "Current", "Previous"))
        _, digest = await shown_key(world)
        text = (await world.secret(KEY_SECRET))["api-key"]
        secret = await world.find(SECRET, KEY_SECRET)
        client = await world.find(INFERENCE_CLIENT, CLIENT)
        told = orjson.dumps([secret["metadata"], client])
        assert text not in told
        assert digest.encode() not in told
