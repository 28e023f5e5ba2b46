"""A held call does not outlive its revocation: it is refused when its access ends, and its demand ends with it."""

import asyncio
import time
from dataclasses import replace

import pytest

from nightlatch.api import names
from nightlatch.api.meta import NamespacedName
from nightlatch.routing.limits import HELD_CALL_BYTES
from nightlatch.wire.revocations import Revocations, encode_revocations
from tests.embedded.gatekeeper_lab import KEY, Lab, Leader, eventually, infer
from tests.embedded.test_gatekeeper_goes_stale import MAX_STALENESS, store_away

UNAUTHENTICATED = {"error": "A valid credential is required.", "code": "unauthenticated"}


@pytest.fixture
async def lab(tmp_path):
    lab = Lab(tmp_path, max_staleness=MAX_STALENESS, max_held_bytes=8 * HELD_CALL_BYTES)
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


async def held(lab, leader, client, document):
    """One call that is held by the policy of this document."""
    await lab.put(document)
    await lab.gateways[0].ready()
    call = asyncio.create_task(infer(client))
    await leader.until("gateway-0", lambda said: said.held == 1, "held")
    return call


async def refused_at_once(leader, call):
    """The answer, which comes although no replica does; and the endpoint reports no more demand."""
    answer = await asyncio.wait_for(call, 10)
    await leader.until("gateway-0", lambda said: said.held == 0, "no demand is left")
    return answer


async def test_a_call_whose_key_is_revoked_while_it_is_held_is_refused(lab, leader) -> None:
    async with lab.client() as client:
        call = await held(lab, leader, client, lab.document())
        await lab.put(lab.document(sequence=2, keys=()))
        answer = await refused_at_once(leader, call)
        assert (answer.status_code, answer.json()) == (401, UNAUTHENTICATED)
        await leader.until("gateway-0", lambda said: said.applied == 2, "Envoy has the revocation")
        late = await infer(client)
    assert (late.status_code, late.json()) == (401, UNAUTHENTICATED)
    for header in ("www-authenticate", "content-type"):
        assert answer.headers[header] == late.headers[header]
    lab.replica()
    await leader.until("gateway-0", lambda said: said.phase == "Warm", "warm")
    assert [each for each in lab.upstream().received if each["method"] == "POST"] == []


@pytest.mark.parametrize("by", ["client", "key"])
async def test_a_call_that_the_revocations_document_names_while_it_is_held_is_refused(lab, leader, by) -> None:
    grant = lab.caller.grant
    clients, keys = ({grant.client}, set()) if by == "client" else (set(), {grant.key_id})
    data = encode_revocations(Revocations(1, frozenset(clients), frozenset(keys)))
    async with lab.client() as client:
        call = await held(lab, leader, client, lab.document())
        await lab.put_secret(names.REVOCATIONS_SECRET, names.ROLE_REVOCATIONS, data)
        answer = await refused_at_once(leader, call)
        assert (answer.status_code, answer.json()) == (401, UNAUTHENTICATED)
        assert (await infer(client)).status_code == 401


async def test_a_call_whose_key_loses_the_permission_while_it_is_held_is_refused(lab, leader) -> None:
    async with lab.client() as client:
        call = await held(lab, leader, client, lab.document())
        narrowed = replace(lab.caller.grant, permissions=("metadata",))
        await lab.put(lab.document(sequence=2, keys=(narrowed,)))
        answer = await refused_at_once(leader, call)
    assert (answer.status_code, answer.json()["code"]) == (403, "insufficient_scope")


async def test_a_call_of_another_client_stays_held_and_is_answered(lab, leader) -> None:
    async with lab.client() as client:
        call = await held(lab, leader, client, lab.document())
        await lab.put(lab.document(sequence=2, hold_timeout=44.0))
        await leader.until("gateway-0", lambda said: said.applied == 2, "the new document is in force")
        lab.replica()
        assert (await call).status_code == 200


async def test_a_call_whose_key_expires_while_it_is_held_is_refused(lab, leader) -> None:
    async with lab.client() as client:
        call = await held(lab, leader, client, lab.document())
        # The expiry arrives while the call is held, so that a slow machine does not reach it before.
        expiring = replace(lab.caller.grant, not_after=int(time.time()) + 3)
        await lab.put(lab.document(sequence=2, keys=(expiring,)))
        answer = await refused_at_once(leader, call)
    assert (answer.status_code, answer.json()) == (401, UNAUTHENTICATED)
    assert time.time() >= expiring.not_after


async def test_a_held_call_of_an_endpoint_that_is_denied_is_refused(lab, leader) -> None:
    async with lab.client() as client:
        call = await held(lab, leader, client, lab.document())
        await lab.put(lab.document(sequence=2, denied="policy_invalid"))
        answer = await refused_at_once(leader, call)
    assert (answer.status_code, answer.json()["code"]) == (503, "policy_invalid")


async def test_a_held_call_is_refused_when_the_gateway_is_stale(lab, leader) -> None:
    async with lab.client() as client:
        call = await held(lab, leader, client, lab.document(hold_timeout=600.0))
        with store_away(lab):
            answer = await asyncio.wait_for(call, MAX_STALENESS + 20)
            assert (answer.status_code, answer.json()["code"]) == (503, "policy_stale")
            await eventually(lambda: leader.said("gateway-0").held == 0, "no demand is left")


async def test_a_gateway_that_holds_as_many_calls_as_it_may_refuses_more_but_of_an_endpoint_that_holds_none(
    lab, leader
) -> None:
    other = NamespacedName("search", "other")
    for key in (KEY, other):
        await lab.put(lab.document(key, hold_timeout=600.0))
    await lab.gateways[0].ready()
    async with lab.client() as client, lab.client(key=other) as others:
        calls = [asyncio.create_task(infer(client)) for _ in range(6)]
        await leader.until("gateway-0", lambda said: said.held == 6, "three quarters of the places are taken")
        more = await infer(client)
        assert (more.status_code, more.json()["code"]) == (429, "too_many_held_at_gateway")
        assert more.headers["retry-after"] == "5"
        calls.append(asyncio.create_task(infer(others, other)))
        await leader.until("gateway-0", lambda said: said.held == 1, "the other endpoint has a place", other)
        metrics = lab.gateways[0].metrics()
        assert f"nightlatch_gateway_held_bytes {7.0 * HELD_CALL_BYTES}" in metrics
        assert f"nightlatch_gateway_held_bytes_limit {8.0 * HELD_CALL_BYTES}" in metrics
        assert "nightlatch_gateway_held_requests_limit 8.0" in metrics
        assert "nightlatch_gateway_held_refused_total 1.0" in metrics
        lab.replica()
        lab.upstream(other)
        lab.replica(other)
        assert [(await call).status_code for call in calls] == [200] * 7
