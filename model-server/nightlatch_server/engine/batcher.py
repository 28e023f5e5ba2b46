"""Batching in the process, without added delay and with a bounded queue.

While one batch runs in the worker thread, requests queue up; when it finishes, the next batch starts immediately. If
the worker is idle, a batch starts at the end of the current tick of the event loop, with every request of that tick. A
batch holds rows of similar length up to a budget of tokens, padding included. A long request is split into pieces, so
that requests take turns.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from typing import Any, Protocol

from nightlatch_server import caller_errors
from nightlatch_server.models.base import TokenIds, Vectors
from nightlatch_server.request_error import RequestError

Run = Callable[[Sequence[TokenIds]], Vectors]


class Observer(Protocol):
    """Receives the figures of each batch; times in seconds."""

    def batch_started(self, rows: int, tokens: int, waits: Iterable[float]) -> None: ...

    def batch_finished(self, seconds: float) -> None: ...


@dataclass(frozen=True, slots=True)
class Bounds:
    """`batch_tokens` limits one batch; `requests` and `tokens` limit the queue."""

    batch_tokens: int = 2048
    requests: int = 1024
    tokens: int = 1 << 20


@dataclass(slots=True, eq=False)
class Job:
    """The rows of one request and the future that will hold their vectors."""

    rows: Sequence[TokenIds]
    future: asyncio.Future[Any]
    queued: float
    deadline: float
    missing: int
    vectors: Any = None
    rest: deque["Piece"] = field(default_factory=deque)
    """Pieces that are not queued yet. Only one is queued at a time, so that jobs take turns."""


@dataclass(frozen=True, slots=True, eq=False)
class Piece:
    """Some rows of a job, by index; the longest of them has `longest` tokens."""

    job: Job
    indices: Sequence[int]
    longest: int

    @property
    def bucket(self) -> int:
        """Lengths up to the same power of two share a bucket, so that less than half of a batch is padding."""
        return max(self.longest - 1, 7).bit_length()


def split(job: Job, budget: int) -> list[Piece]:
    """Split the rows of a job, shortest first, into pieces of at most `budget` tokens with padding, or of one row."""
    pieces: list[Piece] = []
    current: list[int] = []
    for index in sorted(range(len(job.rows)), key=lambda i: len(job.rows[i])):
        if current and (len(current) + 1) * len(job.rows[index]) > budget:
            pieces.append(Piece(job, tuple(current), len(job.rows[current[-1]])))
            current = []
        current.append(index)
    if current:
        pieces.append(Piece(job, tuple(current), len(job.rows[current[-1]])))
    return pieces


def select(queue: deque[Piece], budget: int) -> list[Piece]:
    """Take the next batch from `queue`: its head, and in order every piece of the same bucket that fits the budget."""
    head = queue.popleft()
    chosen, passed = [head], deque[Piece]()
    rows, longest = len(head.indices), head.longest
    while queue:
        piece = queue.popleft()
        grown, length = rows + len(piece.indices), max(longest, piece.longest)
        if piece.bucket == head.bucket and grown * length <= budget:
            chosen.append(piece)
            rows, longest = grown, length
        else:
            passed.append(piece)
    queue.extend(passed)
    return chosen


@dataclass(slots=True)
class Batcher:
    """Queues rows and calls `run` in `executor` with one batch at a time. Belongs to one event loop."""

    run: Run
    executor: Executor
    bounds: Bounds
    observer: Observer
    loop: asyncio.AbstractEventLoop = field(default_factory=asyncio.get_running_loop)
    _queue: deque[Piece] = field(default_factory=deque)
    _waiting: set[Job] = field(default_factory=set)
    _tokens: int = 0
    _busy: bool = False

    @property
    def depth(self) -> int:
        """Requests that wait or are partly done."""
        return len(self._waiting)

    def submit(self, rows: Sequence[TokenIds], deadline: float) -> asyncio.Future[Vectors]:
        """The vectors of `rows` (at least one), shape [n, dimension]. Cancel the future when the caller disconnects.

        `deadline` is in terms of time.monotonic(); a request past it is not started. Raises RequestError 429 if the
        queue is full.
        """
        tokens = sum(map(len, rows))
        if self._waiting and (self.depth >= self.bounds.requests or self._tokens + tokens > self.bounds.tokens):
            raise RequestError(caller_errors.QUEUE_FULL)
        job = Job(rows, self.loop.create_future(), time.monotonic(), deadline, missing=len(rows))
        self._waiting.add(job)
        self._tokens += tokens
        job.future.add_done_callback(lambda _: self._forget(job, tokens))
        job.rest.extend(split(job, self.bounds.batch_tokens))
        self._queue.append(job.rest.popleft())
        if not self._busy:
            self._busy = True
            self.loop.call_soon(self._start)
        return job.future

    def _forget(self, job: Job, tokens: int) -> None:
        self._waiting.discard(job)
        self._tokens -= tokens

    def _start(self) -> None:
        """Start the next batch, or become idle."""
        self._drop_expired()
        if not self._queue:
            self._busy = False
            return
        batch = select(self._queue, self.bounds.batch_tokens)
        self._queue.extend(piece.job.rest.popleft() for piece in batch if piece.job.rest)
        rows = [piece.job.rows[index] for piece in batch for index in piece.indices]
        now = time.monotonic()
        self.observer.batch_started(len(rows), sum(map(len, rows)), [now - piece.job.queued for piece in batch])
        running = self.loop.run_in_executor(self.executor, self.run, rows)
        running.add_done_callback(lambda done: self._finish(batch, now, done))

    def _drop_expired(self) -> None:
        now = time.monotonic()
        for piece in self._queue:
            if piece.job.deadline < now and not piece.job.future.done():
                piece.job.future.set_exception(RequestError(caller_errors.DEADLINE_EXCEEDED))
        self._queue = deque(piece for piece in self._queue if not piece.job.future.done())

    def _finish(self, batch: Sequence[Piece], started: float, done: asyncio.Future[Vectors]) -> None:
        self.observer.batch_finished(time.monotonic() - started)
        error = done.exception()
        at = 0
        for piece in batch:
            if error is not None:
                _fail(piece.job, error)
            else:
                _deliver(piece, done.result()[at : at + len(piece.indices)])
            at += len(piece.indices)
        self._start()


def _fail(job: Job, error: BaseException) -> None:
    if not job.future.done():
        job.future.set_exception(error)


def _deliver(piece: Piece, vectors: Vectors) -> None:
    job = piece.job
    if job.future.done():
        return
    if job.vectors is None:
        import numpy as np  # noqa: PLC0415 - loaded with torch, after the ports accept connections

        job.vectors = np.empty_like(vectors, shape=(len(job.rows), *vectors.shape[1:]))
    job.vectors[list(piece.indices)] = vectors
    job.missing -= len(piece.indices)
    if job.missing == 0:
        job.future.set_result(job.vectors)
