"""The key list of a route document: every live key of every client that the endpoint grants access."""

from collections.abc import Iterable
from datetime import UTC, datetime

from nightlatch.api.duration import parse_duration
from nightlatch.api.scalars import Permission, RateLimit
from nightlatch.planning.access.grants import GrantRequest, refusal, requested_grants
from nightlatch.planning.inputs import ClientView, LiveKey
from nightlatch.planning.parsed import ParsedEndpoint
from nightlatch.wire.route_document import KeyGrant, RateTier

# With more keys, an update of the route configuration would take longer than a revocation may (40 ms at 1,000 keys).
MAX_KEYS = 2000


def key_grants(endpoint: ParsedEndpoint, clients: Iterable[ClientView]) -> tuple[KeyGrant, ...]:
    """Sorted, so that the same keys always make the same document. May be longer than MAX_KEYS."""
    found = (
        key_grant(endpoint, view, permissions, key)
        for view in clients
        if (permissions := requested_grants(view.client).get(endpoint.key)) is not None
        and refusal(GrantRequest(view.client, endpoint.key, endpoint)) is None
        for key in unrevoked(view)
    )
    ordered = sorted(found, key=lambda grant: (grant.client, grant.key_id), reverse=True)
    # A key is looked up by its digest. A key that two clients hold (a copied Secret) counts for the first of them.
    return tuple({grant.sha256: grant for grant in ordered}.values())[::-1]


def unrevoked(view: ClientView) -> tuple[LiveKey, ...]:
    """The client's keys without those in `revokedKeyIds`."""
    spec = view.client.spec
    revoked = spec.api_key.revoked_key_ids if spec and spec.api_key else ()
    return tuple(key for key in view.keys if key.key_id not in revoked)


def key_grant(endpoint: ParsedEndpoint, view: ClientView, permissions: frozenset[Permission], key: LiveKey) -> KeyGrant:
    """The entry of one key in the endpoint's document."""
    spec = view.client.spec
    expires_at = spec.api_key.expires_at if spec and spec.api_key else None
    ends = [end for end in (key.not_after, unix_seconds(expires_at) if expires_at else None) if end is not None]
    limit = effective_tier(endpoint.spec.rate_limit if endpoint.spec else None, spec.rate_limit if spec else None)
    return KeyGrant(
        sha256=key.sha256,
        client=view.client.key,
        key_id=key.key_id,
        permissions=tuple(sorted(permissions)),
        tier=tier_name(limit) if limit else "",
        not_after=min(ends, default=None),
    )


def rate_tiers(endpoint: ParsedEndpoint, clients: Iterable[ClientView]) -> dict[str, RateTier]:
    """The tiers that `key_grants` may name. Buckets are per client, so clients of equal limits share a tier."""
    own = endpoint.spec.rate_limit if endpoint.spec else None
    limits = [own, *(view.client.spec.rate_limit for view in clients if view.client.spec)]
    tiers = [tier for limit in limits if (tier := effective_tier(own, limit))]
    return {tier_name(tier): tier for tier in tiers}


def effective_tier(endpoint: RateLimit | None, client: RateLimit | None) -> RateTier | None:
    """The client's limit within the endpoint's: a client in another namespace cannot grant itself more."""
    tiers = [_tier(limit) for limit in (endpoint, client) if limit is not None]
    if not tiers:
        return None
    slowest = min(tiers, key=lambda tier: tier.requests / tier.per_seconds)
    return RateTier(slowest.requests, slowest.per_seconds, min(tier.burst for tier in tiers))


def tier_name(tier: RateTier) -> str:
    """Consists of numbers alone, because it becomes part of generated configuration."""
    return f"{tier.requests}-{round(tier.per_seconds * 1000)}ms-{tier.burst}"


def unix_seconds(rfc3339: str) -> int:
    """A time as users write it, UTC if it names no zone. An unreadable time is 0: a key with it has expired."""
    try:
        parsed = datetime.fromisoformat(rfc3339)
    except ValueError:
        return 0
    return max(0, int((parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).timestamp()))


def _tier(limit: RateLimit) -> RateTier:
    return RateTier(limit.requests, parse_duration(limit.per), limit.burst or limit.requests)
