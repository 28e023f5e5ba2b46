"""A sleeping endpoint answers: hold, wake, release, through a real gatekeeper and Envoy."""

import asyncio
import os
from dataclasses import replace

import pytest

from nightlatch.wire.report import WakeFailure
from tests.embedded.envoy_fixture import Caller
from tests.embedded.gatekeeper_lab import KEY, Lab, Leader, eventually, infer


@pytest.fixture
async def lab(tmp_path):
    lab = Lab(tmp_path)
    lab.upstream()
    await lab.start()
    try:
        yield lab
    finally:
        lab.stop()


@pytest.fixture
async def leader(lab):
    leader = Leader(lab)
    yield leader
    await leader.stop()


@pytest.mark.parametrize("http2", [False, True], ids=["http1.1", "http2"])
async def test_every_held_call_is_answered_by_the_fresh_replica(lab, leader, http2) -> None:
    await lab.put(lab.document())
    await lab.gateways[0].ready()
    async with lab.client(http2=http2) as client:
        calls = [asyncio.create_task(infer(client)) for _ in range(60)]
        await leader.until("gateway-0", lambda said: said.held == 60, "all are held")
        assert lab.upstream().received == []
        leader.tell("Waking", 1)
        lab.replica()
        answers = await asyncio.gather(*calls)
        assert [answer.status_code for answer in answers] == [200] * 60
        assert all(answer.headers["server-timing"].startswith("wake;dur=") for answer in answers)
        said = await leader.until("gateway-0", lambda said: said.phase == "Warm" and not said.held, "warm")
        assert said.applied == 1
        await eventually(lambda: leader.wakes, "the wake is reported")
        assert set(leader.wakes[0].phases) == {"demand", "start", "probe", "eds", "release"}
        checks = leader.reports["gateway-0"].checks
        assert (await infer(client)).status_code == 200
        assert leader.reports["gateway-0"].checks == checks == 60


async def test_a_failed_start_is_told_to_held_calls_at_once(lab, leader) -> None:
    await lab.put(lab.document(hold_timeout=600.0))
    await lab.gateways[0].ready()
    async with lab.client() as client:
        calls = [asyncio.create_task(infer(client)) for _ in range(5)]
        await leader.until("gateway-0", lambda said: said.held == 5, "all are held")
        leader.tell("Waking", 1)
        message = "serve --model /srv/minilm --token=abc exited with status 1 (log: /var/log/m.log)"
        leader.tell("Asleep", 2, WakeFailure(3, "ModelServerExited", message))
        for answer in await asyncio.gather(*calls):
            assert answer.status_code == 503
            assert answer.headers["retry-after"]
            assert answer.json() == {
                "error": "The endpoint could not wake, because its model server ended by itself.",
                "code": "wake_failed",
                "reason": "ModelServerExited",
            }
        # A later call is demand for the next attempt and does not hear of the old failure.
        late = asyncio.create_task(infer(client))
        await leader.until("gateway-0", lambda said: said.held == 1, "the late call is held")
        leader.tell("Waking", 2)
        lab.replica()
        assert (await late).status_code == 200


async def test_hold_is_bounded_in_number_and_time_and_by_client(lab, leader) -> None:
    other = Caller("other", os.urandom, "infer")
    document = lab.document(hold_max_requests=8, hold_timeout=600.0)
    await lab.put(replace(document, keys=(*document.keys, other.grant)))
    await lab.gateways[0].ready()
    async with lab.client() as client, lab.client(caller=other) as others:
        held = [asyncio.create_task(infer(client)) for _ in range(2)]
        await leader.until("gateway-0", lambda said: said.held == 2, "a quarter is held")
        third = await infer(client)
        assert (third.status_code, third.headers["retry-after"]) == (429, "5")
        assert third.json()["code"] == "too_many_held_by_client"
        impatient = await infer(others, **{"x-nightlatch-hold-timeout": "0.2"})
        assert impatient.status_code == 503
        assert (impatient.json()["code"], impatient.json()["reason"]) == ("wake_timeout", "WakeTimeout")
        openai = await others.post("/v1/embeddings", json={}, headers={"x-nightlatch-hold-timeout": "0.1"})
        assert (openai.status_code, openai.json()["error"]["code"]) == (503, "wake_timeout")
        assert openai.json()["error"]["reason"] == "WakeTimeout"
        nonsense = await infer(others, **{"x-nightlatch-hold-timeout": "soon"})
        assert (nonsense.status_code, nonsense.json()["code"]) == (400, "invalid_request")
        for call in held:
            call.cancel()
        await leader.until("gateway-0", lambda said: said.held == 0, "hanging up gives the places back")


async def test_a_replica_with_another_identity_gets_no_call(lab, leader) -> None:
    stranger = lab.document(upstream_identity="spiffe://nightlatch.local/ns/search/ie/other", hold_timeout=2.0)
    await lab.put(stranger)
    await lab.gateways[0].ready()
    async with lab.client() as client:
        call = asyncio.create_task(infer(client))
        await leader.until("gateway-0", lambda said: said.held == 1, "held")
        lab.replica()
        assert (await call).status_code == 503
    assert lab.upstream().received == []
    assert "not spiffe://nightlatch.local/ns/search/ie/other" in lab.gateways[0].log("gatekeeper")


async def test_a_revoked_key_is_refused_and_only_that_endpoint_is_pushed(lab, leader) -> None:
    lab.replica(ready=True)
    await lab.put(lab.document())
    await lab.gateways[0].ready()
    async with lab.client() as client:
        assert (await infer(client)).status_code == 200
        await lab.put(lab.document(sequence=2, keys=()))
        await leader.until("gateway-0", lambda said: said.applied == 2, "Envoy has the revocation")
        assert (await infer(client)).status_code == 401
    assert KEY.name in lab.gateways[0].metrics()
    assert lab.caller.key not in lab.gateways[0].log("gatekeeper")
