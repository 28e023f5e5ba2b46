"""How long a revocation takes: one client that names many endpoints loses its access, and every gateway refuses it.

Everything is real: `nightlatch up` with two gateways, its store, its controller, gatekeepers and Envoys. All endpoints
are asleep and stay so. The client may infer only, and asks for metadata on kept-alive connections, one to each endpoint
of each gateway: 403 as long as its key is good, 401 from then on. Neither wakes anything.
"""

import asyncio
import copy
import os
import tempfile
import time
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from asleep import BOT, GOOD, NAMESPACE, PATIENCE_S, REFUSED, Route, Sizes, Sleeping, client, command_line, sleeping
from table import markdown, percentile

from nightlatch.api.meta import INFERENCE_CLIENT, NamespacedName, ObjectRef

CLIENT = NamespacedName(NAMESPACE, BOT)
# So many connections to one gateway ask at the same time.
ASKING = 2


@dataclass(frozen=True, slots=True)
class Round:
    """Seconds from the beginning of the write to the first refusal, by gateway and endpoint; load: average of 1 min."""

    how: str
    seconds: dict[tuple[int, str], float]
    wrote: float
    load: float

    @property
    def last(self) -> float:
        """Until every gateway refused on every endpoint."""
        return max(self.seconds.values())


def main() -> None:
    """The command line. 128 endpoints are the most that a client may name."""
    command_line(__doc__, run, Sizes(128, 2, 20), Sizes(4, 2, 2), rounds="half of them deletions")


async def run(sizes: Sizes) -> None:
    """Suspend and delete the client by turns, and print how long each took."""
    names = [f"e{index}" for index in range(sizes.endpoints)]
    access: dict[str, dict[str, Any]] = {name: {"apiKey": {}} for name in names}
    with tempfile.TemporaryDirectory(prefix="nl-bench-") as folder:
        async with sleeping(Path(folder), access, sizes.gateways, client(names)) as here:
            await here.until_good(here.up.key(BOT))
            found = [
                await _suspended(here) if number % 2 == 0 else await _deleted(here, names)
                for number in range(sizes.rounds)
            ]
            here.check_asleep()
    print(_table(found, sizes))


async def _suspended(here: Sleeping) -> Round:
    """Suspend the client, and then let it call again."""
    key, store = here.up.key(BOT), here.store
    suspended = copy.deepcopy(await store.get(INFERENCE_CLIENT, NAMESPACE, BOT))
    suspended["spec"]["suspend"] = True
    measured = await measured_round("suspended", key, here.routes, store.replace(suspended))
    again = await store.get(INFERENCE_CLIENT, NAMESPACE, BOT)
    again["spec"]["suspend"] = False
    await store.replace(again)
    await here.until_good(key)
    return measured


async def _deleted(here: Sleeping, names: Sequence[str]) -> Round:
    """Delete the client, and then create it again, with another key."""
    up, old = here.up, here.up.key(BOT)
    measured = await measured_round(
        "deleted", old, here.routes, here.store.delete(ObjectRef(INFERENCE_CLIENT.kind, CLIENT))
    )
    await here.store.create(client(names))
    file = up.files(BOT) / "api-key"
    await up.until("another key", lambda: file.exists() and up.key(BOT) not in {"", old}, PATIENCE_S)
    await here.until_good(up.key(BOT))
    return measured


async def measured_round(how: str, key: str, routes: Sequence[Route], write: Awaitable[object]) -> Round:
    """Take access away from this key or token with a write, and ask on every connection until it is refused there."""
    gateways = sorted({route.gateway for route in routes})
    left = [[route for route in routes if route.gateway == gateway] for gateway in gateways]
    seconds: dict[tuple[int, str], float] = {}
    asking = [asyncio.create_task(_ask(share, key, seconds)) for each in left for share in _shares(each)]
    # The first sweep finds a good key everywhere.
    await asyncio.sleep(0.5)
    started = time.perf_counter()
    await write
    wrote = time.perf_counter() - started
    async with asyncio.timeout(PATIENCE_S):
        await asyncio.gather(*asking)
    for route in routes:
        if await route.status(key, "POST", "/v1/embeddings") != REFUSED:
            raise RuntimeError(f"gateway {route.gateway} refused {route.endpoint}, and then did not")
    return Round(how, {place: when - started for place, when in seconds.items()}, wrote, os.getloadavg()[0])


def _shares(routes: Sequence[Route]) -> list[list[Route]]:
    return [list(routes[number::ASKING]) for number in range(ASKING)]


async def _ask(routes: list[Route], key: str, seconds: dict[tuple[int, str], float]) -> None:
    """Ask one after the other, again and again, and note when each was first refused."""
    left = routes
    while left:
        still_good = []
        for route in left:
            status = await route.status(key)
            if status == GOOD:
                still_good.append(route)
            elif status == REFUSED:
                seconds[route.gateway, route.endpoint] = time.perf_counter()
            else:
                raise RuntimeError(f"gateway {route.gateway} answered {status} for {route.endpoint}")
        left = still_good


def _table(found: Sequence[Round], sizes: Sizes) -> str:
    rows = [
        row(f"{how}: refused by every gateway on every endpoint", [each.last for each in found if each.how == how])
        for how in ("suspended", "deleted")
    ]
    rows += [
        row("**both: refused by every gateway on every endpoint**", [each.last for each in found]),
        row(
            "both: first refusal, each gateway and endpoint by itself",
            [one for each in found for one in each.seconds.values()],
        ),
        row("both: of that, the write to the store", [each.wrote for each in found]),
    ]
    loads = [each.load for each in found]
    header = [
        f"{sizes.endpoints} endpoints on {sizes.gateways} gateways, ms from the beginning of the write",
        "times",
        "p50",
        "p99",
        "worst",
    ]
    return f"load average over the rounds: {min(loads):.1f} to {max(loads):.1f}\n\n{markdown(header, rows)}"


def row(name: str, seconds: Sequence[float]) -> list[str]:
    values = [each * 1000 for each in seconds]
    return [name, f"{len(values):,}", *(f"{percentile(values, percent):.0f}" for percent in (50, 99, 100))]


if __name__ == "__main__":
    main()
