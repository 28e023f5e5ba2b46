"""Several streams as one."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from typing import TypeVar

T = TypeVar("T")


async def merge(streams: Sequence[AsyncIterator[T]]) -> AsyncGenerator[T, None]:
    """Items of all streams as they come. The first stream that ends, or raises, ends it in the same way."""
    if len(streams) == 1:
        async for item in streams[0]:
            yield item
        return
    queue: asyncio.Queue[T] = asyncio.Queue()
    pumps = [asyncio.create_task(_pump(stream, queue)) for stream in streams]
    try:
        while True:
            try:
                yield await _next(queue, pumps)
            except _EndedError:
                return
    finally:
        for pump in pumps:
            pump.cancel()
        await asyncio.gather(*pumps, return_exceptions=True)


class _EndedError(Exception):
    """One of the streams has no more items."""


async def _pump(stream: AsyncIterator[T], queue: "asyncio.Queue[T]") -> None:
    async for item in stream:
        await queue.put(item)


async def _next(queue: "asyncio.Queue[T]", pumps: Sequence["asyncio.Task[None]"]) -> T:
    item = asyncio.ensure_future(queue.get())
    try:
        await asyncio.wait({item, *pumps}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        item.cancel()
    if item.done():
        return item.result()
    for pump in pumps:
        if pump.done():
            pump.result()
    raise _EndedError
