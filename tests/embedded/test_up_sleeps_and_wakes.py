"""Nothing lost at zero, cycle after cycle: whatever a call meets, it is answered."""

import asyncio

from tests.embedded.running import manifest

CYCLES = 5
DRAINING, ASLEEP = "→ Draining", "→ Asleep"


async def test_five_sleeps_lose_nothing_with_two_gateways(start, tiny):
    """On both gateways, calls meet an endpoint that sleeps, that wakes, that is awake, and that drains."""
    up = await start(manifest("one", model=tiny, idle_after="1s"), gateways=2).ready("one")
    statuses: list[int] = []
    for lifecycle in range(CYCLES):
        drained, slept = up.printed.count(DRAINING), up.printed.count(ASLEEP)
        statuses += await both_gateways(up)
        if lifecycle % 2 == 0:
            await once_more(up, DRAINING, drained)
            statuses += await both_gateways(up)
        await once_more(up, ASLEEP, slept)
    assert statuses == [200] * len(statuses)
    assert up.printed.count(ASLEEP) >= CYCLES


async def once_more(up, line, before):
    """Wait until `up` has said it more often than `before`."""
    await up.until(line, lambda: up.printed.count(line) > before)


async def both_gateways(up):
    replies = await asyncio.gather(*(calls(up, gateway, count=4) for gateway in range(2) for _ in range(2)))
    return [status for each in replies for status in each]


async def calls(up, gateway, count):
    connection = await up.connect("one", gateway)
    raw = up.embedding("one", up.key("one-bot"))
    statuses = [(await connection.send(raw)).status for _ in range(count)]
    await connection.close()
    return statuses
