"""Writes that fail: another writer was faster, the store did not answer. All of it comes right in the end, once."""

import pytest
from tests.unit.controller.world import CLIENT, ENDPOINT, World, client_object, endpoint_object, until

from nightlatch import keys
from nightlatch.api.meta import INFERENCE_CLIENT, SECRET, Key, ObjectRef
from nightlatch.store.protocol import ConflictError, UnavailableError

KEY_SECRET = Key("search", "bot-key")


class Failing:
    """A store of which the first `times` calls of each method of `failing` raise."""

    def __init__(self, store, failing, error, times=2):
        self._store, self._failing, self._error, self._times = store, failing, error, times
        self.failed = []

    def __getattr__(self, name):
        method = getattr(self._store, name)
        if name not in self._failing:
            return method

        async def maybe(*args, **kwargs):
            if self.failed.count(name) < self._times:
                self.failed.append(name)
                raise self._error("the store said no")
            return await method(*args, **kwargs)

        return maybe


@pytest.fixture
def world(tmp_path):
    return World(tmp_path / "state")


@pytest.mark.parametrize("error", [ConflictError, UnavailableError])
@pytest.mark.parametrize("method", ["create", "replace", "replace_status", "delete"])
async def test_a_write_that_fails_is_made_later_and_not_twice(world, method, error):
    await world.store.create(endpoint_object())
    await world.store.create(client_object(CLIENT, ENDPOINT))
    real = world.store
    world.store = failing = Failing(real, {method}, error)
    async with world.running():
        world.store = real
        await until(lambda: _granted(world))
        minted = await world.secret(KEY_SECRET)
        await until(lambda: _ready(world))
        await real.delete(ObjectRef(INFERENCE_CLIENT.kind, CLIENT))
        await until(lambda: _is_gone(world))
    assert failing.failed == [method] * 2
    assert keys.parse(minted["api-key"].decode())
    assert await world.digests() == set()


async def test_reads_that_fail_at_the_start_are_repeated(world):
    await world.store.create(endpoint_object())
    real = world.store
    world.store = Failing(real, {"list", "get"}, UnavailableError)
    async with world.running():
        world.store = real
        await until(world.document)


async def test_a_defect_in_one_reconcile_shows_by_type_and_stops_nobody_else(world, caplog):
    await world.store.create(endpoint_object())
    await world.store.create(endpoint_object(Key("search", "sick")))
    ensure = world.workloads.ensure

    async def stumble(workload):
        if workload.endpoint.name == "sick":
            raise KeyError("nl_secret_text")
        await ensure(workload)

    world.workloads.ensure = stumble
    async with world.running():
        await until(lambda: _has(world, ENDPOINT))
        await until(lambda: _logged(caplog, "KeyError"))
    assert "nl_secret_text" not in caplog.text


async def _granted(world):
    data = await world.secret(KEY_SECRET)
    return data is not None and await world.digests() == {keys.digest(data["api-key"].decode())}


async def _ready(world):
    status, _ = await world.condition(INFERENCE_CLIENT, CLIENT, "Ready")
    return status == "True"


async def _is_gone(world):
    return await world.find(SECRET, KEY_SECRET) is None


async def _has(world, key):
    return key in world.workloads.workloads


async def _logged(caplog, text):
    return text in caplog.text
