"""One small write refuses a client on every endpoint of every gateway, while the route documents still name it."""

import asyncio
import statistics

import pytest

from nightlatch.api import names
from nightlatch.api.meta import NamespacedName
from nightlatch.wire.revocations import Revocations, encode_revocations
from tests.embedded.gatekeeper_lab import KEY, Lab, Leader, infer

OTHER = NamespacedName("search", "other")


@pytest.fixture
async def lab(tmp_path):
    lab = Lab(tmp_path, gateways=2)
    for key in (KEY, OTHER):
        lab.replica(key, ready=True)
        await lab.put(lab.document(key))
    await lab.start()
    try:
        for gateway in lab.gateways:
            await gateway.ready()
        yield lab
    finally:
        lab.stop()


async def revoke(lab: Lab, sequence: int, *, clients=(), keys=()) -> None:
    data = encode_revocations(Revocations(sequence, frozenset(clients), frozenset(keys)))
    await lab.put_secret(names.REVOCATIONS_SECRET, names.ROLE_REVOCATIONS, data)


async def until_all(clients, wanted: int) -> float:
    """Seconds until every gateway answers for every endpoint with this status."""
    loop = asyncio.get_running_loop()
    started = loop.time()
    async with asyncio.timeout(30):
        while {(await infer(client, key)).status_code for client, key in clients} != {wanted}:
            await asyncio.sleep(0)
    return loop.time() - started


async def test_a_revoked_client_and_a_revoked_key_are_refused_everywhere(lab) -> None:
    leader = Leader(lab)
    for name in ("gateway-0", "gateway-1"):
        for key in (KEY, OTHER):
            await leader.until(name, lambda said: said.applied == 1, "both are there", key)
    grant = lab.caller.grant
    async with lab.client(0) as a, lab.client(0, key=OTHER) as b, lab.client(1) as c, lab.client(1, key=OTHER) as d:
        clients = [(a, KEY), (b, OTHER), (c, KEY), (d, OTHER)]
        await until_all(clients, 200)
        took = []
        for sequence in range(1, 21, 2):
            revoked = {"clients": [grant.client]} if sequence % 4 == 1 else {"keys": [grant.key_id]}
            await revoke(lab, sequence, **revoked)
            took.append(await until_all(clients, 401))
            await revoke(lab, sequence + 1)
            await until_all(clients, 200)
        print(f"revoked on two gateways after {statistics.median(took):.3f} s, at most {max(took):.3f} s")
        assert statistics.median(took) < 1.0
    # A revocation drains nobody and changes no route.
    assert all(leader.said(name, KEY).applied == 1 for name in ("gateway-0", "gateway-1"))
    await leader.stop()
