"""What is revoked is refused within a second: a key, a suspended client, a removed grant, a deleted client.

`refusals.py` says how it is measured; test_client_certificates.py does the same for certificates.
"""

from collections.abc import AsyncIterator, Callable
from dataclasses import replace

import pytest

from nightlatch.kube.client import connect
from tests.cluster.installation import Caller, Installation, endpoint
from tests.cluster.refusals import BOUND_S, World, Write, deleted, removed_from_spec, slowest, suspended

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]

NAMESPACE = "revocation"


@pytest.fixture(scope="module")
async def world(installation: Installation, times: Callable[..., int]) -> AsyncIterator[World]:
    namespace = installation.namespace(NAMESPACE)
    # A client may name 128 endpoints at most.
    names = [f"e{number}" for number in range(times(8, soak=127))]
    held = endpoint("held", namespace, idle_after="1s")
    installation.apply(*(endpoint(name, namespace) for name in names), held)
    gateways = installation.gateway_addresses()
    assert len(gateways) == 2
    async with await connect(installation.kubeconfig) as api:
        made = World(installation, api, gateways, namespace, names, "held")
        for name in (*names, "held"):
            installation.ready(name, namespace, timeout=600)
        yield made
    installation.kubectl("delete", "ie,ic", "--all", "-n", namespace, "--wait=false")


async def key_revoked(world: World, caller: Caller) -> None:
    await world.patch({"apiKey": {"revokedKeyIds": [caller.key.split("_")[1]]}})


@pytest.mark.parametrize("write", [key_revoked, suspended, removed_from_spec, deleted], ids=lambda each: each.__name__)
async def test_access_that_ends_is_refused_by_every_gateway_within_a_second(
    world: World, write: Write, times: Callable[..., int]
) -> None:
    assert await slowest(replace(world, names=world.names[:4]), write, times(2, soak=50)) <= BOUND_S


@pytest.mark.parametrize("write", [suspended, deleted], ids=lambda each: each.__name__)
async def test_access_to_each_of_many_endpoints_ends_within_a_second(
    world: World, write: Write, times: Callable[..., int]
) -> None:
    """In a soak the client names as many endpoints as it may."""
    assert await slowest(world, write, times(1, soak=10)) <= BOUND_S
