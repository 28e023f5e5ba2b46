"""The waiting room of one endpoint: calls held while it wakes, bounded in number and time.

The bounds are per gateway. One client gets at most a quarter of the places, so that no client can shut others out. Each
call also takes one of the places that all endpoints of the gateway share.
"""

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from nightlatch.api.conditions import Reason
from nightlatch.gatekeeper.hold.gateway_places import GatewayPlaces
from nightlatch.gatekeeper.hold.still_allowed import HeldCall
from nightlatch.wire import caller_errors
from nightlatch.wire.error_body import CallerError


@dataclass(frozen=True, slots=True)
class Bounds:
    """At most `max_requests` calls wait, each at most `timeout` seconds."""

    max_requests: int
    timeout: float

    @property
    def per_client(self) -> int:
        """How many calls of one client may wait."""
        return max(1, self.max_requests // 4)


@dataclass(frozen=True, slots=True)
class Admitted:
    """Go on. `waited` is how many seconds the call was held."""

    waited: float


@dataclass(frozen=True, slots=True)
class Refused:
    """Do not go on. The caller reads `sentence`, and the CamelCase `reason` where a wake failed."""

    error: CallerError
    sentence: str
    reason: str | None = None


Outcome = Admitted | Refused

# Why a held call must not go on any more; None if it may.
Refusal = Callable[[HeldCall], Refused | None]

_TOO_MANY = Refused(caller_errors.TOO_MANY_HELD, caller_errors.TOO_MANY_HELD.say())
_CLIENT_QUOTA = Refused(caller_errors.TOO_MANY_HELD_BY_CLIENT, caller_errors.TOO_MANY_HELD_BY_CLIENT.say())
_GATEWAY_FULL = Refused(caller_errors.TOO_MANY_HELD_AT_GATEWAY, caller_errors.TOO_MANY_HELD_AT_GATEWAY.say())


class WaitingRoom:
    """`on_count` is called with the number of held calls at each change; `clock` is monotonic seconds.

    `refusal` is asked about each call again before the call goes on.
    """

    def __init__(
        self,
        bounds: Bounds,
        on_count: Callable[[int], None],
        clock: Callable[[], float],
        *,
        refusal: Refusal,
        places: GatewayPlaces,
    ) -> None:
        self.bounds = bounds
        self._on_count = on_count
        self._clock = clock
        self._refusal = refusal
        self._places = places
        self._waiting: dict[asyncio.Future[Refused | None], HeldCall] = {}
        self._clients: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self._waiting)

    async def hold(self, call: HeldCall, *, timeout: float | None = None) -> Outcome:
        """Wait until the endpoint is awake, its wake failed or the time is up. A caller may shorten the time only.

        Cancellation (the caller hung up) frees the place.
        """
        if len(self._waiting) >= self.bounds.max_requests:
            return _TOO_MANY
        if self._clients[call.client] >= self.bounds.per_client:
            return _CLIENT_QUOTA
        if not self._places.take(len(self._waiting)):
            return _GATEWAY_FULL
        limit = self.bounds.timeout if timeout is None else min(timeout, self.bounds.timeout)
        return await self._wait(call, limit)

    async def _wait(self, call: HeldCall, limit: float) -> Outcome:
        entered = self._clock()
        place: asyncio.Future[Refused | None] = asyncio.get_running_loop().create_future()
        self._enter(call, place)
        try:
            refused = await asyncio.wait_for(place, limit)
        except TimeoutError:
            error = caller_errors.WAKE_TIMEOUT
            return Refused(error, error.say(seconds=f"{limit:g}"), Reason.WAKE_TIMEOUT)
        finally:
            self._leave(call, place)
        return refused or self._refusal(call) or Admitted(self._clock() - entered)

    def release(self) -> None:
        """Let every held call go on."""
        self._settle(None)

    def fail(self, refused: Refused) -> None:
        """Refuse every held call."""
        self._settle(refused)

    def refuse_revoked(self) -> None:
        """Refuse the held calls that must not go on any more."""
        for place, call in self._waiting.items():
            refused = None if place.done() else self._refusal(call)
            if refused:
                place.set_result(refused)

    def _settle(self, outcome: Refused | None) -> None:
        for place in self._waiting:
            if not place.done():
                place.set_result(outcome)

    def _enter(self, call: HeldCall, place: asyncio.Future[Refused | None]) -> None:
        self._waiting[place] = call
        self._clients[call.client] += 1
        self._on_count(len(self._waiting))

    def _leave(self, call: HeldCall, place: asyncio.Future[Refused | None]) -> None:
        del self._waiting[place]
        self._places.give_back()
        self._clients[call.client] -= 1
        if not self._clients[call.client]:
            del self._clients[call.client]
        self._on_count(len(self._waiting))
