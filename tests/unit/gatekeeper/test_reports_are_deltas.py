"""A report stream begins with the whole, goes on with what changed, and never sends more than the leader can read."""

import asyncio
import contextlib
from types import SimpleNamespace

import orjson
import pytest

from nightlatch.api.meta import NamespacedName
from nightlatch.gatekeeper import report_stream
from nightlatch.gatekeeper.report_stream import MOST_REPORTS, ReportStream
from nightlatch.scaling.fleet import LastReport
from nightlatch.wire.report import EndpointReport, GatewayReport
from nightlatch.wire.report_codec import decode_report

LEADER = "spiffe://nightlatch.test/operator"


class Gateway:
    """Reports of three endpoints. `frames`: what was sent on the newest stream."""

    def __init__(self):
        self.held = {NamespacedName("search", name): 0 for name in "abc"}
        self.stream = ReportStream(LEADER, self.report, lambda _: None)
        self.frames = []

    def report(self):
        endpoints = (EndpointReport(key, 1, "Cold", 0, 0, held) for key, held in self.held.items())
        return GatewayReport("gateway", serving=True, endpoints=tuple(endpoints))

    def hold(self, name):
        self.held[NamespacedName("search", name)] += 1
        self.stream.changed()

    @contextlib.asynccontextmanager
    async def connected(self, reads="2"):
        async def silent():
            await asyncio.Event().wait()
            yield b""

        self.frames = []
        context = SimpleNamespace(
            auth_context=lambda: {"peer_spiffe_id": [LEADER.encode()]},
            invocation_metadata=lambda: (("nightlatch-reads", reads),) if reads else (),
        )

        async def read():
            async for frame in self.stream._stream(silent(), context):
                self.frames.append(decode_report(frame))
                self.members = set(orjson.loads(frame))

        reading = asyncio.create_task(read())
        try:
            yield
        finally:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)

    async def until(self, count):
        async with asyncio.timeout(20):
            while len(self.frames) < count:
                await asyncio.sleep(0.005)


@pytest.fixture
def gateway():
    return Gateway()


async def test_the_first_report_of_a_stream_is_the_whole_and_the_next_what_changed(gateway):
    for _ in range(2):
        async with gateway.connected():
            await gateway.until(1)
            gateway.hold("b")
            await gateway.until(2)
            whole, delta = gateway.frames[:2]
        assert (whole.complete, len(whole.endpoints)) == (True, 3)
        assert (delta.complete, [entry.endpoint.name for entry in delta.endpoints]) == (False, ["b"])
        assert LastReport.of(delta, LastReport.of(whole)) == LastReport.of(gateway.report())


async def test_an_endpoint_that_went_is_named(gateway):
    async with gateway.connected():
        await gateway.until(1)
        del gateway.held[NamespacedName("search", "a")]
        gateway.stream.changed()
        await gateway.until(2)
    assert gateway.frames[1].gone == (NamespacedName("search", "a"),)


async def test_the_whole_is_sent_again_from_time_to_time(gateway, monkeypatch):
    monkeypatch.setattr(report_stream, "REPEAT", 0.15)
    async with gateway.connected():
        async with asyncio.timeout(20):
            while sum(report.complete for report in gateway.frames) < 3:
                gateway.hold("a")
                await asyncio.sleep(0.01)
    assert not all(report.complete for report in gateway.frames)


async def test_a_storm_of_calls_makes_a_bounded_number_of_reports(gateway):
    loop = asyncio.get_running_loop()
    async with gateway.connected():
        await gateway.until(1)
        end = loop.time() + 2.0
        while loop.time() < end:
            gateway.hold("a")
            await asyncio.sleep(0.002)
        assert MOST_REPORTS < len(gateway.frames) <= 3 * MOST_REPORTS + 1
        # Nothing is lost by that: the newest state follows.
        async with asyncio.timeout(5):
            while gateway.frames[-1].endpoints[0].held != gateway.report().endpoints[0].held:
                await asyncio.sleep(0.01)


async def test_a_change_after_a_quiet_second_is_not_kept_waiting(gateway):
    loop = asyncio.get_running_loop()
    async with gateway.connected():
        await gateway.until(2)
        gateway.hold("a")
        started, count = loop.time(), len(gateway.frames)
        await gateway.until(count + 1)
        assert loop.time() - started < 0.3


async def test_a_leader_of_the_first_format_gets_whole_reports_that_it_can_read(gateway):
    async with gateway.connected(reads=None):
        await gateway.until(1)
        gateway.hold("a")
        await gateway.until(2)
    assert [len(report.endpoints) for report in gateway.frames[:2]] == [3, 3]
    assert gateway.members == {"gateway", "serving", "endpoints", "wakes", "checks"}
