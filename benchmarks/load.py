"""A load generator: one process, kept-alive HTTP/1.1 over TLS; each connection sends its next call after the answer.

Getting ready (connecting, and one call each to warm up) is a separate command, so that no handshake is measured.
"""

import asyncio
import contextlib
import itertools
import multiprocessing
import ssl
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Connection as Pipe
from pathlib import Path
from typing import cast

import uvloop

HOST = "127.0.0.1"
_LENGTH = b"content-length: "
_PATIENCE_S = 60.0


@dataclass(frozen=True, slots=True)
class Target:
    """Whom to call. name: SNI. requests: raw bytes, one for each connection to be opened, which repeats it.

    certificate: what callers present, a file with chain and key. connections: how many share the requests instead, so
    that each sends its part in turn.
    """

    port: int
    name: str
    ca: Path
    requests: tuple[bytes, ...] = field(repr=False)
    certificate: Path | None = None
    connections: int | None = None

    def after(self, calls: int) -> "Target":
        """The same, from where so many calls end: requests that were sent come last."""
        if self.connections is None:
            return self
        at = calls % len(self.requests)
        return replace(self, requests=self.requests[at:] + self.requests[:at])


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came back: calls by status (0: the connection was lost), wall time, latencies in seconds."""

    statuses: dict[int, int]
    seconds: float
    latencies: tuple[float, ...] = field(repr=False)

    @property
    def calls(self) -> int:
        """All of them."""
        return sum(self.statuses.values())


def request(method: str, path: str, host: str, *, key: str | None = None, body: bytes = b"") -> bytes:
    """A call as raw bytes; `key` as a bearer token."""
    lines = [f"{method} {path} HTTP/1.1", f"host: {host}", f"content-length: {len(body)}"]
    lines += ["content-type: application/json"] if body else []
    lines += [f"authorization: Bearer {key}"] if key else []
    return "\r\n".join([*lines, "", ""]).encode() + body


class Generator:
    """The generator's process, from here. Use `with generator() as load`."""

    def __init__(self, pipe: Pipe) -> None:
        self._pipe = pipe

    async def ready(self, target: Target) -> None:
        """Connect, and warm every connection with one call."""
        self._pipe.send(target)
        await self._answer()

    async def go(self, calls: int) -> Outcome:
        """Send about so many calls, the same number on each connection; then disconnect."""
        self._pipe.send(calls)
        return cast("Outcome", await self._answer())

    async def _answer(self) -> object:
        if not await asyncio.to_thread(self._pipe.poll, _PATIENCE_S):
            raise TimeoutError("the load generator does not answer")
        answer = self._pipe.recv()
        if isinstance(answer, Exception):
            raise answer
        return answer


@contextlib.contextmanager
def generator() -> Iterator[Generator]:
    """A process of its own, gone with the block."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(theirs,), daemon=True)
    process.start()
    try:
        yield Generator(ours)
    finally:
        process.terminate()
        process.join()


def _serve(pipe: Pipe) -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        while True:
            target = pipe.recv()
            try:
                runner.run(_run(target, pipe))
            except Exception as error:  # noqa: BLE001 - it is the parent's to deal with
                pipe.send(RuntimeError(f"{type(error).__name__}: {error}"))


async def _run(target: Target, pipe: Pipe) -> None:
    context = ssl.create_default_context(cafile=str(target.ca))
    context.set_alpn_protocols(["http/1.1"])
    if target.certificate:
        context.load_cert_chain(target.certificate)
    count = target.connections or len(target.requests)
    parts = [target.requests[index::count] for index in range(count)]
    callers = await asyncio.gather(*(_connect(target, part, context) for part in parts))
    await asyncio.gather(*(caller.send(1) for caller in callers))
    pipe.send("ready")
    share = max(1, pipe.recv() // len(callers))
    started = time.perf_counter()
    results = await asyncio.gather(*(caller.send(share) for caller in callers))
    seconds = time.perf_counter() - started
    for caller in callers:
        caller.close()
    statuses = [status for result in results for status, _ in result]
    latencies = tuple(latency for result in results for _, latency in result)
    pipe.send(Outcome({status: statuses.count(status) for status in set(statuses)}, seconds, latencies))


async def _connect(target: Target, requests: Sequence[bytes], context: ssl.SSLContext) -> "_Caller":
    loop = asyncio.get_running_loop()
    _, caller = await loop.create_connection(
        lambda: _Caller(requests), HOST, target.port, ssl=context, server_hostname=target.name
    )
    return caller


Answers = list[tuple[int, float]]


class _Caller(asyncio.Protocol):
    """One connection. `send` gives (status, latency) of each call; a lost connection ends it with status 0."""

    def __init__(self, requests: Sequence[bytes]) -> None:
        self._requests = itertools.cycle(requests)
        self._buffer = b""
        self._left = 0
        self._answers: Answers = []
        self._done: asyncio.Future[Answers] | None = None
        self._sent = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See asyncio.Protocol."""
        self._transport = cast("asyncio.Transport", transport)

    async def send(self, calls: int) -> Answers:
        """So many, one after the other."""
        self._left, self._answers = calls, []
        self._done = asyncio.get_running_loop().create_future()
        self._next()
        return await self._done

    def close(self) -> None:
        """Disconnect."""
        self._transport.abort()

    def data_received(self, data: bytes) -> None:
        """See asyncio.Protocol."""
        self._buffer = self._buffer + data if self._buffer else data
        if (status := _whole_answer(self._buffer)) is not None:
            self._buffer = b""
            self._note(status)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        """See asyncio.Protocol."""
        if self._done is not None and not self._done.done():
            self._left = 1
            self._note(0)

    def _note(self, status: int) -> None:
        self._answers.append((status, time.perf_counter() - self._sent))
        self._left -= 1
        if self._left > 0:
            self._next()
        elif self._done is not None and not self._done.done():
            self._done.set_result(self._answers)

    def _next(self) -> None:
        self._sent = time.perf_counter()
        self._transport.write(next(self._requests))


def _whole_answer(buffer: bytes) -> int | None:
    """The status, once the answer is whole; ours all carry content-length."""
    end = buffer.find(b"\r\n\r\n")
    if end < 0:
        return None
    at = buffer.find(_LENGTH, 0, end)
    length = int(buffer[at + len(_LENGTH) : buffer.find(b"\r", at)]) if at >= 0 else 0
    return int(buffer[9:12]) if len(buffer) >= end + 4 + length else None
