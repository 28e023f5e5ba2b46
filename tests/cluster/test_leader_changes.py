"""One operator acts, another takes over: warm calls never notice, held ones are served by the next leader."""

import asyncio
import time

import pytest

from tests.cluster.installation import SYSTEM, Installation, client, endpoint, eventually, until

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]


def leader(installation: Installation) -> str:
    found = installation.get("lease", "nightlatch-operator", SYSTEM)
    return (found or {}).get("spec", {}).get("holderIdentity") or ""


def operators(installation: Installation) -> list[str]:
    return [
        pod["metadata"]["name"] for pod in installation.operator_pods() if "deletionTimestamp" not in pod["metadata"]
    ]


def living_leader(installation: Installation) -> str:
    """The leader, unless it is one that has gone and whose Lease has not run out yet."""
    holder = leader(installation)
    return holder if holder in operators(installation) else ""


def test_of_two_operators_one_leads(installation: Installation):
    until(lambda: len(operators(installation)) == 2, "two operators")
    holder = until(lambda: living_leader(installation), "a leader")
    for _ in range(10):
        assert leader(installation) == holder
        time.sleep(0.5)


async def test_warm_calls_never_notice_that_the_leader_died(installation: Installation):
    namespace = installation.namespace("leader-warm")
    installation.apply(endpoint("one", namespace, idle_after="10m"), client("bot", namespace, "one"))
    installation.ready("one", namespace)
    caller = installation.caller("bot", "one", namespace)
    assert (await caller.embed("wake")).status_code == 200

    dead = until(lambda: living_leader(installation), "a leader")
    statuses: list[int] = []
    async with caller.client() as http:
        installation.kill(dead, SYSTEM)
        until_new = asyncio.create_task(eventually(lambda: leader(installation) not in {"", dead}, "a new leader"))
        while not until_new.done():
            answer = await http.post("/v1/embeddings", json={"model": "one", "input": ["A cat sleeps."]})
            statuses.append(answer.status_code)
        await until_new
    assert set(statuses) == {200}, statuses
    assert len(statuses) > 10


async def test_held_calls_are_served_by_the_next_leader(installation: Installation, record_property):
    namespace = installation.namespace("leader-held")
    installation.apply(endpoint("one", namespace), client("bot", namespace, "one"))
    installation.ready("one", namespace)
    caller = installation.caller("bot", "one", namespace)
    await eventually(lambda: installation.asleep("one", namespace), "asleep")

    dead = until(lambda: living_leader(installation), "a leader")
    installation.kill(dead, SYSTEM)
    started = time.monotonic()
    answers = await asyncio.gather(*(caller.embed("A cat sleeps.") for _ in range(10)))
    took = time.monotonic() - started

    assert [answer.status_code for answer in answers] == [200] * 10, answers[0].text
    assert living_leader(installation) != dead
    record_property("held_seconds", round(took, 1))
    print(f"held across a change of leader: {took:.1f} s")


def test_an_operator_killed_in_the_middle_of_its_work_leaves_nothing_half_done(installation: Installation):
    """Many objects at once, the leader killed while it works on them: the next one finishes every one."""
    namespace = installation.namespace("leader-middle")
    names = [f"many-{index}" for index in range(8)]
    installation.apply(*(endpoint(name, namespace) for name in names))
    installation.apply(*(client(f"{name}-bot", namespace, name) for name in names))
    installation.kill(until(lambda: living_leader(installation), "a leader"), SYSTEM)
    for name in names:
        installation.ready(name, namespace, timeout=180)
        assert installation.credentials(f"{name}-bot-key", namespace)["api-key"].startswith("nl_")
