"""Several streams as one: nothing is lost, an error ends it, and nobody is left behind."""

import asyncio
import gc

import pytest

from nightlatch.store.kubernetes.merging import merge


class Stream:
    """Endless; gives what is put into it, raises what is put as an exception. `open`: somebody still reads it."""

    def __init__(self, *items):
        self.queue = asyncio.Queue()
        self.open = False
        self.put(*items)

    def put(self, *items):
        for item in items:
            self.queue.put_nowait(item)

    async def read(self):
        self.open = True
        try:
            while True:
                item = await self.queue.get()
                if isinstance(item, Exception):
                    raise item
                if item is END:
                    return
                yield item
        finally:
            self.open = False


END = object()


async def take(stream, count):
    return [await anext(stream) for _ in range(count)]


@pytest.mark.parametrize("count", [1, 2, 5])
async def test_every_item_of_every_stream_comes_once_and_in_its_order(count):
    streams = [Stream(*((index, number) for number in range(20))) for index in range(count)]
    merged = merge([stream.read() for stream in streams])
    got = await take(merged, 20 * count)
    for index in range(count):
        assert [number for which, number in got if which == index] == list(range(20))
    await merged.aclose()


async def test_a_quiet_stream_does_not_hold_up_another():
    quiet, busy = Stream(), Stream("first")
    merged = merge([quiet.read(), busy.read()])
    assert await anext(merged) == "first"
    quiet.put("second")
    assert await anext(merged) == "second"
    await merged.aclose()


@pytest.mark.parametrize("others", [0, 2])
async def test_an_error_comes_after_what_came_before_it_and_ends_all(others):
    streams = [Stream("last", KeyError("broken")), *(Stream() for _ in range(others))]
    merged = merge([stream.read() for stream in streams])
    assert await anext(merged) == "last"
    with pytest.raises(KeyError, match="broken"):
        await anext(merged)
    assert not any(stream.open for stream in streams)
    with pytest.raises(StopAsyncIteration):
        await anext(merged)


@pytest.mark.parametrize("others", [0, 2])
async def test_the_end_of_one_comes_after_what_came_before_it_and_is_the_end_of_all(others):
    streams = [Stream("last", END), *(Stream() for _ in range(others))]
    merged = merge([stream.read() for stream in streams])
    assert [item async for item in merged] == ["last"]
    assert not any(stream.open for stream in streams)


async def test_a_reader_that_goes_away_leaves_no_task_behind():
    before = asyncio.all_tasks()
    streams = [Stream(), Stream()]
    merged = merge([stream.read() for stream in streams])
    reader = asyncio.create_task(anext(merged))
    while not all(stream.open for stream in streams):
        await asyncio.sleep(0)
    reader.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reader
    await asyncio.sleep(0)
    assert asyncio.all_tasks() == before
    del merged
    gc.collect()
    assert not any(stream.open for stream in streams)
