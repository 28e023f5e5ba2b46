"""What the gate says of used keys is asked for now and then, rounded down, and reported once."""

import asyncio
import contextlib

import pytest

from nightlatch.gatekeeper import key_uses
from nightlatch.wire.report import LAST_USE_STEP, GatewayReport
from nightlatch.wire.report_codec import decode_report, encode_report

NOW = 1_800_000_000


def test_uses_are_rounded_down():
    report = b'{"callsInFlight": {}, "lastUses": {"a": %d, "b": %d}}' % (NOW, NOW + LAST_USE_STEP - 1)
    assert key_uses.coarse(report) == {"a": NOW, "b": NOW}


@pytest.mark.parametrize("report", [b"", b"{", b'{"callsInFlight": {}}'])
def test_an_answer_that_is_none_is_an_error_that_is_expected(report):
    with pytest.raises((ValueError, LookupError)):
        key_uses.coarse(report)


async def test_the_gate_is_asked_again_after_it_did_not_answer(tmp_path, monkeypatch):
    monkeypatch.setattr(key_uses, "POLL_S", 0.01)
    socket, noted = tmp_path / "gate.sock", asyncio.Queue()

    async def answer(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b'HTTP/1.1 200 OK\r\ncontent-length: 41\r\n\r\n{"callsInFlight":{},"lastUses":{"a":1200}}')
        writer.close()

    following = asyncio.create_task(key_uses.follow(socket, noted.put_nowait))
    await asyncio.sleep(0.05)
    server = await asyncio.start_unix_server(answer, str(socket))
    assert await asyncio.wait_for(noted.get(), 5) == {"a": 1200}
    following.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await following
    server.close()


def test_a_report_tells_only_the_uses_that_are_new():
    before = GatewayReport("gw", serving=True, endpoints=(), used={"a": NOW, "b": NOW})
    after = GatewayReport("gw", serving=True, endpoints=(), used={"a": NOW, "b": NOW + LAST_USE_STEP, "c": NOW})
    assert after.since(before).used == {"b": NOW + LAST_USE_STEP, "c": NOW}
    assert decode_report(encode_report(after)).used == after.used


def test_peers_of_the_first_format_are_not_told_and_say_nothing():
    report = GatewayReport("gw", serving=True, endpoints=(), used={"a": NOW})
    assert decode_report(encode_report(report, reads=1)).used == {}
