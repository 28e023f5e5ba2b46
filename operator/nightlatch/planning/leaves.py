"""Compare a leaf Secret as wanted and as found: keep it, issue a new one, or leave a Secret that is not ours alone."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from types import MappingProxyType

from nightlatch import pki
from nightlatch.api import names
from nightlatch.api.meta import GROUP, NamespacedName
from nightlatch.pki import Leaf, LeafRequest, PkiError, PolicyInput, Violation
from nightlatch.planning.inputs import CAView
from nightlatch.planning.plan import DeleteSecret, EnsureCertificate, IssueLeaf, MergeSecret, OwnedSecret, Owner
from nightlatch.planning.secrets import SecretView

TLS_SECRET = "kubernetes.io/tls"  # noqa: S105 - the type of a Secret
_CERT_MANAGER = "cert-manager.io"
_REQUEST_LENGTH = 256
NOTHING: Mapping[str, bytes | None] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class WantedLeaf:
    """One leaf: its Secret, what the certificate must say, when it is renewed (None: after two thirds of its life).

    asked: the newest request to renew it, see `renewal_request`. labels: of the Secret, besides our own. revoked: the
    SHA-256 of certificates that gateways refuse.
    """

    key: NamespacedName
    role: str
    owner: Owner
    request: LeafRequest
    renew_before: timedelta | None = None
    asked: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    revoked: frozenset[str] = frozenset()

    @property
    def target(self) -> OwnedSecret:
        """The Secret, with the annotations by which tools made for cert-manager know a certificate."""
        annotations = {
            **({names.ANNOTATION_RENEWED: self.asked} if self.asked else {}),
            f"{_CERT_MANAGER}/common-name": "",
            f"{_CERT_MANAGER}/alt-names": ",".join(self.request.dns_names),
            f"{_CERT_MANAGER}/ip-sans": "",
            f"{_CERT_MANAGER}/uri-sans": self.request.identity,
            f"{_CERT_MANAGER}/issuer-name": "nightlatch",
            f"{_CERT_MANAGER}/issuer-kind": "Nightlatch",
            f"{_CERT_MANAGER}/issuer-group": GROUP,
        }
        return OwnedSecret(self.key, self.role, self.owner, TLS_SECRET, self.labels, annotations)


def renewal_request(annotations: Mapping[str, str]) -> str:
    """The value of the annotation `renew`; a longer one counts as its first 256 characters."""
    return annotations.get(names.ANNOTATION_RENEW, "")[:_REQUEST_LENGTH]


@dataclass(frozen=True, slots=True)
class LeafDecision:
    """What to do about one leaf. `leaf`: the certificate found. `taken`: the Secret found is not ours.

    refresh: keep the certificate, and correct what lies beside it, such as the trust bundle. issuer: of another issuer
    than our CA, its kind and name. ensure: what cert-manager is asked for. look_again: when to decide again.
    """

    wanted: WantedLeaf
    leaf: Leaf | None = None
    violation: Violation | None = None
    issue: IssueLeaf | None = None
    refresh: MergeSecret | None = None
    delete: DeleteSecret | None = None
    taken: bool = False
    renew_at: datetime | None = None
    issuer: str = ""
    ensure: EnsureCertificate | None = None
    look_again: datetime | None = None

    @property
    def usable(self) -> bool:
        """Whether the certificate found can still be used, even if only briefly."""
        return self.leaf is not None and (self.violation is None or self.violation.usable)


def decide_leaf(
    wanted: WantedLeaf,
    found: SecretView | None,
    issuing_ca: CAView | None,
    now: datetime,
    beside: Mapping[str, bytes | None] = NOTHING,
) -> LeafDecision:
    """Without an issuing CA nothing is issued, but the certificate found is checked all the same.

    beside: entries of the Secret besides those of the certificate; None for one that must not be there.
    """
    if found is not None and not found.is_of(wanted.owner, wanted.role):
        if found.is_orphan_of(wanted.owner, wanted.role):
            return LeafDecision(wanted, delete=DeleteSecret(found.key, found.revision))
        return LeafDecision(wanted, taken=True)
    leaf, unreadable = _read(found)
    # Without an issuing CA the certificate cannot have the wrong issuer.
    issuer = issuing_ca.key_id if issuing_ca else leaf.issuer_key_id if leaf else ""
    # Taking the annotation away again asks for nothing.
    asked = bool(wanted.asked) and found is not None and found.renewed != wanted.asked
    reissue = _reissue_at(leaf, issuing_ca)
    inputs = PolicyInput(
        wanted.request, leaf, issuer, now, unreadable, wanted.renew_before, asked, wanted.revoked, reissue
    )
    violation = pki.first_violation(inputs)
    # A CA that is about to be minted has no bundle yet; its leaves then have the one that they are issued with.
    trust = {pki.CA_CRT: issuing_ca.trust_pem} if issuing_ca and issuing_ca.trust_pem else {}
    entries: Mapping[str, bytes | None] = {**trust, **beside}
    issue = _issue(wanted, found, entries) if violation and issuing_ca else None
    refresh = _refresh(wanted, found, entries) if found and issuing_ca and not issue else None
    due = pki.renew_at(leaf, wanted.renew_before) if leaf else None
    if due and reissue and leaf and leaf.issuer_key_id != issuer:
        due = min(due, reissue)
    return LeafDecision(wanted, leaf, violation, issue, refresh, renew_at=due, look_again=due)


def _reissue_at(leaf: Leaf | None, issuing_ca: CAView | None) -> datetime | None:
    """When a leaf of an earlier CA is replaced; None: at once."""
    if leaf is None or issuing_ca is None or not issuing_ca.reissue_over:
        return None
    since = datetime.fromtimestamp(issuing_ca.since, UTC)
    return pki.reissue_at(leaf, since, timedelta(seconds=issuing_ca.reissue_over))


def _read(found: SecretView | None) -> tuple[Leaf | None, str]:
    if found is None:
        return None, ""
    try:
        return pki.read_leaf(found.data), ""
    except PkiError as error:
        return None, str(error)


def _issue(wanted: WantedLeaf, found: SecretView | None, entries: Mapping[str, bytes | None]) -> IssueLeaf:
    beside = {entry: value for entry, value in entries.items() if value is not None}
    return IssueLeaf(wanted.target, wanted.request, found.revision if found else None, beside)


def _refresh(wanted: WantedLeaf, found: SecretView, entries: Mapping[str, bytes | None]) -> MergeSecret | None:
    if all(found.data.get(entry) == value for entry, value in entries.items()):
        return None
    return MergeSecret(wanted.target, entries, found.revision)
