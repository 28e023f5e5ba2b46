"""Tells whether a new route document takes anything away that the old one gave.

Every change counts as one that does, unless it is known to be an addition or to concern nobody's access: a member that
is added to the documents later takes away until somebody says otherwise here.
"""

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import fields

from nightlatch.wire.route_document import CertificateGrant, ClientRule, KeyGrant, RateTier, RouteDocument

_END = float("inf")
_CERTIFICATE = re.compile(r"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", re.DOTALL)

# Which document this is, how long calls may take and wait, and the certificate that callers see: nobody's access.
_NEUTRAL = frozenset(
    {
        "sequence",
        "takes_away_since",
        "request_timeout",
        "hold_timeout",
        "hold_max_requests",
        "server_certificate",
        "server_private_key",
        # Judged through the keys and certificates that name them.
        "rate_tiers",
    }
)


def takes_away(before: RouteDocument, after: RouteDocument) -> bool:
    """True unless every caller of `before` may do under `after` all that it might do, at the same model server."""
    return not all(
        _ADDS[name](before, after) if name in _ADDS else getattr(before, name) == getattr(after, name)
        for name in (each.name for each in fields(before))
        if name not in _NEUTRAL
    )


def _keeps_keys(before: RouteDocument, after: RouteDocument) -> bool:
    left = {grant.sha256: grant for grant in after.keys}
    return all(
        _keeps_key(grant, left.get(grant.sha256))
        and _keeps_tier(before.rate_tiers.get(grant.tier), _tier(after, left[grant.sha256]))
        for grant in before.keys
    )


def _keeps_key(before: KeyGrant, after: KeyGrant | None) -> bool:
    if after is None or (before.client, before.key_id) != (after.client, after.key_id):
        return False
    return (
        set(before.permissions) <= set(after.permissions)
        and (after.not_before or 0) <= (before.not_before or 0)
        and _end(after) >= _end(before)
    )


def _keeps_certificates(before: RouteDocument, after: RouteDocument) -> bool:
    left = {grant.identity: grant for grant in after.certificates}
    return all(
        (now := left.get(grant.identity)) is not None
        and now.client == grant.client
        and set(grant.permissions) <= set(now.permissions)
        and _keeps_tier(before.rate_tiers.get(grant.tier), _tier(after, now))
        for grant in before.certificates
    )


def _keeps_accept(before: RouteDocument, after: RouteDocument) -> bool:
    """Whoever satisfied a list still satisfies one: the same, or one that asks for less."""
    return all(any(set(now) <= set(group) for now in _accept(after)) for group in _accept(before))


def _keeps_token_rules(before: RouteDocument, after: RouteDocument) -> bool:
    """Whatever they are called."""
    left = {rule.claims: set(rule.permissions) for rule in after.token_rules}
    return all(set(rule.permissions) <= left.get(rule.claims, set()) for rule in before.token_rules)


def _keeps_client_rules(before: RouteDocument, after: RouteDocument) -> bool:
    """A rule may get another name, more permissions, and more clients and certificates of which one is enough."""
    return all(any(_keeps_client_rule(rule, now) for now in after.client_rules) for rule in before.client_rules)


def _keeps_client_rule(before: ClientRule, after: ClientRule) -> bool:
    return (
        set(before.permissions) <= set(after.permissions)
        and before.claims == after.claims
        and _asks_no_more(before.clients, after.clients)
        and _asks_no_more(before.certificates, after.certificates)
    )


def _asks_no_more(before: Collection[object], after: Collection[object]) -> bool:
    """One of these is needed; where there is none, nothing is."""
    return not after or (bool(before) and set(before) <= set(after))


def _accept(document: RouteDocument) -> tuple[tuple[str, ...], ...]:
    return document.accept or (("apiKey",),)


def _end(grant: KeyGrant) -> float:
    return _END if grant.not_after is None else grant.not_after


def _tier(document: RouteDocument, grant: KeyGrant | CertificateGrant) -> RateTier | None:
    return document.rate_tiers.get(grant.tier)


def _keeps_tier(before: RateTier | None, after: RateTier | None) -> bool:
    if after is None or before == after:
        return True
    if before is None:
        return False
    faster = after.requests * before.per_seconds >= before.requests * after.per_seconds
    return faster and after.burst >= before.burst


def _keeps_trust(before: str, after: str) -> bool:
    """A bundle that gained a CA still accepts everyone that it did."""
    if before == after:
        return True
    certificates = set(_CERTIFICATE.findall(before))
    return bool(certificates) and certificates <= set(_CERTIFICATE.findall(after))


_ADDS: Mapping[str, Callable[[RouteDocument, RouteDocument], bool]] = {
    "denied": lambda before, after: after.denied is None or before.denied is not None,
    "hosts": lambda before, after: set(before.hosts) <= set(after.hosts),
    "operations": lambda before, after: set(before.operations) <= set(after.operations),
    "keys": _keeps_keys,
    "certificates": _keeps_certificates,
    "accept": _keeps_accept,
    "revoked_certificates": lambda before, after: set(after.revoked_certificates) <= set(before.revoked_certificates),
    "issuers": lambda before, after: set(before.issuers) <= set(after.issuers),
    "token_rules": _keeps_token_rules,
    "client_rules": _keeps_client_rules,
    "token_tier": lambda before, after: _keeps_tier(
        before.rate_tiers.get(before.token_tier), after.rate_tiers.get(after.token_tier)
    ),
    "upstream_ca": lambda before, after: _keeps_trust(before.upstream_ca, after.upstream_ca),
    # A document without any had nobody to lose.
    "client_ca": lambda before, after: not before.client_ca or _keeps_trust(before.client_ca, after.client_ca),
}
