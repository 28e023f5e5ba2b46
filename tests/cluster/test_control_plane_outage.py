"""An outage of the control plane is no outage of the calls: the API server stops answering, then comes back."""

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator

import psutil
import pytest

from tests.cluster.installation import Caller, Installation, client, endpoint, eventually

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]

# Longer than the leader's Lease (6 s): the leader ends itself, too.
OUTAGE = 15.0


def api_server(installation: Installation) -> psutil.Process:
    """The node's own."""
    return next(process for process in installation.node_processes() if _name(process) == "kube-apiserver")


def _name(process: psutil.Process) -> str:
    with contextlib.suppress(psutil.NoSuchProcess):
        return process.name()
    return ""


def restarts(installation: Installation) -> int:
    """Of the operators' containers."""
    return sum(
        each["restartCount"] for pod in installation.operator_pods() for each in pod["status"]["containerStatuses"]
    )


@contextlib.asynccontextmanager
async def outage(installation: Installation) -> AsyncIterator[None]:
    """No answer and no error: connections stay open, as behind a broken network."""
    process = api_server(installation)
    process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        process.send_signal(signal.SIGCONT)


async def steady(caller: Caller, seconds: float) -> list[int]:
    """One call after the other for so long; their statuses."""
    loop = asyncio.get_running_loop()
    end, statuses = loop.time() + seconds, []
    async with caller.client() as http:
        while loop.time() < end:
            answer = await http.post("/v1/embeddings", json={"model": caller.model, "input": ["A cat sleeps."]})
            statuses.append(answer.status_code)
    return statuses


async def test_warm_calls_go_on_and_the_operator_comes_back(installation: Installation):
    namespace = installation.namespace("outage")
    installation.apply(endpoint("one", namespace, idle_after="10m"), client("bot", namespace, "one"))
    installation.ready("one", namespace)
    caller = installation.caller("bot", "one", namespace)
    assert (await caller.embed("wake")).status_code == 200

    before = restarts(installation)
    async with outage(installation):
        during = await steady(caller, OUTAGE)
    after = await steady(caller, OUTAGE)

    assert set(during) == {200}, during
    assert set(after) == {200}, after
    assert restarts(installation) > before, "the leader lost its Lease, and its process ended"
    installation.apply(endpoint("two", namespace))
    installation.ready("two", namespace)


async def test_a_call_that_comes_while_the_api_is_away_is_held_and_served(installation: Installation):
    namespace = installation.namespace("outage-held")
    installation.apply(endpoint("one", namespace), client("bot", namespace, "one"))
    installation.ready("one", namespace)
    caller = installation.caller("bot", "one", namespace)
    await eventually(lambda: installation.asleep("one", namespace), "asleep")

    async with outage(installation):
        calls = [asyncio.create_task(caller.embed("A cat sleeps.")) for _ in range(10)]
        await asyncio.sleep(OUTAGE)
        assert not [call for call in calls if call.done()], "nobody could have woken it"
    answers = await asyncio.gather(*calls)

    assert [answer.status_code for answer in answers] == [200] * 10, answers[0].text
