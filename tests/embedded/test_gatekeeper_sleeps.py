"""Going to sleep with two gateways: everyone must be quiet, and a held call anywhere keeps the endpoint awake."""

import asyncio

import pytest

from tests.embedded.gatekeeper_lab import Lab, Leader, eventually, infer

GATEWAYS = ("gateway-0", "gateway-1")


@pytest.fixture
async def lab(tmp_path):
    lab = Lab(tmp_path, gateways=2)
    lab.replica(ready=True)
    await lab.put(lab.document())
    await lab.start()
    try:
        for gateway in lab.gateways:
            await gateway.ready()
        yield lab
    finally:
        lab.stop()


@pytest.fixture
async def leader(lab):
    leader = Leader(lab)
    for gateway in GATEWAYS:
        await leader.until(gateway, lambda said: said.phase == "Warm" and said.in_flight == 0, "warm, load known")
    yield leader
    await leader.stop()


async def drained(leader: Leader, gateway: str, epoch: int) -> None:
    await leader.until(
        gateway,
        lambda said: (said.phase, said.epoch, said.in_flight, said.held) == ("Holding", epoch, 0, 0),
        f"holding({epoch}), nothing in flight",
    )


async def test_sleep_of_two_gateways_and_the_next_wake_lose_nothing(lab, leader) -> None:
    slow = asyncio.Event()
    lab.upstream().pause = slow
    async with lab.client(0) as first, lab.client(1) as second:
        under_way = asyncio.create_task(infer(second))
        await leader.until("gateway-1", lambda said: said.in_flight == 1, "a call is in flight on the second")
        leader.tell("Draining", 7)
        await drained(leader, "gateway-0", 7)
        said = leader.said("gateway-1")
        assert said.in_flight != 0
        lab.loop.loop.call_soon_threadsafe(slow.set)
        assert (await under_way).status_code == 200
        await drained(leader, "gateway-1", 7)
        leader.tell("Asleep", 7)
        for gateway in GATEWAYS:
            await leader.until(gateway, lambda said: (said.phase, said.epoch) == ("Cold", 7), "cold(7)")
        lab.no_replica()
        received = len(lab.upstream().received)
        held = [asyncio.create_task(infer(client)) for client in (first, second) for _ in range(20)]
        for gateway in GATEWAYS:
            await leader.until(gateway, lambda said: said.held == 20, "held as demand")
        assert len(lab.upstream().received) == received
        leader.tell("Waking", 8)
        lab.replica(number=2)
        assert [answer.status_code for answer in await asyncio.gather(*held)] == [200] * 40


async def test_a_call_held_on_one_gateway_keeps_the_endpoint_awake_on_both(lab, leader) -> None:
    async with lab.client(0) as first, lab.client(1) as second:
        leader.tell("Draining", 7)
        for gateway in GATEWAYS:
            await drained(leader, gateway, 7)
        assert (await infer(second)).status_code == 200
        await leader.until("gateway-1", lambda said: (said.phase, said.refused_epoch) == ("Warm", 7), "refused(7)")
        # The leader may have decided before it heard of the refusal: only the other one empties.
        leader.tell("Asleep", 7)
        await leader.until("gateway-0", lambda said: (said.phase, said.epoch) == ("Cold", 7), "cold(7)")
        assert leader.said("gateway-1").phase == "Warm"
        held = asyncio.create_task(infer(first))
        await leader.until("gateway-0", lambda said: said.held == 1, "held on the emptied one")
        leader.tell("Awake", 8)
        assert (await held).status_code == 200
        await leader.until("gateway-0", lambda said: said.phase == "Warm", "warm again")


async def test_steady_calls_during_drains_are_all_answered(lab, leader) -> None:
    statuses: list[int] = []
    stop = asyncio.Event()

    async def caller(gateway: int) -> None:
        async with lab.client(gateway) as client:
            while not stop.is_set():
                statuses.append((await infer(client)).status_code)

    callers = [asyncio.create_task(caller(gateway)) for gateway in (0, 1) for _ in range(2)]
    for epoch in range(10, 20, 2):
        count = len(statuses)
        leader.tell("Draining", epoch)
        await leader.until("gateway-0", lambda said, epoch=epoch: said.refused_epoch == epoch, "refused")
        leader.tell("Awake", epoch + 1)
        await eventually(lambda count=count: len(statuses) > count + 20, "calls go on")
    stop.set()
    await asyncio.gather(*callers)
    assert set(statuses) == {200}
