"""How long a sleeping model takes to answer, beside the same model server started by hand; and how many calls are lost.

Everything is real: `nightlatch up`, Envoy, the gatekeeper, torch and MiniLM.
"""

import argparse
import asyncio
import signal
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from awake import Caller, Stage, stage
from by_hand import Floor, ServerStart, floor
from cpu import machine
from table import markdown, median, percentile

MODEL = Path(__file__).parent.parent / "models" / "minilm"
IDLE_AFTER = "1s"
# Seconds after the drain began, or after sleep came, until calls come again: they meet every part of it.
AFTER_DRAIN = (0.0, 0.3, 0.6, 0.9, 1.2, 1.5, 1.8)
AFTER_SLEEP = (0.0, 0.05, 0.2, 0.6)
PATIENCE_S = 60.0
CALLERS, CALLS_EACH = 8, 10


# Status, and for how many milliseconds the call was held, if it was.
Answer = tuple[int, float | None]


@dataclass(frozen=True, slots=True)
class Wake:
    """One wake, in milliseconds. total: from dialling to the whole answer, by the caller's clock."""

    total: float
    phases: dict[str, float]


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--wakes", type=int, default=20, help="default: %(default)s")
    parser.add_argument("--warm-calls", type=int, default=300, help="default: %(default)s")
    parser.add_argument("--cycles", type=int, help="instead: load over so many sleeps, and what was lost")
    parser.add_argument("--quick", action="store_true", help="a smoke run: its numbers mean nothing")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    wakes, calls = (2, 20) if options.quick else (options.wakes, options.warm_calls)
    asyncio.run(_run(options.cycles, wakes, calls))


async def _run(cycles: int | None, wakes: int, calls: int) -> None:
    print(f"machine: {machine()}")
    with tempfile.TemporaryDirectory(prefix="nl-bench-") as folder:
        async with stage(Path(folder), MODEL, IDLE_AFTER) as here:
            await (loss(here, cycles) if cycles else time_wakes(here, wakes, calls))


async def time_wakes(here: Stage, wakes: int, calls: int) -> None:
    """Both tables. The first wake and the first start by hand fill the page cache and do not count."""
    await wake(here)
    by_hand = await floor(here)
    await here.asleep()
    await asyncio.to_thread(by_hand.start)
    found, starts = [], []
    for _ in range(wakes):
        await here.asleep()
        starts.append(await asyncio.to_thread(by_hand.start))
        found.append(await wake(here))
    print(_wakes(found, starts))
    print()
    print(_warm(*await asyncio.to_thread(_alternate, here, by_hand, calls)))


async def wake(here: Stage) -> Wake:
    """Call a sleeping endpoint."""
    await here.asleep()
    before = await here.view()
    started = time.perf_counter()
    status, _ = await asyncio.to_thread(here.caller().embed)
    total = (time.perf_counter() - started) * 1000
    if status != 200:
        raise RuntimeError(f"the sleeping endpoint answered {status}")
    await here.until("the wake in the status", lambda after: after.wake_at != before.wake_at)
    return Wake(total, {name: float(milliseconds) for name, milliseconds in (await here.view()).phases})


def _wakes(found: list[Wake], starts: list[ServerStart]) -> str:
    rows = [
        ("by hand: process start to open ports", [each.ports for each in starts]),
        ("by hand: open ports to ready", [each.ready for each in starts]),
        ("by hand: first call", [each.call for each in starts]),
        ("**by hand, in all**", [each.total for each in starts]),
    ]
    rows += [(f"gateway: {phase}", [each.phases.get(phase, 0.0) for each in found]) for phase in found[0].phases]
    rows += [
        ("gateway: the rest (TLS, the call itself)", [each.total - sum(each.phases.values()) for each in found]),
        ("**gateway, in all, as the caller sees it**", [each.total for each in found]),
    ]
    whole = [each.total for each in starts]
    header = [f"{len(found)} wakes, ms", "p50", "p95", "p50 vs by hand"]
    return markdown(header, [_row(name, values, whole, 95) for name, values in rows])


def _row(name: str, values: list[float], peer: list[float], tail: float) -> list[str]:
    share = percentile(values, 50) / percentile(peer, 50)
    return [name, f"{percentile(values, 50):.1f}", f"{percentile(values, tail):.1f}", f"{share:.2f}"]


def _alternate(here: Stage, by_hand: Floor, calls: int) -> tuple[list[float], list[float]]:
    """Warm calls to one and the same model server, by turns through the gateway and directly; milliseconds."""
    through, direct = here.caller(), by_hand.caller(here.address())
    times: tuple[list[float], list[float]] = ([], [])
    for number in range(-5, calls):
        for caller, found in zip((through, direct), times, strict=True):
            milliseconds = _timed(caller)
            if number >= 0:
                found.append(milliseconds)
    return times


def _timed(caller: Caller) -> float:
    started = time.perf_counter()
    status, _ = caller.embed()
    if status != 200:
        raise RuntimeError(f"a warm call was answered {status}")
    return (time.perf_counter() - started) * 1000


def _warm(through: list[float], direct: list[float]) -> str:
    added = [mine - theirs for mine, theirs in zip(through, direct, strict=True)]
    rows = [_row("model server directly, mTLS", direct, direct, 99), _row("through the gateway", through, direct, 99)]
    rows.append(["added by the gateway (median of the pairs)", f"{median(added):.1f}", "", ""])
    return markdown([f"{len(direct)} warm calls each, ms", "p50", "p99", "p50 vs directly"], rows)


async def loss(here: Stage, cycles: int) -> None:
    """Bursts of calls on connections kept over all cycles; in every other one also into the drain."""
    callers = [here.caller() for _ in range(CALLERS)]
    answers: list[Answer] = []
    started = time.monotonic()
    for number in range(cycles):
        answers += await _burst(callers)
        if number % 2:
            await _told(here, "Awake → ", AFTER_DRAIN[number // 2 % len(AFTER_DRAIN)])
            answers += await _burst(callers)
        await _told(here, "→ Asleep", AFTER_SLEEP[number % len(AFTER_SLEEP)])
    seconds, told = time.monotonic() - started, here.printed()
    _print_loss(answers, told.count("→ Asleep"), told.count("Draining → Awake"), seconds)
    if {status for status, _ in answers} != {200}:
        raise SystemExit(1)


def _print_loss(answers: list[Answer], slept: int, aborted: int, seconds: float) -> None:
    statuses = Counter(status for status, _ in answers)
    held = [waited for _, waited in answers if waited is not None]
    failed = dict(statuses - Counter({200: statuses[200]}))
    print(f"{slept} sleeps in {seconds:.0f} s, {aborted} more that calls broke off; {CALLERS} kept connections")
    print(f"{len(answers)} calls: {statuses[200]} answered 200, {sum(failed.values())} failed {failed or ''}")
    print(f"{len(held)} of them were held: p50 {percentile(held, 50):.0f} ms, longest {max(held):.0f} ms")


async def _told(here: Stage, change: str, after: float) -> None:
    """Wait until `up` prints this change once more, and then a little."""
    told = here.printed().count(change)
    async with asyncio.timeout(PATIENCE_S):
        while here.printed().count(change) == told:
            await asyncio.sleep(0.02)
    await asyncio.sleep(after)


async def _burst(callers: list[Caller]) -> list[Answer]:
    def several(caller: Caller) -> list[Answer]:
        return [caller.embed() for _ in range(CALLS_EACH)]

    answers = await asyncio.gather(*(asyncio.to_thread(several, caller) for caller in callers))
    return [answer for each in answers for answer in each]


if __name__ == "__main__":
    main()
