"""Compare a leaf Secret as wanted and as found: keep it, issue a new one, or leave a Secret that is not ours alone."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from nightlatch import pki
from nightlatch.api.meta import NamespacedName
from nightlatch.pki import Leaf, LeafRequest, PkiError, PolicyInput, Violation
from nightlatch.planning.inputs import CAView
from nightlatch.planning.plan import DeleteSecret, IssueLeaf, OwnedSecret, Owner
from nightlatch.planning.secrets import SecretView

TLS_SECRET = "kubernetes.io/tls"  # noqa: S105 - the type of a Secret


@dataclass(frozen=True, slots=True)
class WantedLeaf:
    """One leaf: its Secret, what the certificate must say, when it is renewed (None: after two thirds of its life)."""

    key: NamespacedName
    role: str
    owner: Owner
    request: LeafRequest
    renew_before: timedelta | None = None


@dataclass(frozen=True, slots=True)
class LeafDecision:
    """What to do about one leaf. `leaf`: the certificate found. `taken`: the Secret found is not ours."""

    wanted: WantedLeaf
    leaf: Leaf | None = None
    violation: Violation | None = None
    issue: IssueLeaf | None = None
    delete: DeleteSecret | None = None
    taken: bool = False
    renew_at: datetime | None = None

    @property
    def usable(self) -> bool:
        """Whether the certificate found can still be used, even if only briefly."""
        return self.leaf is not None and (self.violation is None or self.violation.usable)


def decide_leaf(wanted: WantedLeaf, found: SecretView | None, issuing_ca: CAView | None, now: datetime) -> LeafDecision:
    """Without an issuing CA nothing is issued, but the certificate found is checked all the same."""
    if found is not None and not found.is_of(wanted.owner, wanted.role):
        if found.is_orphan_of(wanted.owner, wanted.role):
            return LeafDecision(wanted, delete=DeleteSecret(found.key, found.revision))
        return LeafDecision(wanted, taken=True)
    leaf, unreadable = _read(found)
    # Without an issuing CA the certificate cannot have the wrong issuer.
    issuer = issuing_ca.key_id if issuing_ca else leaf.issuer_key_id if leaf else ""
    inputs = PolicyInput(wanted.request, leaf, issuer, now, unreadable, wanted.renew_before)
    violation = pki.first_violation(inputs)
    issue = _issue(wanted, found) if violation and issuing_ca else None
    due = pki.renew_at(leaf, wanted.renew_before) if leaf else None
    return LeafDecision(wanted, leaf, violation, issue, renew_at=due)


def _read(found: SecretView | None) -> tuple[Leaf | None, str]:
    if found is None:
        return None, ""
    try:
        return pki.read_leaf(found.data), ""
    except PkiError as error:
        return None, str(error)


def _issue(wanted: WantedLeaf, found: SecretView | None) -> IssueLeaf:
    target = OwnedSecret(wanted.key, wanted.role, wanted.owner, TLS_SECRET)
    return IssueLeaf(target, wanted.request, found.revision if found else None)
