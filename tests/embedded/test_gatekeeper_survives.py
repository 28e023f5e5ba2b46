"""Processes that are killed come back to where they were, and warm endpoints do not notice."""

import asyncio
import contextlib

import httpx
import pytest

from tests.embedded.gatekeeper_lab import PATIENCE, Lab, Leader, eventually, infer, warm


@pytest.fixture
async def lab(tmp_path):
    async with warm(Lab(tmp_path)) as lab:
        yield lab


class Traffic:
    """Calls one after another until the block ends."""

    def __init__(self, lab: Lab) -> None:
        self.statuses: list[int] = []
        self._lab = lab
        self._stop = False

    async def _call(self) -> None:
        async with self._lab.client() as client:
            while not self._stop:
                self.statuses.append((await infer(client)).status_code)

    @contextlib.asynccontextmanager
    async def running(self, callers: int = 3):
        tasks = [asyncio.create_task(self._call()) for _ in range(callers)]
        await self.more()
        yield self
        self._stop = True
        await asyncio.gather(*tasks)

    async def more(self, calls: int = 50) -> None:
        target = len(self.statuses) + calls
        await eventually(lambda: len(self.statuses) >= target, "calls go on")


async def test_gatekeeper_killed_under_load_loses_nothing_and_flips_nothing(lab) -> None:
    gateway = lab.gateways[0]
    async with Traffic(lab).running() as traffic:
        gateway.kill(gateway.gatekeeper)
        await traffic.more()
        gateway.announce.unlink()
        gateway.start_gatekeeper()
        await gateway.ready()
        await traffic.more()
    assert set(traffic.statuses) == {200}
    leader = Leader(lab)
    said = await leader.until("gateway-0", lambda said: said.applied == 1, "current again")
    assert said.phase == "Warm"
    await leader.until("gateway-0", lambda said: said.in_flight == 0, "load is known again")
    assert leader.reports["gateway-0"].checks == 0
    await leader.stop()


async def test_gatekeeper_that_came_back_still_revokes(lab) -> None:
    gateway = lab.gateways[0]
    async with lab.client() as client:
        # Envoy fetches a certificate at the first handshake that wants it, so there must have been one.
        assert (await infer(client)).status_code == 200
    gateway.kill(gateway.gatekeeper)
    await lab.put(lab.document(sequence=2, keys=()))
    async with lab.client() as client:
        assert (await infer(client)).status_code == 200
        gateway.announce.unlink()
        gateway.start_gatekeeper()
        await gateway.ready()

        end = asyncio.get_running_loop().time() + PATIENCE
        while (await infer(client)).status_code != 401:
            assert asyncio.get_running_loop().time() < end, "the revoked key is still taken"


async def test_envoy_killed_comes_back_with_the_same_routes(lab) -> None:
    gateway = lab.gateways[0]
    async with lab.client() as client:
        assert (await infer(client)).status_code == 200
    gateway.kill(gateway.envoy)
    async with lab.client() as client:
        with pytest.raises(httpx.TransportError):
            await infer(client)
        gateway.start_envoy()
        await gateway.ready()
        answer = await infer(client)
        assert answer.status_code == 200
        assert (await infer(client, **{"x-api-key": "nl_wrong"})).status_code == 401


async def test_document_that_cannot_be_read_denies_its_endpoint_alone(lab) -> None:
    from nightlatch.api import names
    from nightlatch.api.meta import NamespacedName
    from nightlatch.wire.route_document import encode

    other = NamespacedName("search", "other")
    lab.replica(other, ready=True)
    await lab.put(lab.document(other))
    leader = Leader(lab)
    await leader.until("gateway-0", lambda said: said.applied == 1, "both are there", other)
    data = {**encode(lab.document()), "document.json": b"{}"}
    await lab.put_secret(names.route_document(lab.document().endpoint), names.ROLE_ROUTE_DOCUMENT, data)
    said = await leader.until("gateway-0", lambda said: said.nacked, "the unreadable document is reported")
    assert said.applied == 1
    async with lab.client() as denied, lab.client(key=other) as fine:
        assert (await infer(denied)).status_code == 503
        assert (await infer(fine, other)).status_code == 200
    await lab.put(lab.document(sequence=3))
    await leader.until("gateway-0", lambda said: said.applied == 3 and not said.nacked, "good again")
    async with lab.client() as client:
        assert (await infer(client)).status_code == 200
    await leader.stop()


async def test_revocation_that_envoy_refuses_denies_the_endpoint(lab) -> None:
    broken = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"
    async with lab.client() as client:
        assert (await infer(client)).status_code == 200
        leader = Leader(lab)
        await leader.until("gateway-0", lambda said: said.applied == 1, "the good one is in force")
        await lab.put(lab.document(sequence=2, keys=(), server_private_key=broken))
        said = await leader.until("gateway-0", lambda said: said.nacked, "Envoy's refusal is reported")
        assert (said.applied, said.nacked) == (1, "Envoy refused the certificate or its key")
        end = asyncio.get_running_loop().time() + PATIENCE
        while (await infer(client)).status_code not in (401, 503):
            assert asyncio.get_running_loop().time() < end, "the revoked key is still taken"
        await lab.put(lab.document(sequence=3))
        await leader.until("gateway-0", lambda said: said.applied == 3 and not said.nacked, "good again")
        assert (await infer(client)).status_code == 200
        await leader.stop()


async def test_only_the_operator_may_connect_to_the_report_stream(lab) -> None:
    class Impostor(Lab):
        async def operator_tls(self):
            return lab.authorities.leaf("spiffe://nightlatch.local/gateway", "client")

    lab.operator_tls = Impostor.operator_tls.__get__(lab)
    leader = Leader(lab)
    await eventually(lambda: "refused a peer" in lab.gateways[0].log("gatekeeper"), "the impostor is refused")
    assert leader.reports == {}
    await leader.stop()


async def test_stop_is_graceful_and_its_log_is_json(lab) -> None:
    import json

    gateway = lab.gateways[0]
    gateway.gatekeeper.terminate()
    assert await asyncio.to_thread(gateway.gatekeeper.wait, 30) == 0
    lines = gateway.log("gatekeeper").splitlines()
    assert lines
    assert all(json.loads(line)["message"] for line in lines)
