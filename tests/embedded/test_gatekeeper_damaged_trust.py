"""A route document whose trust bundle is damaged harms no other endpoint, and not its own calls either."""

import pytest

from nightlatch.api.meta import NamespacedName
from tests.embedded.gatekeeper_lab import KEY, Lab, Leader, eventually, infer, warm

OTHER = NamespacedName("search", "other")


@pytest.fixture
async def lab(tmp_path):
    lab = Lab(tmp_path)
    await lab.put(lab.document(OTHER))
    lab.replica(OTHER, ready=True)
    async with warm(lab) as lab:
        yield lab


async def statuses(lab: Lab) -> list[int]:
    found = []
    for key in (KEY, OTHER):
        async with lab.client(key=key) as client:
            found.append((await infer(client, key)).status_code)
    return found


async def test_a_damaged_trust_bundle_in_the_newest_document_refuses_nobody_and_is_reported(lab) -> None:
    leader = Leader(lab)
    for key in (KEY, OTHER):
        await leader.until("gateway-0", lambda said: said.applied == 1, "both are in force", key)
    assert await statuses(lab) == [200, 200]
    await lab.put(lab.document(sequence=99, upstream_ca="-----BEGIN CERTIFICATE-----\nMIIB"))
    said = await leader.until("gateway-0", lambda said: said.nacked, "it is reported")
    assert said.applied == 1
    assert "upstream-ca.crt is not a bundle of certificates" in said.nacked
    assert await statuses(lab) == [200, 200]
    # Calls on new connections to the model servers, after a restart of both processes.
    gateway = lab.gateways[0]
    gateway.stop()
    gateway.start_gatekeeper()
    gateway.start_envoy()
    await eventually(lambda: gateway.readiness() == 200, "ready with the damaged document")
    assert await statuses(lab) == [200, 200]
    assert leader.said("gateway-0", OTHER).nacked is None
    # A replica whose identity has to be probed.
    lab.no_replica()
    lab.replica(number=2)
    async with lab.client() as client:
        leader.tell("Waking")
        assert (await infer(client)).status_code == 200
    await lab.put(lab.document(sequence=100))
    await leader.until("gateway-0", lambda said: said.applied == 100 and not said.nacked, "good again")
    await leader.stop()
