"""What a row of the attack tables says: a call that must be refused, how, and a twin that must be let through.

A text may name a word of the world in which the row is tried, such as `{bot}` for a good key: tests/attack/world.py.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Literal

from nightlatch.wire import caller_errors
from nightlatch.wire.error_body import CallerError

Protocol = Literal["http1", "http2", "grpc"]
EVERY: tuple[Protocol, ...] = ("http1", "http2", "grpc")
HTTP: tuple[Protocol, ...] = ("http1", "http2")
HTTP1: tuple[Protocol, ...] = ("http1",)
HTTP2: tuple[Protocol, ...] = ("http2",)

# The caller gets no answer: the gateway ends the connection or the stream.
CLOSED = "closed"
_WORD = re.compile(r"\{(\w+)\}")


@dataclass(frozen=True)
class Call:
    """What a caller sends. Without `host`, Host and :authority say what the TLS connection does.

    `lines` are sent as they are, in place of everything else but `server_name`; HTTP/1.1 has no other way to say them.
    `pseudo` are sent beside :method, :path, :scheme and :authority; only HTTP/2 has them.
    """

    method: str = "POST"
    path: str = "/v1/embeddings"
    headers: tuple[tuple[str, str], ...] = ()
    server_name: str = "{host}"
    host: str | None = None
    body: str | None = None
    lines: tuple[str, ...] = ()
    pseudo: tuple[tuple[str, str], ...] = ()

    def with_(self, *headers: tuple[str, str]) -> "Call":
        """The same with more headers."""
        return replace(self, headers=(*self.headers, *headers))


@dataclass(frozen=True)
class Row:
    """`error` (an entry of caller_errors.yaml, or CLOSED) and `detail` say how `call` is refused.

    decided: whether the gate decides about it, so that it has its line in the audit log. What Envoy cannot read, and
    calls to hosts that no endpoint has, are no decisions.
    client: whose credential it was, if it was a good one.
    differs: in how many things the twin differs; 2 where a key lies elsewhere.
    status: the HTTP status, where it is not the error's own.
    calls: how many calls the twin is; 2 where it has another one behind it.
    admitted: whether the gate lets its head pass, and only then it is seen that the body is not what the head says.
    embedded: whether it is tried on a whole `nightlatch up`, too.
    """

    name: str
    call: Call
    twin: Call
    error: CallerError | Literal["closed"] = caller_errors.UNAUTHENTICATED
    detail: str | None = None
    over: tuple[Protocol, ...] = EVERY
    decided: bool = True
    client: str | None = None
    differs: int = 1
    status: int | None = None
    calls: int = 1
    admitted: bool = False
    embedded: bool = False

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True)
class Arrival:
    """A call that is let through, and `plain`, from which the model server cannot tell it."""

    name: str
    call: Call
    plain: Call
    over: tuple[Protocol, ...] = HTTP

    def __str__(self) -> str:
        return self.name


def spoken(text: str, words: Mapping[str, str]) -> str:
    """The text with the words of this world in it."""
    return _WORD.sub(lambda found: words[found[1]], text)


def things_that_differ(one: Call, two: Call) -> int:
    """In how many members, headers and lines two calls differ; a header that is replaced counts once."""
    lists = ("headers", "lines", "pseudo")
    members = sum(getattr(one, each.name) != getattr(two, each.name) for each in fields(Call) if each.name not in lists)
    return members + sum(_entries_that_differ(getattr(one, name), getattr(two, name)) for name in lists)


def _entries_that_differ(one: tuple[object, ...], two: tuple[object, ...]) -> int:
    mine, theirs = list(one), list(two)
    for entry in one:
        if entry in theirs:
            mine.remove(entry)
            theirs.remove(entry)
    return max(len(mine), len(theirs))
