"""The waiting room of one endpoint: calls held while it wakes, bounded in number and time.

The bounds are per gateway. One client gets at most a quarter of the places, so that no client can shut others out.
"""

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from nightlatch.api.conditions import Reason


@dataclass(frozen=True, slots=True)
class Bounds:
    """`max_requests` places; nobody waits longer than `timeout` seconds."""

    max_requests: int
    timeout: float

    @property
    def per_client(self) -> int:
        """Places of one client."""
        return max(1, self.max_requests // 4)


@dataclass(frozen=True, slots=True)
class Admitted:
    """Go on. `waited`: seconds spent in the room."""

    waited: float


@dataclass(frozen=True, slots=True)
class Refused:
    """Do not go on. `code` is CamelCase and, like `message`, fit for a caller; `retry_after` is whole seconds."""

    status: int
    code: str
    message: str
    retry_after: int


Outcome = Admitted | Refused

_TOO_MANY = Refused(429, "TooManyHeld", "too many calls already wait for this endpoint to wake; retry later", 5)
_CLIENT_QUOTA = Refused(
    429, "TooManyHeld", "this client already holds its share of the calls that may wait for this endpoint", 5
)


class WaitingRoom:
    """See the module. `on_count` is told the number held at each change; `clock` is monotonic seconds."""

    def __init__(self, bounds: Bounds, on_count: Callable[[int], None], clock: Callable[[], float]) -> None:
        self.bounds = bounds
        self._on_count = on_count
        self._clock = clock
        self._waiting: set[asyncio.Future[Refused | None]] = set()
        self._clients: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self._waiting)

    async def hold(self, client: str, *, timeout: float | None = None) -> Outcome:
        """Wait until released, failed or out of time. The caller may ask for less time than the bound, not for more.

        Cancellation (the caller hung up) gives the place back.
        """
        if len(self._waiting) >= self.bounds.max_requests:
            return _TOO_MANY
        if self._clients[client] >= self.bounds.per_client:
            return _CLIENT_QUOTA
        limit = self.bounds.timeout if timeout is None else min(timeout, self.bounds.timeout)
        return await self._wait(client, limit)

    async def _wait(self, client: str, limit: float) -> Outcome:
        entered = self._clock()
        place: asyncio.Future[Refused | None] = asyncio.get_running_loop().create_future()
        self._enter(client, place)
        try:
            refused = await asyncio.wait_for(place, limit)
        except TimeoutError:
            return Refused(503, Reason.WAKE_TIMEOUT, f"the endpoint did not wake within {limit:g} s; retry later", 10)
        finally:
            self._leave(client, place)
        return refused or Admitted(self._clock() - entered)

    def release(self) -> None:
        """Let everyone go on."""
        self._settle(None)

    def fail(self, refused: Refused) -> None:
        """Send everyone away with a reason."""
        self._settle(refused)

    def _settle(self, outcome: Refused | None) -> None:
        for place in self._waiting:
            if not place.done():
                place.set_result(outcome)

    def _enter(self, client: str, place: asyncio.Future[Refused | None]) -> None:
        self._waiting.add(place)
        self._clients[client] += 1
        self._on_count(len(self._waiting))

    def _leave(self, client: str, place: asyncio.Future[Refused | None]) -> None:
        self._waiting.discard(place)
        self._clients[client] -= 1
        if not self._clients[client]:
            del self._clients[client]
        self._on_count(len(self._waiting))
