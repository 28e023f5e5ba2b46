"""One HTTP/1.1 connection: parse with httptools, answer in order, close when due."""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import cast

import httptools

from nightlatch_server import caller_errors
from nightlatch_server.error_body import CallerError
from nightlatch_server.transport.http.limits import Limits
from nightlatch_server.transport.http.message import Handler, Request, Response, encode, error_response

_log = logging.getLogger(__name__)

_INVALID = caller_errors.INVALID_REQUEST
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"

Admission = Callable[[asyncio.Transport], bool]


def admit_all(_: asyncio.Transport) -> bool:
    """The admission of a port without TLS."""
    return True


@dataclass(slots=True)
class Site:
    """What the connections of one listener share."""

    handler: Handler
    limits: Limits
    admits: Admission
    connections: set["Connection"] = field(default_factory=set)
    closing: bool = False
    """True: every answer closes its connection."""


class _RefusedError(Exception):
    """Raised in a parser callback: send this answer and stop reading."""

    def __init__(self, error: CallerError, message: str | None = None) -> None:
        super().__init__(message or error.code)
        self.error = error
        self.message = message


class Connection(asyncio.Protocol):
    """Answers pipelined requests one after the other.

    When the peer disconnects, the request in progress is cancelled, so that the batcher can skip it.
    httptools calls the methods whose names begin with `on_`.
    """

    def __init__(self, site: Site) -> None:
        self._site = site
        self._limits = site.limits
        self._loop = asyncio.get_running_loop()
        self._parser = httptools.HttpRequestParser(self)
        self._waiting: deque[Request | Response] = deque()
        self._task: asyncio.Task[None] | None = None
        self._transport: asyncio.Transport | None = None
        self._closed_at: float | None = None
        self._linger: asyncio.TimerHandle | None = None
        self._deaf = False
        self._write_paused = False
        self._read_paused = False
        self._continue_due = False
        self.idle_since: float | None = None
        """Loop time since which no request has been read or answered; None while one is in progress."""
        self.reading_since: float | None = None
        """Loop time at which the request that is being read began; None while none is."""
        self._reset_message()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        if not self._site.admits(self._transport):
            self._deaf = True
            self._transport.abort()
            return
        self.idle_since = self._loop.time()
        self._site.connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - the signature is asyncio.Protocol's
        self._site.connections.discard(self)
        self._transport = None
        self._deaf = True
        self._waiting.clear()
        if self._task is not None:
            self._task.cancel()
        if self._linger is not None:
            self._linger.cancel()

    def pause_writing(self) -> None:
        self._write_paused = True

    def resume_writing(self) -> None:
        self._write_paused = False
        self._next()

    def data_received(self, data: bytes) -> None:
        if self._deaf:
            return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            cause = error.__context__
            if isinstance(cause, _RefusedError):
                self._refuse(cause.error, cause.message)
            else:
                self._refuse(_INVALID, f"malformed HTTP request: {error}")
        else:
            self._count_head(len(data))

    def _count_head(self, received: int) -> None:
        """Limit how much of an unfinished header the parser buffers; no callback has seen that part yet."""
        if not self._in_head:
            return
        self._head_bytes += received
        if self._head_bytes > self._limits.headers:
            self._refuse(caller_errors.HEADERS_TOO_LARGE)

    def _reset_message(self) -> None:
        self._url = b""
        self._headers: list[tuple[bytes, bytes]] = []
        self._header_bytes = 0
        self._head_bytes = 0
        self._body: list[bytes] = []
        self._body_bytes = 0
        self._in_head = False

    def on_message_begin(self) -> None:
        self._reset_message()
        self._in_head = True
        self.idle_since = None
        self.reading_since = self._loop.time()

    def on_url(self, url: bytes) -> None:
        self._url += url
        if len(self._url) > self._limits.url:
            error = caller_errors.URL_TOO_LONG
            raise _RefusedError(error, error.say(limit=self._limits.url))

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers.append((name.lower(), value))
        self._header_bytes += len(name) + len(value)
        if self._header_bytes > self._limits.headers or len(self._headers) > self._limits.header_count:
            raise _RefusedError(caller_errors.HEADERS_TOO_LARGE)

    def on_headers_complete(self) -> None:
        self._in_head = False
        if self._parser.should_upgrade():
            raise _RefusedError(_INVALID, "upgrades and tunnels are not supported; send plain HTTP/1.1")
        if not self._url.startswith(b"/"):
            raise _RefusedError(_INVALID, "the request target must be a path that begins with /")
        headers = dict(self._headers)
        if self._parser.get_http_version() == "1.1" and b"host" not in headers:
            raise _RefusedError(_INVALID, "an HTTP/1.1 request needs a Host header")
        length = headers.get(b"content-length", b"0")
        if len(length) > 18 or int(length) > self._limits.body:
            raise self._body_too_large()
        if b"expect" in headers:
            self._expect(headers[b"expect"])

    def _expect(self, value: bytes) -> None:
        if value.lower() != b"100-continue":
            raise _RefusedError(caller_errors.EXPECTATION_FAILED)
        self._continue_due = True
        if self._task is None and not self._waiting:
            self._send_continue()

    def _send_continue(self) -> None:
        self._continue_due = False
        if self._transport is not None:
            self._transport.write(_CONTINUE)

    def on_body(self, body: bytes) -> None:
        self._continue_due = False
        self._body.append(body)
        self._body_bytes += len(body)
        if self._body_bytes > self._limits.body:
            raise self._body_too_large()

    def _body_too_large(self) -> _RefusedError:
        error = caller_errors.PAYLOAD_TOO_LARGE
        return _RefusedError(error, error.say("body", limit=self._limits.body))

    def on_message_complete(self) -> None:
        self._continue_due = False
        self.reading_since = None
        self._waiting.append(self._request())
        if len(self._waiting) >= self._limits.pipelined:
            self._pause_reading()
        self._next()

    def _request(self) -> Request:
        path, _, query = self._url.partition(b"?")
        return Request(
            method=self._parser.get_method().decode("ascii"),
            path=path.decode("latin-1"),
            query=query.decode("latin-1"),
            headers=self._headers,
            body=b"".join(self._body),
            keep_alive=self._parser.should_keep_alive() and self._parser.get_http_version() == "1.1",
            received=time.monotonic(),
        )

    def _refuse(self, error: CallerError, message: str | None = None) -> None:
        """Answer with an error when its turn comes, then close the connection. Further input is dropped."""
        self._deaf = True
        self.reading_since = None
        self.idle_since = None
        self._waiting.append(error_response(self._url.decode("latin-1"), error, message))
        self._next()

    def _next(self) -> None:
        if self._task is not None or self._write_paused or self._transport is None:
            return
        if not self._waiting:
            self._become_idle()
            return
        item = self._waiting.popleft()
        if isinstance(item, Response):
            self._write(item, close=True, linger=True)
        else:
            self.idle_since = None
            self._task = self._loop.create_task(self._answer(item))

    def _become_idle(self) -> None:
        self._resume_reading()
        if self._continue_due:
            self._send_continue()
        if self.reading_since is None and not self._deaf:
            self.idle_since = self._loop.time()

    async def _answer(self, request: Request) -> None:
        try:
            response = await self._site.handler(request)
        except Exception:  # noqa: BLE001 - logged, and the caller gets a 500
            _log.exception("request failed", extra={"path": request.path})
            response = error_response(request.path, caller_errors.INTERNAL_ERROR)
        self._task = None
        close = not request.keep_alive or self._site.closing
        self._write(response, close=close, linger=False, head_only=request.method == "HEAD")
        if not close:
            self._next()

    def _write(self, response: Response, *, close: bool, linger: bool, head_only: bool = False) -> None:
        transport = self._transport
        if transport is None:
            return
        transport.write(encode(response, close=close, head_only=head_only))
        if not close:
            return
        self._deaf = True
        self._waiting.clear()
        if linger:
            self._resume_reading()
            self._linger = self._loop.call_later(self._limits.linger, transport.close)
        else:
            transport.close()

    def _pause_reading(self) -> None:
        if not self._read_paused and self._transport is not None:
            self._read_paused = True
            self._transport.pause_reading()

    def _resume_reading(self) -> None:
        if self._read_paused and self._transport is not None:
            self._read_paused = False
            self._transport.resume_reading()

    def expire(self, now: float) -> None:
        """Refuse a request that takes too long to arrive."""
        started = self.reading_since
        if started is not None and now - started > self._limits.receive_timeout:
            error = caller_errors.REQUEST_TIMEOUT
            self._refuse(error, error.say("within", seconds=f"{self._limits.receive_timeout:.0f}"))

    def close_if_idle(self, now: float, quiet: float) -> None:
        """Close if no request has been in progress for `quiet` seconds."""
        if self.idle_since is None or now - self.idle_since < quiet or self._transport is None:
            return
        if self._closed_at is None:
            self._closed_at = now
            self._deaf = True
            self._transport.close()
        elif now - self._closed_at > self._limits.goodbye:
            self._transport.abort()

    def abort(self) -> None:
        """Drop the connection and the request in progress on it."""
        if self._transport is not None:
            self._transport.abort()
