"""Times of a key's life in words, and who is shown the key. Pure: the time is an argument, in Unix seconds."""

from collections.abc import Iterable
from datetime import datetime

from nightlatch.api import names
from nightlatch.api.client import KeyStatus
from nightlatch.cli.table import age
from nightlatch.planning.parsed import ParsedClient

# Gateways report uses rounded down to so many seconds.
_COARSE_S = 600


def unix(time: str | None) -> float | None:
    """An RFC 3339 time in Unix seconds."""
    return None if time is None else datetime.fromisoformat(time).timestamp()


def first(keys: Iterable[KeyStatus], state: str) -> KeyStatus | None:
    """The first key in this state."""
    return next((key for key in keys if key.state == state), None)


def secret_name(client: ParsedClient) -> str:
    """The Secret in which callers find the key."""
    spec = client.spec.api_key if client.spec else None
    return (spec.secret_name if spec else None) or names.api_key(client.key)


def next_event(key: KeyStatus, keys: Iterable[KeyStatus], now: float) -> str:
    """What happens to a key next, or happened last."""
    ends, rotates = unix(key.expires_at), unix(key.rotates_at)
    following = first(keys, "Next")
    if key.state == "Revoked":
        return f"refused since {age(now - ends)}" if ends is not None else "refused"
    if ends is not None and ends <= now:
        return f"expired {age(now - ends)} ago"
    if key.state == "Next":
        return "becomes Current when every gateway accepts it"
    if key.state == "Previous":
        return f"refused in {age(ends - now)}" if ends is not None else "refused when the overlap ends"
    if following is not None:
        return f"replaced when every gateway accepts {following.id}"
    if rotates is not None and (ends is None or rotates <= ends):
        return f"a new key in {age(rotates - now)}" if rotates > now else "a new key, now"
    return f"expires in {age(ends - now)}" if ends is not None else "none planned"


def last_use(key: KeyStatus, now: float) -> str:
    """When it was last used, as coarse as it is known."""
    used = unix(key.last_used_at)
    if used is None:
        return "none seen"
    return "in the last 10m" if now - used < _COARSE_S else f"{age(now - used)} ago"
