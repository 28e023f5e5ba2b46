"""Which endpoints the controller hands to the autoscaler, when, and with which spec."""

import asyncio

import pytest

from nightlatch.api.meta import INFERENCE_CLIENT, INFERENCE_ENDPOINT, NamespacedName
from nightlatch.controller.autoscaling.runtime_status import RuntimeStatus
from nightlatch.controller.index import Index
from nightlatch.controller.reconcilers.endpoint import EndpointReconciler
from nightlatch.store.protocol import UnavailableError
from tests.unit.controller.world import (
    CLIENT,
    ENDPOINT,
    SETTINGS,
    RememberedScaling,
    World,
    client_object,
    endpoint_object,
    until,
)


@pytest.fixture
def world(tmp_path):
    return World(tmp_path / "state")


def idle_after(world, key=ENDPOINT):
    desired = world.scaling.desired.get(key)
    return desired.scaling.idle_after if desired else None


def keeps(world, seconds):
    async def holds():
        return idle_after(world) == seconds

    return holds


async def rejected(world, key=ENDPOINT):
    return (await world.condition(INFERENCE_ENDPOINT, key, "Accepted"))[0] == "False"


async def test_an_accepted_spec_is_declared_and_so_is_its_successor(world):
    created = await world.store.create(endpoint_object(scaling={"idleAfter": "1m"}))
    async with world.running():
        await until(keeps(world, 60))
        assert world.scaling.desired[ENDPOINT].uid == created["metadata"]["uid"]
        await world.update(INFERENCE_ENDPOINT, ENDPOINT, lambda spec: spec["scaling"].update(idleAfter="2m"))
        await until(keeps(world, 120))


async def test_a_rejected_spec_leaves_the_last_good_scaling(world):
    await world.store.create(endpoint_object(scaling={"idleAfter": "1m"}))
    async with world.running():
        await until(keeps(world, 60))
        change = {"idleAfter": "2m", "idle": "Standby"}
        await world.update(INFERENCE_ENDPOINT, ENDPOINT, lambda spec: spec["scaling"].update(change))
        await until(lambda: rejected(world))
        assert idle_after(world) == 60


async def test_a_spec_that_was_never_accepted_is_not_declared(world):
    await world.store.create(endpoint_object(scaling={"idle": "Standby"}))
    async with world.running():
        await until(lambda: rejected(world))
        assert world.scaling.desired == {}


def test_of_two_that_claim_a_host_the_owner_alone_is_declared():
    # The file store admits no such names; a cluster's namespace called svc makes the same conflict.
    index, scaling = Index(SETTINGS), RememberedScaling(RuntimeStatus())
    older, younger = NamespacedName("c", "a.b"), NamespacedName("b.c", "a")
    for day, key in enumerate((older, younger), start=1):
        raw = endpoint_object(key)
        raw["metadata"] |= {"uid": f"uid-{day}", "generation": 1, "creationTimestamp": f"2026-01-0{day}T00:00:00Z"}
        index.put(raw)
    EndpointReconciler(None, None, index, None, scaling, SETTINGS, None).declare_scaling()
    assert set(scaling.desired) == {older}


async def test_a_deleted_endpoint_is_forgotten(world):
    await world.store.create(endpoint_object())
    async with world.running():
        await until(keeps(world, 300))
        await world.delete(INFERENCE_ENDPOINT, ENDPOINT)
        await until(keeps(world, None))


async def test_a_new_leader_declares_before_it_reads_or_writes_anything_for_an_endpoint(world):
    await world.store.create(endpoint_object())
    await world.store.create(client_object(CLIENT, ENDPOINT))
    real, answers = world.store, asyncio.Event()

    class Silent:
        """Lists and watches; does not answer about a single object."""

        def __getattr__(self, name):
            if name in {"list", "watch"}:
                return getattr(real, name)
            return self._refuse

        async def _refuse(self, kind, *_args, **_kwargs):
            if kind in {INFERENCE_ENDPOINT, INFERENCE_CLIENT}:
                await answers.wait()
            raise UnavailableError("not now")

    world.store = Silent()
    async with world.running():
        world.store = real
        await until(keeps(world, 300))
        assert world.workloads.workloads == {}
