"""Writes that fail: another writer was faster, the store did not answer. All of it comes right in the end, once."""

import asyncio

import pytest

from nightlatch import api_keys
from nightlatch.api import names
from nightlatch.api.meta import INFERENCE_CLIENT, SECRET, NamespacedName, ObjectRef
from nightlatch.logs import JsonLines
from nightlatch.store.protocol import ConflictError, UnavailableError
from tests.unit.controller.world import CLIENT, ENDPOINT, World, client_object, endpoint_object, until

KEY_SECRET = NamespacedName("search", "bot-key")


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
    assert api_keys.parse(minted["api-key"].decode())
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
    await world.store.create(endpoint_object(NamespacedName("search", "sick")))
    ensure = world.workloads.ensure

    async def stumble(workload):
        if workload.endpoint.name == "sick":
            raise KeyError("nl_secret_text")
        await ensure(workload)

    world.workloads.ensure = stumble
    async with world.running():
        await until(lambda: _has(world, ENDPOINT))
        await until(lambda: _logged(caplog, "KeyError"))
    assert "nl_secret_text" not in "".join(map(JsonLines().format, caplog.records))


async def _granted(world):
    data = await world.secret(KEY_SECRET)
    return data is not None and await world.digests() == {api_keys.digest(data["api-key"].decode())}


async def _ready(world):
    status, _ = await world.condition(INFERENCE_CLIENT, CLIENT, "CredentialsReady")
    return status == "True"


async def _is_gone(world):
    return await world.find(SECRET, KEY_SECRET) is None


async def _has(world, key):
    return key in world.workloads.workloads


async def _logged(caplog, error):
    return error in {getattr(record, "error", "") for record in caplog.records}


class Wrapped:
    """A store whose methods of the given names are replaced."""

    def __init__(self, store, **replaced):
        self._store = store
        for name, method in replaced.items():
            setattr(self, name, method)

    def __getattr__(self, name):
        return getattr(self._store, name)


async def test_the_key_secret_stays_until_no_document_holds_the_key(world):
    await world.store.create(endpoint_object())
    await world.store.create(client_object(CLIENT, ENDPOINT))
    real, refused, open_again = world.store, [], asyncio.Event()

    async def replace(obj):
        if not open_again.is_set() and obj["metadata"]["labels"].get(names.LABEL_ROLE) == names.ROLE_ROUTE_DOCUMENT:
            refused.append(obj)
            raise UnavailableError("not now")
        return await real.replace(obj)

    async with world.running():
        await until(lambda: _granted(world))
    world.store = Wrapped(real, replace=replace)
    async with world.running():
        world.store = real
        await real.delete(ObjectRef(INFERENCE_CLIENT.kind, CLIENT))
        await until(lambda: _longer(refused, 3))
        assert not await _is_gone(world)
        open_again.set()
        await until(lambda: _is_gone(world))


async def test_a_slow_list_at_the_start_takes_no_key_away(world):
    await world.store.create(endpoint_object())
    await world.store.create(client_object(CLIENT, ENDPOINT))
    async with world.running():
        await until(lambda: _granted(world))
    before, real, listed = await world.document(), world.store, asyncio.Event()

    async def slowly(kind, *, namespace=None, labels=None):
        if labels == {names.LABEL_ROLE: names.ROLE_API_KEY}:
            await listed.wait()
        return await real.list(kind, namespace=namespace, labels=labels)

    world.store = Wrapped(real, list=slowly)
    async with world.running() as controller:
        world.store = real
        # Long enough for a reconcile that would not wait; nothing can be waited for that must not happen.
        await asyncio.sleep(0.5)
        assert await world.document() == before
        listed.set()
        await until(lambda: _settled(world, controller))
        assert await world.document() == before


async def _longer(collection, length):
    return len(collection) >= length


async def _settled(world, controller):
    return ENDPOINT in world.workloads.workloads and not controller.queue.busy()
