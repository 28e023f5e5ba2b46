"""All endpoints of a gateway share its places for held calls, and a busy one leaves some to the others."""

import pytest

from nightlatch.gatekeeper.hold.gateway_places import GatewayPlaces, places_within
from nightlatch.gatekeeper.process.config import MAX_HELD_BYTES, MAX_HELD_REQUESTS
from nightlatch.routing.limits import HELD_CALL_BYTES


def fill(places: GatewayPlaces, held_by_endpoint: int = 0) -> int:
    """How many calls one endpoint can have held at once, if it holds this many already."""
    while places.take(held_by_endpoint):
        held_by_endpoint += 1
    return held_by_endpoint


def test_one_endpoint_leaves_a_quarter_to_endpoints_that_hold_none() -> None:
    places = GatewayPlaces(100)
    assert fill(places) == 75
    assert [places.take(0) for _ in range(26)] == [True] * 25 + [False]
    assert (places.held, places.refused) == (100, 2)
    places.give_back()
    assert places.take(0)


def test_an_endpoint_that_has_one_of_the_kept_places_gets_no_second() -> None:
    places = GatewayPlaces(8)
    assert fill(places) == 6
    assert places.take(0)
    assert not places.take(1)


@pytest.mark.parametrize("limit", [1, 2, 3])
def test_a_gateway_with_few_places_uses_all_of_them(limit: int) -> None:
    assert fill(GatewayPlaces(limit)) == limit


@pytest.mark.parametrize(
    ("requests", "size", "places"),
    [
        (MAX_HELD_REQUESTS, MAX_HELD_BYTES, 2048),
        (10, MAX_HELD_BYTES, 10),
        (2048, 3 * HELD_CALL_BYTES, 3),
        (2048, 3 * HELD_CALL_BYTES - 1, 2),
        (2048, 1, 1),
    ],
)
def test_the_stricter_bound_decides(requests: int, size: int, places: int) -> None:
    assert places_within(requests, size) == places
