"""The places for held calls that all endpoints of one gateway share, so that held calls cannot use up its memory."""

from dataclasses import dataclass

from nightlatch.routing.limits import HELD_CALL_BYTES


def places_within(max_requests: int, max_bytes: int) -> int:
    """How many calls may be held, so that neither bound is exceeded. At least one.

    The number of places times HELD_CALL_BYTES bounds the bytes, because Envoy keeps no more of any held call.
    """
    return max(1, min(max_requests, max_bytes // HELD_CALL_BYTES))


@dataclass(slots=True)
class GatewayPlaces:
    """At most `limit` calls are held at once. `refused` counts the calls that found no place.

    The last quarter of the places is for endpoints that hold no call yet, one place each, so that an endpoint with many
    callers does not keep the others asleep.
    """

    limit: int
    held: int = 0
    refused: int = 0

    def take(self, held_by_endpoint: int) -> bool:
        """Take a place for a call to an endpoint that already holds this many. False if there is none for it."""
        limit = self.limit if held_by_endpoint == 0 else self.limit - self.limit // 4
        if self.held >= limit:
            self.refused += 1
            return False
        self.held += 1
        return True

    def give_back(self) -> None:
        """The call is no longer held."""
        self.held -= 1
