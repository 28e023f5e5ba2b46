"""A call that the native gate admitted and that is held then: what the hold knows of it, and what Envoy keeps of it."""

import asyncio
import json
import ssl
from http.client import HTTPResponse

import pytest

from nightlatch.gatekeeper.hold.hold_service import HoldService
from nightlatch.gatekeeper.hold.still_allowed import HeldCall, Proof
from nightlatch.gatekeeper.hold.waiting_room import Admitted, Outcome
from tests.embedded.envoy_fixture import until
from tests.embedded.gate_lab import INFER, GateLab, Key, policy

MODEL = "/v2/models/m"
OPERATIONS = [["POST", INFER, "infer"], ["GET", MODEL, "metadata"], ["HEAD", MODEL, "metadata"]]
MEBIBYTE = 1 << 20


class Hold:
    """Holds every call until it is released."""

    def __init__(self) -> None:
        self.calls: list[HeldCall] = []
        self.service = HoldService(lambda _: self.admit)
        self.open = asyncio.Event()

    async def admit(self, call: HeldCall, timeout: float | None) -> Outcome:  # noqa: ARG002
        self.calls.append(call)
        await self.open.wait()
        return Admitted(0.1)

    async def release(self) -> None:
        self.open.set()


@pytest.fixture
def hold():
    return Hold()


@pytest.fixture
def key():
    return Key()


@pytest.fixture
def lab(tmp_path, hold, key):
    lab = GateLab(tmp_path, hold.service)
    try:
        lab.start(one=policy(key, permissions=("infer", "metadata"), operations=OPERATIONS))
        yield lab
    finally:
        lab.stop()


def send(lab: GateLab, request: str, key: Key, size: int) -> ssl.SSLSocket:
    """The head of a call whose body has this size."""
    tls = lab.connect()
    head = (
        f"{request} HTTP/1.1\r\nHost: one.search.localhost\r\nX-API-Key: {key.text}\r\nContent-Length: {size}\r\n\r\n"
    )
    tls.sendall(head.encode())
    return tls


def send_body(tls: ssl.SSLSocket, size: int) -> int:
    """How much of the body could be sent before Envoy took no more for two seconds."""
    tls.settimeout(2)
    sent = 0
    try:
        while sent < size:
            tls.sendall(b"x" * 65536)
            sent += 65536
    except TimeoutError:
        pass
    tls.settimeout(20)
    return sent


def answer(tls: ssl.SSLSocket) -> tuple[int, dict[str, object]]:
    response = HTTPResponse(tls)
    response.begin()
    return response.status, json.loads(response.read())


def allocated(lab: GateLab) -> int:
    return int(json.loads(lab.admin_get("/memory"))["allocated"])


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_the_body_of_a_call_that_can_have_none_is_not_kept_while_it_is_held(lab, hold, key, method) -> None:
    size = 16 * MEBIBYTE
    with send(lab, f"{method} {MODEL}", key, size) as tls:
        until(lambda: hold.calls, "held")
        before = allocated(lab)
        assert send_body(tls, size) == size
        assert allocated(lab) - before < MEBIBYTE
        lab.loop.run(hold.release())
        until(lambda: lab.received, "the model server has the call")
    (seen,) = lab.received
    assert (seen["method"], seen["body"]) == (method, "")
    assert "content-length" not in seen["headers"]


def test_the_body_of_another_call_is_kept_and_arrives(lab, hold, key) -> None:
    with send(lab, f"POST {INFER}", key, 65536) as tls:
        until(lambda: hold.calls, "held")
        assert send_body(tls, 65536) == 65536
        lab.loop.run(hold.release())
        status, seen = answer(tls)
    assert (status, len(str(seen["body"]))) == (200, 65536)


def test_the_hold_knows_who_calls_and_what_for(lab, hold, key) -> None:
    lab.loop.run(hold.release())
    assert lab.call(key, path=f"{INFER}?a=b").status == 200
    assert hold.calls == [HeldCall((Proof("apiKey", "search/bot", key.id),), "POST", f"{INFER}?a=b")]
