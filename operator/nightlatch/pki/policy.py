"""Is the certificate in a Secret the one wanted, and fit for use? An ordered chain of small predicates.

As in cert-manager's policies: each is `(holding) -> finding | None`; the first that fires says why to issue anew.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from nightlatch.pki.material import Leaf, LeafRequest
from nightlatch.pki.renewal import renew_at


@dataclass(frozen=True, slots=True)
class Violation:
    """`reason` is CamelCase. `usable`: the certificate still serves while the new one is made."""

    reason: str
    message: str
    usable: bool = False


@dataclass(frozen=True, slots=True)
class PolicyInput:
    """A certificate as found. `leaf` is None if there is none or it cannot be read (`unreadable` says why)."""

    request: LeafRequest
    leaf: Leaf | None
    issuer_key_id: str
    now: datetime
    unreadable: str = ""
    renew_before: timedelta | None = None


def unreadable(inputs: PolicyInput) -> Violation | None:
    """There is something, but no certificate with its key."""
    return Violation("Unreadable", inputs.unreadable) if inputs.unreadable else None


def missing(inputs: PolicyInput) -> Violation | None:
    """Nothing was issued yet."""
    return Violation("Missing", "no certificate was issued yet") if inputs.leaf is None else None


def key_mismatch(inputs: PolicyInput) -> Violation | None:
    """The private key belongs to another certificate."""
    if inputs.leaf is None or inputs.leaf.key_matches:
        return None
    return Violation("KeyMismatch", "the private key does not belong to the certificate")


def wrong_identity(inputs: PolicyInput) -> Violation | None:
    """Another SPIFFE identity than the one wanted, or a usage of the other direction."""
    leaf, request = inputs.leaf, inputs.request
    if leaf is None or (leaf.identities, leaf.usages) == ((request.identity,), (request.usage,)):
        return None
    return Violation("WrongIdentity", f"the certificate is not for {request.identity} ({request.usage})")


def expired(inputs: PolicyInput) -> Violation | None:
    """Past its end, or not valid yet."""
    leaf = inputs.leaf
    if leaf is None or leaf.not_before <= inputs.now < leaf.not_after:
        return None
    return Violation("Expired", "the certificate is outside its validity")


def wrong_names(inputs: PolicyInput) -> Violation | None:
    """Other DNS names than wanted."""
    if inputs.leaf is None or inputs.leaf.dns_names == inputs.request.dns_names:
        return None
    return Violation("WrongNames", "the certificate has other DNS names than the spec", usable=True)


def other_issuer(inputs: PolicyInput) -> Violation | None:
    """Signed by another authority than the one in force."""
    if inputs.leaf is None or inputs.leaf.issuer_key_id == inputs.issuer_key_id:
        return None
    return Violation("OtherIssuer", "the certificate is from another authority than the one in force", usable=True)


def due_for_renewal(inputs: PolicyInput) -> Violation | None:
    """Past its renewal time."""
    if inputs.leaf is None or inputs.now < renew_at(inputs.leaf, inputs.renew_before):
        return None
    return Violation("DueForRenewal", "the certificate is near its end", usable=True)


CHAIN: tuple[Callable[[PolicyInput], Violation | None], ...] = (
    unreadable,
    missing,
    key_mismatch,
    wrong_identity,
    expired,
    wrong_names,
    other_issuer,
    due_for_renewal,
)


def first_violation(inputs: PolicyInput) -> Violation | None:
    """Why a new certificate is wanted; None when the one there is right."""
    return next((violation for predicate in CHAIN if (violation := predicate(inputs))), None)
