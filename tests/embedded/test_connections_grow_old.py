"""A connection ends at a certain age, never under a call; and one whose caller is gone is noticed by a ping.

The times are an hour and a minute; here they are seconds.
"""

import asyncio
import os
import ssl
import time
from http.client import HTTPResponse

import h2.config
import h2.connection
import hpack
import pytest
from hyperframe.frame import Frame, GoAwayFrame, HeadersFrame, PingFrame, SettingsFrame

from nightlatch.api.meta import NamespacedName
from nightlatch.api.names import endpoint_identity
from nightlatch.routing.ir import Serving
from nightlatch.routing.xds import listener
from tests.embedded.attacks import stat, tls
from tests.embedded.envoy_fixture import TRUST_DOMAIN, Caller, Gateway, until
from tests.embedded.gatekeeper_lab import PausableServer

KEY, HOST = NamespacedName("search", "minilm"), "minilm.search.localhost"
BOT = Caller("bot", os.urandom, "metadata")
AGE, PING = 3.0, 1.0
# Before Envoy closes a connection that grew old it waits for calls that are on their way to it.
LAST_CALLS = 10.0


@pytest.fixture
def short(request, monkeypatch):
    """Set the constants of the listener for Envoys that this test starts."""
    for name, seconds in request.param.items():
        monkeypatch.setattr(listener, name, f"{seconds}s")
    listener._frame.cache_clear()
    yield
    listener._frame.cache_clear()


@pytest.fixture
def gateway(tmp_path, short):
    gateway = Gateway(tmp_path)
    yield gateway
    gateway.stop()


@pytest.fixture
def model(gateway, tmp_path):
    leaf = gateway.authorities.leaf(endpoint_identity(TRUST_DOMAIN, KEY), "server")
    model = PausableServer(gateway.loop, tmp_path, leaf)
    document = gateway.document(KEY, keys=(BOT.grant,))
    gateway.put([document], {KEY: Serving(hold=False, addresses=(model.address,))})
    return model


class Http2:
    """A connection of HTTP/2, frame by frame: the library h2 takes nothing more after a GOAWAY. It answers pings.

    answered: the statuses of the calls whose answer is complete, by stream.
    """

    def __init__(self, port: int) -> None:
        self._tls = tls(port, HOST, "h2")
        self._h2 = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True))
        self._h2.initiate_connection()
        self._tls.sendall(self._h2.data_to_send())
        self._headers = hpack.Decoder()
        self._received = b""
        self._statuses: dict[int, int] = {}
        self.frames: list[Frame] = []
        self.answered: dict[int, int] = {}
        self.closed = False

    def call(self) -> int:
        """Make a call and return its stream."""
        stream = self._h2.get_next_available_stream_id()
        names = {":method": "GET", ":path": "/v2", ":scheme": "https", ":authority": HOST, "x-api-key": BOT.key}
        self._h2.send_headers(stream, list(names.items()), end_stream=True)
        self._tls.sendall(self._h2.data_to_send())
        return stream

    def read(self) -> "Http2":
        """Take what comes within a twentieth of a second."""
        self._tls.settimeout(0.05)
        try:
            data = self._tls.recv(1 << 16)
            self.closed = not data
            self._received += data
        except TimeoutError:
            pass
        except (ConnectionError, ssl.SSLError):
            self.closed = True
        self._tls.settimeout(10.0)
        while frame := self._next():
            self._take(frame)
        return self

    def saw(self, kind: type[Frame]) -> bool:
        """Whether such a frame came, up to now."""
        return any(isinstance(each, kind) for each in self.read().frames)

    def _next(self) -> Frame | None:
        if len(self._received) < 9:
            return None
        frame, length = Frame.parse_frame_header(memoryview(self._received[:9]))
        if len(self._received) < 9 + length:
            return None
        frame.parse_body(memoryview(self._received[9 : 9 + length]))
        self._received = self._received[9 + length :]
        return frame

    def _take(self, frame: Frame) -> None:
        self.frames.append(frame)
        if isinstance(frame, SettingsFrame) and "ACK" not in frame.flags:
            self._tls.sendall(SettingsFrame(0, flags=["ACK"]).serialize())
        if isinstance(frame, PingFrame) and "ACK" not in frame.flags:
            self._tls.sendall(PingFrame(0, opaque_data=frame.opaque_data, flags=["ACK"]).serialize())
        if isinstance(frame, HeadersFrame):
            headers = dict(self._headers.decode(frame.data, raw=True))
            self._statuses[frame.stream_id] = int(headers.get(b":status", b"0"))
        if "END_STREAM" in frame.flags:
            self.answered[frame.stream_id] = self._statuses[frame.stream_id]

    def close(self) -> None:
        self._tls.close()


@pytest.mark.parametrize("short", [{"_AGE": AGE}], indirect=True)
def test_an_http1_connection_that_grew_old_ends_with_an_answer(gateway, model):
    request = f"GET /v2 HTTP/1.1\r\nhost: {HOST}\r\nx-api-key: {BOT.key}\r\n\r\n".encode()
    answered = 0
    with gateway.connection(HOST) as connection:
        start = time.monotonic()
        closing = False
        while not closing:
            connection.sendall(request)
            response = HTTPResponse(connection)
            response.begin()
            response.read()
            assert response.status == 200
            answered += 1
            closing = response.will_close
            assert time.monotonic() < start + AGE + LAST_CALLS, "it is as old as it may be, and goes on"
        assert time.monotonic() - start > AGE - 1
    assert answered > 2


@pytest.mark.parametrize("short", [{"_AGE": AGE}], indirect=True)
def test_an_http2_connection_that_grew_old_ends_once_its_last_call_is_answered(gateway, model):
    model.pause = asyncio.Event()
    connection = Http2(gateway.port)
    start = time.monotonic()
    stream = connection.call()
    until(lambda: model.waiting, "the call is in flight")
    until(lambda: connection.saw(GoAwayFrame), "the gateway says that it takes no more", 30)
    assert time.monotonic() - start > AGE - 1
    assert connection.answered == {}
    gateway.loop.loop.call_soon_threadsafe(model.pause.set)
    until(lambda: connection.read().answered, "the call is answered")
    assert connection.answered == {stream: 200}
    until(lambda: connection.read().closed, "the gateway closes it", 30)
    connection.close()


@pytest.mark.parametrize("short", [{"_PING": PING}], indirect=True)
def test_an_http2_connection_whose_caller_does_not_answer_a_ping_ends(gateway, model):
    """Its twin, which answers, is still open by then and gets its answer."""
    there, gone = Http2(gateway.port), Http2(gateway.port)
    for connection in (there, gone):
        connection.call()
        until(lambda it=connection: it.read().answered, "its call is answered")
    # A caller that is gone reads nothing, so that what the gateway does has to be asked of the gateway.
    open_ = "http.endpoints.downstream_cx_active"
    assert stat(gateway.admin, open_) == 2

    def noticed() -> bool:
        there.read()
        return stat(gateway.admin, open_) == 1

    until(noticed, "the gateway closes the connection that is silent", 30)
    assert there.saw(PingFrame)
    there.call()
    until(lambda: list(there.read().answered.values()) == [200, 200], "the other one goes on")
    assert not there.closed
    for connection in (there, gone):
        connection.close()
