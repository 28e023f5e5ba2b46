"""What each server has said about itself: the nonce that it wants in proofs, and how its clock differs from ours."""

from collections.abc import Mapping
from email.utils import parsedate_to_datetime

from nightlatch_client.metadata import origin

# `Date` has whole seconds and is as old as the answer took: less than this is no difference.
_TELLING_S = 5.0


class Servers:
    """Safe to use from several threads."""

    def __init__(self) -> None:
        self._nonces: dict[str, str] = {}
        self._ahead_s: dict[str, float] = {}

    def learn(self, url: str, headers: Mapping[str, str], wall_s: float) -> tuple[bool, bool]:
        """Returns whether the nonce, and whether the clock, is another than was known. wall_s: our clock."""
        server = origin(url)
        nonce, before = headers.get("dpop-nonce"), self._nonces.get(server)
        if nonce is not None:
            self._nonces[server] = nonce
        ahead, known = _ahead(headers.get("date"), wall_s), self._ahead_s.get(server, 0.0)
        if ahead is not None:
            self._ahead_s[server] = ahead
        return nonce is not None and nonce != before, ahead is not None and abs(ahead - known) > _TELLING_S

    def nonce(self, url: str) -> str | None:
        """The last one of this server."""
        return self._nonces.get(origin(url))

    def time(self, url: str, wall_s: float) -> float:
        """What the clock of this server shows when ours shows wall_s, as far as is known."""
        return wall_s + self._ahead_s.get(origin(url), 0.0)


def _ahead(date: str | None, wall_s: float) -> float | None:
    try:
        ahead = parsedate_to_datetime(date).timestamp() - wall_s if date else None
    except (ValueError, OverflowError):
        return None
    return None if ahead is None else ahead if abs(ahead) > _TELLING_S else 0.0
