"""A revocation is one small write that waits for no document, and it leaves no trace once they are all applied."""

import asyncio

import pytest

from nightlatch.api import names
from nightlatch.api.meta import INFERENCE_CLIENT, NamespacedName
from nightlatch.scaling.runtime import EndpointRuntime
from nightlatch.wire import route_document as routing
from nightlatch.wire.revocations import decode_revocations
from tests.unit.controller.world import CLIENT, ENDPOINT, SETTINGS, World, client_object, endpoint_object, until

ENDPOINTS = [NamespacedName("search", f"e{number}") for number in range(12)]
REVOCATIONS = NamespacedName(SETTINGS.gateway_namespace, names.REVOCATIONS_SECRET)
WORKERS = 5


@pytest.fixture
def world(tmp_path):
    return World(tmp_path / "state")


class Writes:
    """The names of the Secrets of the gateway's namespace in the order of their writes."""

    def __init__(self, store):
        self.names = []
        self._replace, self._create = store.replace, store.create
        store.replace, store.create = self.replace, self.create

    def _note(self, obj):
        if obj["kind"] == "Secret" and obj["metadata"]["namespace"] == SETTINGS.gateway_namespace:
            self.names.append(obj["metadata"]["name"])

    async def replace(self, obj):
        self._note(obj)
        return await self._replace(obj)

    async def create(self, obj):
        self._note(obj)
        return await self._create(obj)


async def revocations(world):
    data = await world.secret(REVOCATIONS)
    return decode_revocations(data) if data else None


async def key_ids(world, endpoint):
    document = await world.document(endpoint)
    return {grant.key_id for grant in document.keys} if document else None


def applied(controller, endpoint, sequence):
    runtime = EndpointRuntime(applied={"gw-0": sequence}, formats={"gw-0": routing.FORMAT})
    controller.runtime_status.put(endpoint, runtime)


async def everything_applied(world, controller, endpoints):
    """As a gateway would report it."""
    for endpoint in endpoints:
        applied(controller, endpoint, (await world.document(endpoint)).sequence)


async def granted(world, endpoints, *, other_than=None):
    """The id of the one key in all documents, once there is one."""

    async def everywhere():
        found = {frozenset(await key_ids(world, endpoint) or ()) for endpoint in endpoints}
        (ids,) = found if len(found) == 1 else (frozenset(),)
        return next(iter(ids)) if len(ids) == 1 and other_than not in ids else None

    return await until(everywhere)


async def says(world, clients, keys):
    async def holds():
        found = await revocations(world)
        return found and (found.clients, found.keys) == (frozenset(clients), frozenset(keys))

    await until(holds)


@pytest.mark.parametrize("how", ["deleted", "suspended", "let go"])
async def test_a_client_of_many_endpoints_is_revoked_by_one_write_that_waits_for_no_document(world, how):
    for endpoint in ENDPOINTS:
        await world.store.create(endpoint_object(endpoint))
    await world.store.create(client_object(CLIENT, *ENDPOINTS))
    async with world.running() as controller:
        key_id = await granted(world, ENDPOINTS)
        await everything_applied(world, controller, ENDPOINTS)
        await until(lambda: idle(controller))
        writes = Writes(world.store)
        if how == "deleted":
            await world.delete(INFERENCE_CLIENT, CLIENT)
        else:
            change = {"suspend": True} if how == "suspended" else {"endpoints": [{"name": "nobody"}]}
            await world.update(INFERENCE_CLIENT, CLIENT, lambda spec: spec.update(change))
        await says(world, {CLIENT}, {key_id})
        # Taken first; the other workers have begun with a document each by then.
        assert writes.names.index(names.REVOCATIONS_SECRET) < WORKERS
        written = (await revocations(world)).sequence

        async def is_told():
            return world.scaling.documents.get(names.REVOCATIONS_SECRET) == written

        # The gateways hear of it just after the write.
        await until(is_told)

        async def narrowed():
            return all([await key_ids(world, endpoint) == set() for endpoint in ENDPOINTS])

        await until(narrowed)
        # The documents say so too, but the gateway has not applied them all.
        await everything_applied(world, controller, ENDPOINTS[1:])
        await asyncio.sleep(2.5)
        await says(world, {CLIENT}, {key_id})
        await everything_applied(world, controller, ENDPOINTS)
        await says(world, (), ())
        assert writes.names.count(names.REVOCATIONS_SECRET) == 2


async def test_a_client_that_is_let_in_again_is_not_kept_out_by_its_revocation(world):
    await world.store.create(endpoint_object())
    await world.store.create(client_object(CLIENT, ENDPOINT))
    async with world.running():
        old = await granted(world, [ENDPOINT])
        await world.update(INFERENCE_CLIENT, CLIENT, lambda spec: spec.update(suspend=True))
        await says(world, {CLIENT}, {old})
        await world.update(INFERENCE_CLIENT, CLIENT, lambda spec: spec.update(suspend=False))
        await says(world, (), ())
        # No gateway reports, so nothing is known to be applied: a new client of the name is free, the old key is not.
        await world.delete(INFERENCE_CLIENT, CLIENT)
        await says(world, {CLIENT}, {old})
        await world.store.create(client_object(CLIENT, ENDPOINT))
        await says(world, (), {old})
        assert await granted(world, [ENDPOINT], other_than=old)


async def test_a_revoked_key_is_refused_and_its_client_is_not(world):
    await world.store.create(endpoint_object())
    await world.store.create(client_object(CLIENT, ENDPOINT))
    async with world.running():
        key_id = await granted(world, [ENDPOINT])
        await world.update(INFERENCE_CLIENT, CLIENT, lambda spec: spec["apiKey"].update(revokedKeyIds=[key_id]))
        await says(world, (), {key_id})
        assert await granted(world, [ENDPOINT], other_than=key_id)


async def test_a_client_that_loses_one_of_its_endpoints_is_not_revoked(world):
    for endpoint in ENDPOINTS[:2]:
        await world.store.create(endpoint_object(endpoint))
    await world.store.create(client_object(CLIENT, *ENDPOINTS[:2]))
    async with world.running() as controller:
        await granted(world, ENDPOINTS[:2])
        await world.update(INFERENCE_CLIENT, CLIENT, lambda spec: spec.update(endpoints=[{"name": "e1"}]))
        await until(lambda: equals(key_ids(world, ENDPOINTS[0]), set()))
        await until(lambda: idle(controller))
        assert await revocations(world) is None


async def test_documents_follow_the_formats_that_gateways_read(world):
    await world.store.create(endpoint_object())
    async with world.running() as controller:
        await until(world.document)
        for reads, wanted in (
            ({"gw-0": 2, "gw-1": 2}, 2),
            ({"gw-0": 2, "gw-1": 1}, 1),
            ({"gw-0": routing.FORMAT + 1}, routing.FORMAT),
        ):
            controller.runtime_status.put(ENDPOINT, EndpointRuntime(formats=reads))
            await until(lambda wanted=wanted: equals(format_of(world), wanted))


async def format_of(world):
    data = await world.secret(NamespacedName(SETTINGS.gateway_namespace, names.route_document(ENDPOINT)))
    return routing.read_envelope(data).format


async def equals(found, wanted):
    return await found == wanted


async def idle(controller):
    return not controller.queue.busy()
