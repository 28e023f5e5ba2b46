"""The waiting room: bounded in number, by client and in time."""

import asyncio
import time

import pytest

from nightlatch.gatekeeper.hold.gateway_places import GatewayPlaces
from nightlatch.gatekeeper.hold.still_allowed import HeldCall, Proof
from nightlatch.gatekeeper.hold.waiting_room import Admitted, Bounds, Outcome, Refused, WaitingRoom
from nightlatch.wire import caller_errors

REVOKED = Refused(caller_errors.UNAUTHENTICATED, caller_errors.UNAUTHENTICATED.say())
FAILURE = Refused(caller_errors.WAKE_FAILED, "the image cannot be pulled", "ImagePullFailed")


class Counts:
    """What the room said of itself."""

    def __init__(self) -> None:
        self.seen: list[int] = []
        self.gateway = GatewayPlaces(1000)
        self.revoked: set[str] = set()

    def room(self, places: int = 8, timeout: float = 30.0) -> WaitingRoom:
        bounds = Bounds(places, timeout)
        return WaitingRoom(bounds, self.seen.append, time.monotonic, refusal=self._refusal, places=self.gateway)

    def _refusal(self, call: HeldCall) -> Refused | None:
        return REVOKED if call.client in self.revoked else None


def by(client: str) -> HeldCall:
    return HeldCall((Proof("apiKey", client, f"key-of-{client}"),), "POST", "/v2/models/m/infer")


async def enter(room: WaitingRoom, client: str, number: int) -> list[asyncio.Task[Outcome]]:
    tasks = [asyncio.create_task(room.hold(by(client))) for _ in range(number)]
    await asyncio.sleep(0)
    return tasks


async def test_release_lets_everyone_go_on_and_says_how_long_they_waited() -> None:
    room = Counts().room()
    tasks = await enter(room, "a", 2)
    assert len(room) == 2
    room.release()
    outcomes = await asyncio.gather(*tasks)
    assert all(isinstance(outcome, Admitted) and outcome.waited > 0 for outcome in outcomes)
    assert len(room) == 0


async def test_failure_sends_everyone_away_with_the_reason() -> None:
    room = Counts().room()
    tasks = await enter(room, "a", 2)
    room.fail(FAILURE)
    assert await asyncio.gather(*tasks) == [FAILURE, FAILURE]


async def test_one_client_gets_a_quarter_of_the_places() -> None:
    room = Counts().room(places=8)
    await enter(room, "a", 2)
    refused = await room.hold(by("a"))
    assert isinstance(refused, Refused)
    assert (refused.error.status, refused.error.code) == (429, "too_many_held_by_client")
    await enter(room, "b", 1)
    assert len(room) == 3
    room.release()


async def test_no_more_calls_than_places() -> None:
    room = Counts().room(places=4)
    for client in "abcd":
        await enter(room, client, 1)
    refused = await room.hold(by("e"))
    assert isinstance(refused, Refused)
    assert (refused.error.status, refused.error.code) == (429, "too_many_held")
    room.release()


async def test_a_small_room_still_takes_one_call_of_a_client() -> None:
    room = Counts().room(places=1)
    tasks = await enter(room, "a", 1)
    room.release()
    assert isinstance(await tasks[0], Admitted)


@pytest.mark.parametrize(
    ("bound", "asked", "shown"), [(0.02, None, "0.02"), (60.0, 0.03, "0.03"), (0.02, 60.0, "0.02")]
)
async def test_time_out_is_the_shorter_of_bound_and_wish(bound: float, asked: float | None, shown: str) -> None:
    counts = Counts()
    refused = await counts.room(timeout=bound).hold(by("a"), timeout=asked)
    assert isinstance(refused, Refused)
    assert (refused.error.status, refused.error.code, refused.reason) == (503, "wake_timeout", "WakeTimeout")
    assert shown in refused.sentence
    assert counts.seen == [1, 0]


async def test_a_caller_that_hangs_up_gives_its_place_back() -> None:
    counts = Counts()
    room = counts.room(places=1)
    (task,) = await enter(room, "a", 1)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert counts.seen == [1, 0]
    (again,) = await enter(room, "a", 1)
    room.release()
    assert isinstance(await again, Admitted)


async def test_only_the_calls_whose_access_ended_are_refused() -> None:
    counts = Counts()
    room = counts.room()
    revoked, other = await enter(room, "a", 1) + await enter(room, "b", 1)
    counts.revoked.add("a")
    room.refuse_revoked()
    assert await revoked == REVOKED
    assert (len(room), counts.gateway.held) == (1, 1)
    room.release()
    assert isinstance(await other, Admitted)


async def test_access_that_ends_is_noticed_at_the_release_at_the_latest() -> None:
    counts = Counts()
    room = counts.room()
    (task,) = await enter(room, "a", 1)
    room.release()
    counts.revoked.add("a")
    assert await task == REVOKED


async def test_a_full_gateway_refuses_with_a_code_of_its_own_and_every_call_gives_its_place_back() -> None:
    counts = Counts()
    counts.gateway = GatewayPlaces(2)
    room, other = counts.room(), counts.room()
    tasks = await enter(room, "a", 1) + await enter(other, "a", 1)
    refused = await room.hold(by("b"))
    assert isinstance(refused, Refused)
    assert (refused.error.status, refused.error.code) == (429, "too_many_held_at_gateway")
    assert (counts.gateway.held, counts.gateway.refused) == (2, 1)
    tasks[0].cancel()
    other.release()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert counts.gateway.held == 0
