"""A leaf Secret, wanted against found: leave it, issue it anew, or keep away from it."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from nightlatch import pki
from nightlatch.api.meta import Key
from nightlatch.pki import Finding, Holding, Leaf, LeafRequest, PkiError
from nightlatch.planning.actions import Child, DeleteSecret, IssueLeaf, Owner
from nightlatch.planning.observed import AuthorityView, SecretView

TLS_SECRET = "kubernetes.io/tls"  # noqa: S105 - the type of a Secret


@dataclass(frozen=True, slots=True)
class WantedLeaf:
    """One leaf: where it goes, what it shall say, when it is renewed (None: at two thirds of its life)."""

    key: Key
    role: str
    owner: Owner
    request: LeafRequest
    renew_before: timedelta | None = None


@dataclass(frozen=True, slots=True)
class LeafDecision:
    """What to do about it. `leaf`: the one in force, where it serves. `taken`: somebody else's Secret is there."""

    wanted: WantedLeaf
    leaf: Leaf | None = None
    finding: Finding | None = None
    issue: IssueLeaf | None = None
    delete: DeleteSecret | None = None
    taken: bool = False
    renew_at: datetime | None = None

    @property
    def usable(self) -> bool:
        """Whether the certificate there serves, be it for a short time only."""
        return self.leaf is not None and (self.finding is None or self.finding.usable)


def decide_leaf(
    wanted: WantedLeaf, found: SecretView | None, authority: AuthorityView | None, now: datetime
) -> LeafDecision:
    """See LeafDecision. Without an authority nothing is issued, and what is there is judged all the same."""
    if found is not None and not found.is_of(wanted.owner, wanted.role):
        if found.is_orphan_of(wanted.owner, wanted.role):
            return LeafDecision(wanted, delete=DeleteSecret(found.key, found.revision))
        return LeafDecision(wanted, taken=True)
    leaf, unreadable = _read(found)
    # Without an authority there is none to differ from.
    issuer = authority.key_id if authority else leaf.issuer_key_id if leaf else ""
    holding = Holding(wanted.request, leaf, issuer, now, unreadable, wanted.renew_before)
    finding = pki.first_finding(holding)
    issue = _issue(wanted, found) if finding and authority else None
    due = pki.renew_at(leaf, wanted.renew_before) if leaf else None
    return LeafDecision(wanted, leaf, finding, issue, renew_at=due)


def _read(found: SecretView | None) -> tuple[Leaf | None, str]:
    if found is None:
        return None, ""
    try:
        return pki.read_leaf(found.data), ""
    except PkiError as error:
        return None, str(error)


def _issue(wanted: WantedLeaf, found: SecretView | None) -> IssueLeaf:
    child = Child(wanted.key, wanted.role, wanted.owner, TLS_SECRET)
    return IssueLeaf(child, wanted.request, found.revision if found else None)
