"""What the index learns of our objects, from the store or from kopf, in whatever order, with deletions that hang."""

import asyncio
import contextlib
import secrets

import pytest

from nightlatch.api.meta import INFERENCE_CLIENT, NamespacedName
from nightlatch.controller.cluster.kopf_watch import KopfEvents
from nightlatch.controller.context import Context
from nightlatch.controller.index import Index
from nightlatch.controller.watches import informers
from nightlatch.informer import ExpiredError, Listing
from nightlatch.store.files.store import FilesStore
from tests.unit.controller.world import (
    CLIENT,
    ENDPOINT,
    SETTINGS,
    World,
    client_object,
    endpoint_object,
    until,
)

FINALIZED = {"deletionTimestamp": "2026-01-01T00:00:00Z", "finalizers": ["argocd.example/hold"]}


class HoldingDeletions(FilesStore):
    """Shows every client as being deleted, while `held`: as if another controller's finalizer held it."""

    held = False
    expired = False

    async def get(self, *args, **kwargs):
        return self._shown(await super().get(*args, **kwargs))

    async def list(self, *args, **kwargs):
        listing = await super().list(*args, **kwargs)
        return Listing(tuple(self._shown(item) for item in listing.items), listing.resource_version)

    async def watch(self, *args, **kwargs):
        async for event in super().watch(*args, **kwargs):
            if self.expired:
                raise ExpiredError("the watch is too far behind")
            yield event

    def _shown(self, raw):
        if not self.held or raw["kind"] != INFERENCE_CLIENT.kind:
            return raw
        return {**raw, "metadata": {**raw["metadata"], **FINALIZED}}


@pytest.fixture
async def world(tmp_path):
    world = World(tmp_path / "state")
    world.store = HoldingDeletions(tmp_path / "state")
    await world.store.create(endpoint_object())
    await world.store.create(client_object(CLIENT, ENDPOINT))
    return world


async def test_a_client_whose_deletion_is_held_loses_its_key_under_a_new_leader(world):
    async with world.running():
        await until(world.digests)
    world.store.held = True
    async with world.running():

        async def lost():
            return await world.digests() == set() and await world.secret(NamespacedName("search", "bot-key")) is None

        await until(lost)


async def test_a_client_whose_deletion_is_held_loses_its_key_after_a_relist(world):
    async with world.running():
        await until(world.digests)
        world.store.held = True
        # Each watch ends with its next event or bookmark, so everything is listed again.
        world.store.expired = True

        async def lost():
            return await world.digests() == set()

        await until(lost)


async def test_what_is_being_deleted_is_not_found(world):
    context = Context(world.store, world.workloads, world.now, secrets.token_bytes)
    assert await context.find(INFERENCE_CLIENT, CLIENT)
    world.store.held = True
    assert await context.find(INFERENCE_CLIENT, CLIENT) is None


class Listed:
    """A store with one list of clients, which only kopf follows."""

    def __init__(self, version, *clients):
        self.version, self.clients, self.lists = version, clients, 0

    async def list(self, kind, **_):
        self.lists += kind == INFERENCE_CLIENT
        return Listing(self.clients if kind == INFERENCE_CLIENT else (), str(self.version))

    async def watch(self, *_, **__):
        await asyncio.Event().wait()
        yield


def client(version, uid="uid-2", generation=1, suspend=False, **metadata):
    raw = client_object(CLIENT, ENDPOINT, suspend=suspend)
    raw["metadata"] |= {"uid": uid, "generation": generation, "resourceVersion": str(version), **metadata}
    return raw


@contextlib.asynccontextmanager
async def told_by_kopf(store):
    """The index, and `tell(type, raw)` as kopf calls its handlers."""
    kopf, index = KopfEvents(None, "operator-0"), Index(SETTINGS)
    followed = informers(store, index, lambda _: None, kopf.watch)
    take = kopf._taker(INFERENCE_CLIENT)

    async def tell(type_, raw):
        await take(event={"type": type_, "object": raw})
        for _ in range(10):
            await asyncio.sleep(0)

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(each.run()) for each in followed]
        for each in followed:
            await each.synced.wait()
        yield index, tell
        for task in tasks:
            task.cancel()


async def test_the_deletion_of_a_predecessor_leaves_the_client_that_is_there():
    """kopf has a worker for each uid, so the old one's deletion may come after the new one's creation."""
    async with told_by_kopf(Listed(5)) as (index, tell):
        await tell("ADDED", client(11))
        await tell("DELETED", client(10, uid="uid-1"))
        assert CLIENT in index.clients
        await tell("DELETED", client(12))
        assert CLIENT not in index.clients


async def test_an_old_event_does_not_lift_a_suspension():
    async with told_by_kopf(Listed(9, client(8, generation=3, suspend=True))) as (index, tell):
        await tell("MODIFIED", client(7, generation=2))
        assert index.clients[CLIENT].spec.suspend
        await tell(None, client(8, generation=3, suspend=True))
        await tell("MODIFIED", client(12, generation=4))
        assert not index.clients[CLIENT].spec.suspend


async def test_an_old_event_does_not_bring_back_a_client_that_the_list_no_longer_had():
    async with told_by_kopf(Listed(9)) as (index, tell):
        await tell("MODIFIED", client(7))
        assert CLIENT not in index.clients


async def test_kopf_tells_of_deletions_that_hang():
    async with told_by_kopf(Listed(9, client(8))) as (index, tell):
        await tell("MODIFIED", client(12, **FINALIZED))
        assert CLIENT not in index.clients
        await tell("MODIFIED", client(13, **FINALIZED))
        assert CLIENT not in index.clients


async def test_a_client_whose_deletion_hangs_is_not_listed():
    async with told_by_kopf(Listed(9, client(8, **FINALIZED))) as (index, _):
        assert CLIENT not in index.clients
