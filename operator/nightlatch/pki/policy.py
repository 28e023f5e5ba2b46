"""Is the certificate in a Secret the one wanted, and fit for use? An ordered chain of small predicates.

As in cert-manager's policies: each is `(holding) -> finding | None`; the first that fires says why to issue anew.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from nightlatch.pki.material import Leaf, LeafRequest
from nightlatch.pki.renewal import renew_at


@dataclass(frozen=True, slots=True)
class Finding:
    """`reason` is CamelCase. `usable`: the certificate still serves while the new one is made."""

    reason: str
    message: str
    usable: bool = False


@dataclass(frozen=True, slots=True)
class Holding:
    """A certificate as found. `leaf` is None if there is none or it cannot be read (`unreadable` says why)."""

    request: LeafRequest
    leaf: Leaf | None
    issuer_key_id: str
    now: datetime
    unreadable: str = ""
    renew_before: timedelta | None = None


def unreadable(holding: Holding) -> Finding | None:
    """There is something, but no certificate with its key."""
    return Finding("Unreadable", holding.unreadable) if holding.unreadable else None


def missing(holding: Holding) -> Finding | None:
    """Nothing was issued yet."""
    return Finding("Missing", "no certificate was issued yet") if holding.leaf is None else None


def key_mismatch(holding: Holding) -> Finding | None:
    """The private key belongs to another certificate."""
    if holding.leaf is None or holding.leaf.key_matches:
        return None
    return Finding("KeyMismatch", "the private key does not belong to the certificate")


def wrong_identity(holding: Holding) -> Finding | None:
    """Another SPIFFE identity than the one wanted, or a usage of the other direction."""
    leaf, request = holding.leaf, holding.request
    if leaf is None or (leaf.identities, leaf.usages) == ((request.identity,), (request.usage,)):
        return None
    return Finding("WrongIdentity", f"the certificate is not for {request.identity} ({request.usage})")


def expired(holding: Holding) -> Finding | None:
    """Past its end, or not valid yet."""
    leaf = holding.leaf
    if leaf is None or leaf.not_before <= holding.now < leaf.not_after:
        return None
    return Finding("Expired", "the certificate is outside its validity")


def wrong_names(holding: Holding) -> Finding | None:
    """Other DNS names than wanted."""
    if holding.leaf is None or holding.leaf.dns_names == holding.request.dns_names:
        return None
    return Finding("WrongNames", "the certificate has other DNS names than the spec", usable=True)


def other_issuer(holding: Holding) -> Finding | None:
    """Signed by another authority than the one in force."""
    if holding.leaf is None or holding.leaf.issuer_key_id == holding.issuer_key_id:
        return None
    return Finding("OtherIssuer", "the certificate is from another authority than the one in force", usable=True)


def due_for_renewal(holding: Holding) -> Finding | None:
    """Past its renewal time."""
    if holding.leaf is None or holding.now < renew_at(holding.leaf, holding.renew_before):
        return None
    return Finding("DueForRenewal", "the certificate is near its end", usable=True)


CHAIN: tuple[Callable[[Holding], Finding | None], ...] = (
    unreadable,
    missing,
    key_mismatch,
    wrong_identity,
    expired,
    wrong_names,
    other_issuer,
    due_for_renewal,
)


def first_finding(holding: Holding) -> Finding | None:
    """Why a new certificate is wanted; None when the one there is right."""
    return next((finding for predicate in CHAIN if (finding := predicate(holding))), None)
