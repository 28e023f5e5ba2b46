"""Is the certificate in a Secret the wanted one, and can it be used? An ordered chain of small predicates.

This follows cert-manager's policies: each predicate is `(inputs) -> violation | None`, and the first violation says
why a new certificate is issued.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from nightlatch.api.conditions import Reason
from nightlatch.pki.material import Leaf, LeafRequest
from nightlatch.pki.renewal import renew_at


@dataclass(frozen=True, slots=True)
class Violation:
    """Why the certificate is not the wanted one. `usable`: it still works while the new one is made."""

    reason: Reason
    message: str
    usable: bool = False


@dataclass(frozen=True, slots=True)
class PolicyInput:
    """A certificate as found. `leaf` is None if there is none or it cannot be read (`unreadable` says why).

    asked: a person asked for a new one since it was issued. revoked: SHA-256 of certificates that gateways refuse.
    reissue_from: when a certificate of the CA before is to be replaced; None: at once. unverified: of a certificate of
    another issuer, why its chain is not believed.
    """

    request: LeafRequest
    leaf: Leaf | None
    issuer_key_id: str
    now: datetime
    unreadable: str = ""
    renew_before: timedelta | None = None
    asked: bool = False
    revoked: frozenset[str] = frozenset()
    reissue_from: datetime | None = None
    unverified: str = ""


def unreadable(inputs: PolicyInput) -> Violation | None:
    """The Secret exists, but holds no certificate with its key."""
    return Violation(Reason.CERTIFICATE_UNREADABLE, inputs.unreadable) if inputs.unreadable else None


def missing(inputs: PolicyInput) -> Violation | None:
    return Violation(Reason.CERTIFICATE_MISSING, "no certificate was issued yet") if inputs.leaf is None else None


def key_mismatch(inputs: PolicyInput) -> Violation | None:
    if inputs.leaf is None or inputs.leaf.key_matches:
        return None
    return Violation(Reason.CERTIFICATE_KEY_MISMATCH, "the private key does not belong to the certificate")


def wrong_identity(inputs: PolicyInput) -> Violation | None:
    """The SPIFFE identity or the usage (server, client) is not the wanted one."""
    leaf, request = inputs.leaf, inputs.request
    if leaf is None or (leaf.identities, leaf.usages) == ((request.identity,), (request.usage,)):
        return None
    return Violation(
        Reason.CERTIFICATE_WRONG_IDENTITY, f"the certificate is not for {request.identity} ({request.usage})"
    )


def revoked(inputs: PolicyInput) -> Violation | None:
    if inputs.leaf is None or inputs.leaf.sha256 not in inputs.revoked:
        return None
    return Violation(Reason.CERTIFICATE_REVOKED, "the certificate was revoked")


def expired(inputs: PolicyInput) -> Violation | None:
    """The certificate has ended or has not begun."""
    leaf = inputs.leaf
    if leaf is None or leaf.not_before <= inputs.now < leaf.not_after:
        return None
    return Violation(Reason.CERTIFICATE_EXPIRED, "the certificate has expired or is not valid yet")


def wrong_names(inputs: PolicyInput) -> Violation | None:
    if inputs.leaf is None or inputs.leaf.dns_names == inputs.request.dns_names:
        return None
    return Violation(
        Reason.CERTIFICATE_WRONG_NAMES, "the certificate has other DNS names than the spec asks for", usable=True
    )


def wrong_issuer(inputs: PolicyInput) -> Violation | None:
    """Another CA than the current issuing CA signed the certificate."""
    if inputs.leaf is None or inputs.leaf.issuer_key_id == inputs.issuer_key_id:
        return None
    if inputs.reissue_from is not None and inputs.now < inputs.reissue_from:
        return None
    return Violation(
        Reason.CERTIFICATE_WRONG_ISSUER, "the certificate was not signed by the current issuing CA", usable=True
    )


def due_for_renewal(inputs: PolicyInput) -> Violation | None:
    if inputs.leaf is None or inputs.now < renew_at(inputs.leaf, inputs.renew_before):
        return None
    return Violation(Reason.CERTIFICATE_DUE_FOR_RENEWAL, "the certificate ends soon", usable=True)


def renewal_asked(inputs: PolicyInput) -> Violation | None:
    if inputs.leaf is None or not inputs.asked:
        return None
    return Violation(Reason.CERTIFICATE_RENEWAL_ASKED, "a new certificate was asked for", usable=True)


# First what makes a certificate unusable, so that a usable verdict is never given for a broken one.
CHAIN: tuple[Callable[[PolicyInput], Violation | None], ...] = (
    unreadable,
    missing,
    key_mismatch,
    wrong_identity,
    revoked,
    expired,
    wrong_names,
    wrong_issuer,
    due_for_renewal,
    renewal_asked,
)


def other_use(inputs: PolicyInput) -> Violation | None:
    """Of another issuer: the certificate has not the use, or not the identity alone, that was asked for."""
    leaf, request = inputs.leaf, inputs.request
    if leaf is None:
        return None
    if request.usage not in leaf.usages:
        return Violation(Reason.CERTIFICATE_WRONG_IDENTITY, f"the certificate is not for {request.usage} use")
    if request.identity and leaf.identities != (request.identity,):
        return Violation(
            Reason.CERTIFICATE_WRONG_IDENTITY, f"the certificate does not have {request.identity} as its only URI"
        )
    return None


def lacks_names(inputs: PolicyInput) -> Violation | None:
    """Of another issuer: callers would not believe that the certificate is the endpoint's."""
    known = frozenset(inputs.leaf.dns_names) if inputs.leaf else frozenset(inputs.request.dns_names)
    missing = [name for name in inputs.request.dns_names if name not in known]
    if not missing:
        return None
    return Violation(Reason.CERTIFICATE_WRONG_NAMES, f"the certificate lacks {', '.join(missing)}")


def unverified(inputs: PolicyInput) -> Violation | None:
    return Violation(Reason.CERTIFICATE_UNVERIFIED, inputs.unverified) if inputs.unverified else None


# Of a certificate that another issuer makes and renews. Nothing that is found here is ours to repair.
OTHERS_CHAIN: tuple[Callable[[PolicyInput], Violation | None], ...] = (
    unreadable,
    missing,
    key_mismatch,
    other_use,
    lacks_names,
    revoked,
    expired,
    unverified,
)


def first_violation(
    inputs: PolicyInput, chain: tuple[Callable[[PolicyInput], Violation | None], ...] = CHAIN
) -> Violation | None:
    """Why a new certificate is needed; None when the present one is right."""
    return next((violation for predicate in chain if (violation := predicate(inputs))), None)
