"""The batcher keeps the worker busy, loses nobody's rows, and refuses rather than grow."""

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from numpy.typing import NDArray

from nightlatch_server.engine.batcher import Batcher, Bounds, Job, Piece, select, split
from nightlatch_server.models.base import TokenIds
from nightlatch_server.request_error import RequestError


class Worker:
    """Stands in for a model: each row's vector is its sum and length; blocks while `gate` is closed."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.gate.set()
        self.entered = threading.Event()
        self.batches: list[list[TokenIds]] = []

    def __call__(self, rows: Sequence[TokenIds]) -> NDArray[np.float32]:
        self.batches.append(list(rows))
        self.entered.set()
        self.gate.wait(10)
        if any(row == [666] for row in rows):
            raise ValueError("the model broke")
        return np.array([[sum(row), len(row)] for row in rows], np.float32)


class Ignored:
    def batch_started(self, rows: int, tokens: int, waits: Iterable[float]) -> None: ...

    def batch_finished(self, seconds: float) -> None: ...


def make(worker: Worker, bounds: Bounds | None = None) -> Callable[..., asyncio.Future[NDArray[np.float32]]]:
    batcher = Batcher(worker, ThreadPoolExecutor(1), bounds or Bounds(), Ignored())
    return lambda rows, seconds=60.0: batcher.submit(rows, time.monotonic() + seconds)


async def occupied(
    worker: Worker, submit: Callable[..., asyncio.Future[NDArray[np.float32]]]
) -> asyncio.Future[NDArray[np.float32]]:
    """Close the gate with one request in the worker."""
    worker.gate.clear()
    first = submit([[1]])
    await asyncio.to_thread(worker.entered.wait, 10)
    return first


def job(*lengths: int) -> Job:
    future: asyncio.Future[object] = asyncio.get_running_loop().create_future()
    return Job([[1] * n for n in lengths], future, 0.0, 0.0, len(lengths))


async def test_requests_of_one_tick_share_a_batch() -> None:
    worker = Worker()
    submit = make(worker)
    answers = await asyncio.gather(*(submit([[i, i]]) for i in range(5)))
    assert [answer.tolist() for answer in answers] == [[[2 * i, 2]] for i in range(5)]
    assert len(worker.batches) == 1


async def test_what_comes_while_a_batch_runs_is_the_next_batch() -> None:
    worker = Worker()
    submit = make(worker)
    first = await occupied(worker, submit)
    rest = [submit([[i]]) for i in range(2, 9)]
    worker.gate.set()
    await asyncio.gather(first, *rest)
    assert [len(batch) for batch in worker.batches] == [1, 7]


async def test_rows_come_back_in_the_callers_order_however_they_were_batched() -> None:
    worker = Worker()
    submit = make(worker, Bounds(batch_tokens=32))
    rows = [[i] * (1 + i * 7 % 23) for i in range(50)]
    answers = await asyncio.gather(submit(rows), submit([[5, 6]]), submit(rows[::-1]))
    expected = [[sum(row), len(row)] for row in rows]
    assert answers[0].tolist() == expected
    assert answers[1].tolist() == [[11, 2]]
    assert answers[2].tolist() == expected[::-1]
    assert all(len(batch) * max(map(len, batch)) <= 32 for batch in worker.batches)


async def test_a_full_queue_is_429_and_what_waits_is_still_served() -> None:
    worker = Worker()
    submit = make(worker, Bounds(requests=3))
    waiting = [await occupied(worker, submit), submit([[2]]), submit([[3]])]
    with pytest.raises(RequestError) as refused:
        submit([[4]])
    assert (refused.value.error.status, refused.value.error.retry_after) == (429, 1)
    worker.gate.set()
    assert [answer.tolist() for answer in await asyncio.gather(*waiting)] == [[[1, 1]], [[2, 1]], [[3, 1]]]
    assert (await submit([[4]])).tolist() == [[4, 1]]


async def test_the_queue_is_bounded_in_tokens_too_but_one_large_request_always_fits() -> None:
    worker = Worker()
    submit = make(worker, Bounds(tokens=10))
    large = submit([[1] * 50])
    with pytest.raises(RequestError, match="Too many"):
        submit([[1]])
    assert (await large).tolist() == [[50, 50]]


async def test_a_caller_that_is_gone_costs_no_inference() -> None:
    worker = Worker()
    submit = make(worker)
    first = await occupied(worker, submit)
    gone, stays = submit([[7]]), submit([[8]])
    gone.cancel()
    worker.gate.set()
    await asyncio.gather(first, stays)
    assert worker.batches == [[[1]], [[8]]]


async def test_a_request_past_its_deadline_is_not_started() -> None:
    worker = Worker()
    submit = make(worker)
    first = await occupied(worker, submit)
    late, stays = submit([[7]], -1.0), submit([[8]])
    worker.gate.set()
    with pytest.raises(RequestError) as refused:
        await late
    assert refused.value.error.status == 504
    await asyncio.gather(first, stays)
    assert worker.batches == [[[1]], [[8]]]


async def test_a_model_that_breaks_fails_its_batch_and_serves_the_next() -> None:
    worker = Worker()
    submit = make(worker)
    with pytest.raises(ValueError, match="the model broke"):
        await submit([[666]])
    assert (await submit([[1]])).tolist() == [[1, 1]]


async def test_a_long_request_lets_others_in_between() -> None:
    worker = Worker()
    submit = make(worker, Bounds(batch_tokens=4))
    long = submit([[1]] * 40)
    short = submit([[9]])
    await short
    assert (await long).shape == (40, 2)
    assert [[9]] in worker.batches[:2]
    assert len(worker.batches) == 11


async def test_split_respects_the_budget_with_padding_and_lets_an_oversized_row_through_alone() -> None:
    pieces = split(job(3, 100, 1, 2, 8), budget=10)
    assert [[*piece.indices] for piece in pieces] == [[2, 3, 0], [4], [1]]
    assert [piece.longest for piece in pieces] == [3, 8, 100]


async def test_select_takes_similar_lengths_and_keeps_the_order_of_the_rest() -> None:
    short = [Piece(job(4), (0,), 4) for _ in range(3)]
    long = [Piece(job(100), (0,), 100) for _ in range(2)]
    queue = deque([short[0], long[0], short[1], long[1], short[2]])
    assert select(queue, budget=1000) == short
    assert list(queue) == long
    assert select(queue, budget=100) == long[:1]
