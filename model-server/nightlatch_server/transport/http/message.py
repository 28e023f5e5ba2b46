"""Requests and responses as plain values, and the bytes of a response."""

import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from email.utils import formatdate
from http import HTTPStatus

import orjson

from nightlatch_server.error_body import CallerError, error_body

JSON = b"application/json"


@dataclass(frozen=True, slots=True)
class Request:
    """A complete request. `path` excludes the query; header names are lower case; `received` is time.monotonic()."""

    method: str
    path: str
    query: str
    headers: Sequence[tuple[bytes, bytes]]
    body: bytes
    keep_alive: bool
    received: float = 0.0

    def header(self, name: bytes) -> bytes | None:
        """The first value of the header `name` (lower case)."""
        return next((value for key, value in self.headers if key == name), None)


@dataclass(frozen=True, slots=True)
class Response:
    """A complete response. `headers` are extra: content-type, content-length, date and connection are always set."""

    status: int
    body: bytes = b""
    content_type: bytes = JSON
    headers: Sequence[tuple[bytes, bytes]] = field(default_factory=tuple)


Handler = Callable[[Request], Awaitable[Response]]


def json_response(status: int, value: object, headers: Sequence[tuple[bytes, bytes]] = ()) -> Response:
    """`value` as JSON. C-contiguous numpy arrays become nested lists."""
    return Response(status, orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY), JSON, headers)


def error_response(
    path: str,
    error: CallerError,
    message: str | None = None,
    *,
    param: str | None = None,
    headers: Sequence[tuple[bytes, bytes]] = (),
) -> Response:
    """An error in the shape of the path's API. `path` is empty as long as it is not known (malformed HTTP)."""
    if error.retry_after is not None:
        headers = [(b"retry-after", b"%d" % error.retry_after), *headers]
    return json_response(error.status, error_body(path, error, message or error.say(), param=param), headers)


_STATUS_LINES = {s.value: b"HTTP/1.1 %d %s\r\n" % (s.value, s.phrase.encode()) for s in HTTPStatus}


class _DateHeader:
    """The bytes of the Date header, formatted once per second."""

    def __init__(self) -> None:
        self._second = 0
        self._line = b""

    def line(self) -> bytes:
        now = int(time.time())
        if now != self._second:
            self._second = now
            self._line = b"date: %s\r\n" % formatdate(now, usegmt=True).encode()
        return self._line


_date = _DateHeader()


def encode(response: Response, *, close: bool, head_only: bool = False) -> bytes:
    """The response as HTTP/1.1 bytes. `close`: the connection ends after it; `head_only`: the request was a HEAD."""
    head = [
        _STATUS_LINES[response.status],
        _date.line(),
        b"content-type: %s\r\ncontent-length: %d\r\n" % (response.content_type, len(response.body)),
    ]
    head += [b"%s: %s\r\n" % header for header in response.headers]
    if close:
        head.append(b"connection: close\r\n")
    head += [b"\r\n", b"" if head_only else response.body]
    return b"".join(head)
