"""The main rows against a whole `nightlatch up`: operator, gatekeeper, Envoy, and a real model server that sleeps."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from tests.attack.up_world import ROWS, UpWorld, ready, two_endpoints
from tests.embedded.running import Up


@pytest.fixture(scope="module")
async def world(lasting: Callable[..., Up], tiny: Any, tmp_path_factory: pytest.TempPathFactory) -> UpWorld:
    logs = tmp_path_factory.mktemp("logs")
    up = lasting(two_endpoints(tiny, logs))
    await ready(up)
    return UpWorld(up, logs / "one.log")


async def test_a_sleeping_endpoint_refuses_each_row_and_nothing_wakes(world: UpWorld):
    up = world.up
    await up.asleep("one")
    woke, checks = (await up.view("one")).wake_at, up.probe.checks()
    tried = [(row, protocol) for row in ROWS for protocol in row.over]
    for row, protocol in tried:
        await world.refuse(row, protocol)
    await world.proves(tried)
    assert up.probe.checks() == checks
    assert up.probe.model_servers() == 0
    seen = await up.view("one")
    assert (seen.state, seen.replicas, seen.wake_at) == ("Asleep", 0, woke)
    assert world.reached == 0


async def test_an_endpoint_that_is_awake_refuses_each_row_and_lets_each_twin_through(world: UpWorld):
    tried = [(row, protocol) for row in ROWS for protocol in row.over if protocol != "grpc"]
    for row, protocol in tried:
        reached = world.reached
        await world.refuse(row, protocol)
        twin = await asyncio.to_thread(world.wire.send, row.twin, protocol)
        assert twin.status == 200, (row, protocol, twin)
        # The model server writes its line after the answer; one of the refused call would be there before it.
        await world.up.until("the twin's line", lambda before=reached: world.reached > before)
        assert world.reached == reached + 1, (row, protocol)
    await world.proves(tried)
