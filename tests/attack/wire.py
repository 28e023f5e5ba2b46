"""Sends a call byte for byte, also what no well-behaved client would send, and takes the answer."""

import contextlib
import socket
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http.client import HTTPException, HTTPResponse
from typing import Any
from urllib.parse import unquote

import h2.config
import h2.connection
import h2.events
import h2.exceptions

from tests.attack.row import Call, Protocol, spoken

_PATIENCE = 20.0
_GRPC = (("content-type", "application/grpc"), ("te", "trailers"))
_JSON = (("content-type", "application/json"),)


@dataclass(frozen=True)
class Answer:
    """`status` is None if there was none."""

    status: int | None
    headers: Mapping[str, str]
    body: bytes

    @property
    def grpc(self) -> tuple[str | None, str]:
        """Status and message of gRPC."""
        return self.headers.get("grpc-status"), unquote(self.headers.get("grpc-message", ""))


CLOSED = Answer(None, {}, b"")


class Wire:
    """Calls to one gateway, or to the Service of several. `words` are those of the world."""

    def __init__(self, port: int, words: Mapping[str, str], address: str = "127.0.0.1") -> None:
        self._address = (address, port)
        self.words = words

    def send(self, call: Call, protocol: Protocol, answers: int = 1) -> Answer:
        """One call on a connection of its own. The last of its `answers`, if others are hidden behind it."""
        with contextlib.ExitStack() as stack:
            try:
                connection = stack.enter_context(self.connection(call, protocol))
                return [connection.send(call), *(connection.answer(call) for _ in range(answers - 1))][-1]
            except (OSError, HTTPException):
                return CLOSED

    @contextlib.contextmanager
    def connection(self, call: Call, protocol: Protocol) -> Any:
        """An open connection for calls like this one."""
        # Other tests look at certificates; strangers do not. The system's CAs would take a tenth of a second to load.
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        context.set_alpn_protocols(["http/1.1" if protocol == "http1" else "h2"])
        with (
            socket.create_connection(self._address, _PATIENCE) as plain,
            context.wrap_socket(plain, server_hostname=self._say(call.server_name)) as tls,
        ):
            # Without it each call would wait 40 ms for an acknowledgement.
            tls.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            yield _Http1(tls, self._say) if protocol == "http1" else _Http2(tls, self._say, grpc=protocol == "grpc")

    def _say(self, text: str) -> str:
        return spoken(text, self.words)


class _Http1:
    def __init__(self, tls: ssl.SSLSocket, say: Callable[[str], str]) -> None:
        self._tls = tls
        self._say = say

    def send(self, call: Call) -> Answer:
        self._tls.sendall(self._request(call))
        return self.answer(call)

    def answer(self, call: Call) -> Answer:
        response = HTTPResponse(self._tls, method=call.method)
        response.begin()
        headers = {name.lower(): value for name, value in response.getheaders()}
        return Answer(response.status, headers, response.read())

    def _request(self, call: Call) -> bytes:
        body = _body(call)
        lines = call.lines or (
            f"{call.method} {call.path} HTTP/1.1",
            f"host: {_host(call)}",
            *(f"{name}: {value}" for name, value in (*_types(body), *call.headers)),
            f"content-length: {len(self._say(body))}",
            "",
            body,
        )
        ended = lines if not call.lines or "" in lines else (*lines, "", "")
        return "\r\n".join(map(self._say, ended)).encode("latin-1")


class _Http2:
    def __init__(self, tls: ssl.SSLSocket, say: Callable[[str], str], *, grpc: bool) -> None:
        self._tls = tls
        self._say = say
        self._grpc = grpc
        config = h2.config.H2Configuration(
            client_side=True,
            header_encoding=None,
            validate_outbound_headers=False,
            normalize_outbound_headers=False,
        )
        self._h2 = h2.connection.H2Connection(config)
        self._h2.initiate_connection()

    def send(self, call: Call) -> Answer:
        body = b"" if self._grpc else self._say(_body(call)).encode()
        stream = self._h2.get_next_available_stream_id()
        pseudo = ((":method", call.method), (":path", call.path), (":scheme", "https"), (":authority", _host(call)))
        types = _GRPC if self._grpc else _types(_body(call))
        headers = [
            (name.encode("latin-1"), self._say(value).encode("latin-1"))
            for name, value in (*pseudo, *call.pseudo, *types, *call.headers)
        ]
        self._h2.send_headers(stream, headers, end_stream=not body)
        if body:
            self._h2.send_data(stream, body, end_stream=True)
        self._tls.sendall(self._h2.data_to_send())
        return self._answer(stream)

    def _answer(self, stream: int) -> Answer:
        headers: dict[str, str] = {}
        body = b""
        while data := self._tls.recv(65536):
            try:
                events = self._h2.receive_data(data)
            except h2.exceptions.ProtocolError:
                return CLOSED
            for event in events:
                if isinstance(event, h2.events.ConnectionTerminated | h2.events.StreamReset):
                    return CLOSED
                if isinstance(event, h2.events.ResponseReceived | h2.events.TrailersReceived):
                    headers |= {name.decode("latin-1"): value.decode("latin-1") for name, value in event.headers}
                elif isinstance(event, h2.events.DataReceived):
                    body += event.data
                    self._h2.acknowledge_received_data(event.flow_controlled_length, stream)
                elif isinstance(event, h2.events.StreamEnded):
                    return Answer(int(headers[":status"]), headers, body)
            self._tls.sendall(self._h2.data_to_send())
        return CLOSED


def _host(call: Call) -> str:
    return call.server_name if call.host is None else call.host


def _body(call: Call) -> str:
    embedding = '{"model": "{model}", "input": ["A cat sleeps."]}'
    return call.body if call.body is not None else embedding if call.method == "POST" else ""


def _types(body: str) -> tuple[tuple[str, str], ...]:
    return _JSON if body else ()
