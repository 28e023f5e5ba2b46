"""Nothing lost at zero: held calls are answered by the fresh pod, and going to sleep loses none, with two gateways."""

import asyncio

import pytest

from tests.cluster.installation import Caller, Installation, client, endpoint, eventually

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]

CLIENTS, CALLS_EACH = 4, 50
CYCLES = 10


@pytest.mark.parametrize("http2", [False, True], ids=["HTTP/1.1", "HTTP/2"])
async def test_200_calls_to_a_sleeping_endpoint_are_answered_by_one_wake(installation: Installation, http2: bool):
    namespace = installation.namespace("burst")
    bots = [f"bot-{index}" for index in range(CLIENTS)]
    installation.apply(endpoint("one", namespace), *(client(bot, namespace, "one") for bot in bots))
    installation.ready("one", namespace)
    callers = [installation.caller(bot, "one", namespace) for bot in bots]
    await eventually(lambda: installation.asleep("one", namespace), "asleep")
    scaled = wakes(installation, namespace)

    clients = [caller.client(http2=http2, connections=CALLS_EACH) for caller in callers]
    body = {"model": "one", "input": ["A cat sleeps."]}
    answers = await asyncio.gather(
        *(each.post("/v1/embeddings", json=body) for each in clients for _ in range(CALLS_EACH))
    )
    await asyncio.gather(*(each.aclose() for each in clients))

    assert [answer.status_code for answer in answers] == [200] * (CLIENTS * CALLS_EACH), answers[0].text
    assert len(installation.pods("one", namespace)) == 1
    await eventually(lambda: wakes(installation, namespace) == scaled + 1, "one Awake event")
    await eventually(lambda: installation.asleep("one", namespace), "asleep again")


def wakes(installation: Installation, namespace: str) -> int:
    """How many Events say that the endpoint began to wake."""
    events = installation.objects("events", namespace, fieldSelector="reason=Waking")
    return sum(event.get("count") or 1 for event in events)


async def test_steady_load_over_ten_sleeps_loses_nothing(installation: Installation):
    """Each round calls until about the moment the endpoint falls asleep, then over it; both gateways take part."""
    namespace = installation.namespace("steady")
    installation.apply(endpoint("one", namespace, idle_after="1s"), client("bot", namespace, "one"))
    installation.ready("one", namespace)
    caller = installation.caller("bot", "one", namespace)
    statuses: list[int] = []
    cycles = rounds = 0
    while cycles < CYCLES:
        statuses += [status for each in await asyncio.gather(*(calls(caller) for _ in range(6))) for status in each]
        # Pauses around the time that falling asleep takes: calls meet an endpoint awake, draining, asleep and waking.
        await asyncio.sleep(3.0 + 1.5 * (rounds % 6))
        rounds += 1
        cycles = slept(installation, namespace)
        assert rounds < 150, f"only {cycles} cycles in {rounds} rounds"
    assert set(statuses) == {200}, f"{len(statuses)} calls in {rounds} rounds: {statuses}"


def slept(installation: Installation, namespace: str) -> int:
    events = installation.objects("events", namespace, fieldSelector="reason=Asleep")
    return sum(event.get("count") or 1 for event in events)


async def calls(caller: Caller) -> list[int]:
    """Four calls on a connection of their own, so that the Service spreads them over the gateways."""
    async with caller.client() as http:
        body = {"model": caller.model, "input": ["A cat sleeps."]}
        return [(await http.post("/v1/embeddings", json=body)).status_code for _ in range(4)]
