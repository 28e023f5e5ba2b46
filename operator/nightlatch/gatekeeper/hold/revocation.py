"""Tells whether a new route document revokes something that the old one granted."""

from nightlatch.wire.route_document import KeyGrant, RouteDocument


def takes_away(before: RouteDocument, after: RouteDocument) -> bool:
    """True if a key is gone, has fewer permissions or expires earlier, or if the endpoint denies every call now."""
    if after.denied and not before.denied:
        return True
    left = {grant.sha256: grant for grant in after.keys}
    return any(_less(grant, left.get(grant.sha256)) for grant in before.keys)


def _less(before: KeyGrant, after: KeyGrant | None) -> bool:
    if after is None or not set(before.permissions) <= set(after.permissions):
        return True
    end = float("inf")
    return (after.not_after or end) < (before.not_after or end)
