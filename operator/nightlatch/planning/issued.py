"""A certificate that cert-manager makes: what it is asked for, and whether what it made can be used.

Nothing is repaired here: what cert-manager wrote stays until it writes something else, and a condition says what is
wrong. Its Secret has our labels from the Certificate's `secretTemplate`, so a renewal is an event as with our own.
"""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta

from nightlatch import pki
from nightlatch.api import names
from nightlatch.api.conditions import Reason
from nightlatch.api.meta import NamespacedName
from nightlatch.api.references import CertManagerIssuer
from nightlatch.pki import OTHERS_CHAIN, Leaf, PkiError, PolicyInput, Violation
from nightlatch.planning.certificates import CertificateView
from nightlatch.planning.inputs import CertManagerView
from nightlatch.planning.leaves import NOTHING, TLS_SECRET, LeafDecision, WantedLeaf
from nightlatch.planning.plan import DeleteCertificate, DeleteSecret, EnsureCertificate, MergeSecret, OwnedSecret, Owner
from nightlatch.planning.secrets import SecretView

# Nothing tells that cert-manager was installed.
ABSENT_PAUSE = timedelta(seconds=10)
# cert-manager is late when a fifth of the time from the renewal to the end has gone.
_LATE = 5


def decide_issued(
    wanted: WantedLeaf,
    issuer: CertManagerIssuer,
    found: SecretView | None,
    cert_manager: CertManagerView,
    now: datetime,
    beside: Mapping[str, bytes | None] = NOTHING,
) -> LeafDecision:
    """beside: entries of the Secret that are ours, besides those that cert-manager writes."""
    named = f"{issuer.kind} {issuer.name}"
    if found is not None and not found.is_of(wanted.owner, wanted.role):
        removed = DeleteSecret(found.key, found.revision) if found.is_orphan_of(wanted.owner, wanted.role) else None
        return LeafDecision(wanted, delete=removed, taken=removed is None, issuer=named)
    certificate = cert_manager.get(wanted.key)
    made = found if found is not None and found.certificate == wanted.key.name else None
    leaf, violation = judge(wanted, made, now)
    due = (certificate.renew_at if certificate else None) or (pki.renew_at(leaf, wanted.renew_before) if leaf else None)
    decision = LeafDecision(wanted, leaf, violation, renew_at=due if leaf else None, issuer=named)
    return replace(
        decision,
        violation=_explained(decision, made, cert_manager, now),
        refresh=_refresh(wanted, made, beside),
        ensure=_ensure(decision, issuer, certificate) if cert_manager.available else None,
        look_again=_look_again(decision, cert_manager, now),
    )


def judge(wanted: WantedLeaf, made: SecretView | None, now: datetime) -> tuple[Leaf | None, Violation | None]:
    """The certificate in a Secret that cert-manager filled, and why it cannot be used."""
    leaf, unreadable, unverified = None, "", ""
    if made is not None:
        try:
            leaf = pki.read_leaf(made.data)
            unverified = pki.path_fault(made.data, now=now)
        except PkiError as error:
            unreadable = str(error)
    inputs = PolicyInput(wanted.request, leaf, "", now, unreadable, revoked=wanted.revoked, unverified=unverified)
    return leaf, pki.first_violation(inputs, OTHERS_CHAIN)


def withdrawn(
    cert_manager: CertManagerView, owner: Owner, kept: NamespacedName | None = None
) -> tuple[DeleteCertificate, ...]:
    """Every Certificate of this owner, except the one named `kept`."""
    return tuple(
        DeleteCertificate(each.key, each.uid)
        for each in cert_manager.certificates
        if each.owner_uid == owner.uid and each.key != kept
    )


def _explained(
    decision: LeafDecision, made: SecretView | None, cert_manager: CertManagerView, now: datetime
) -> Violation | None:
    """What is wrong, and with what: what the certificate says, or who should have made another one."""
    wanted, leaf, violation = decision.wanted, decision.leaf, decision.violation
    name, certificate = wanted.key.name, cert_manager.get(wanted.key)
    if leaf is not None and violation is None:
        earlier = made.issuer if made is not None and made.issuer != decision.issuer else ""
        if not (earlier or _late(decision, now) or (certificate is not None and certificate.failed)):
            return None
        of = f" of {earlier}" if earlier else ""
        said = _said(certificate, cert_manager)
        message = f"{decision.issuer} has not renewed the certificate{of}, which works until its end: {said}"
        return Violation(Reason.CERTIFICATE_NOT_RENEWED, message, usable=True)
    if not cert_manager.available:
        return Violation(
            Reason.CERT_MANAGER_MISSING,
            f"there is no cert-manager that could ask {decision.issuer}: install it, or remove issuerRef",
        )
    if cert_manager.refusal:
        return Violation(Reason.CERTIFICATE_REFUSED, cert_manager.refusal)
    if violation is None or violation.reason is Reason.CERTIFICATE_MISSING:
        return Violation(
            Reason.CERTIFICATE_NOT_ISSUED,
            f"{decision.issuer} has issued no certificate yet: {_said(certificate, cert_manager)}",
        )
    if violation.reason is Reason.CERTIFICATE_REVOKED:
        return replace(violation, message=f"{violation.message}; {decision.issuer} is asked for another one")
    if violation.reason is Reason.CERTIFICATE_EXPIRED:
        said = _said(certificate, cert_manager)
        return replace(violation, message=f"{violation.message}, and {decision.issuer} issued no other one: {said}")
    return replace(
        violation,
        message=f"what {decision.issuer} issued into Secret {name} cannot be used: {violation.message}; correct the"
        f" issuer, and then renew Certificate {name}",
    )


def _said(certificate: CertificateView | None, cert_manager: CertManagerView) -> str:
    if not cert_manager.available:
        return "there is no cert-manager any more"
    if cert_manager.refusal:
        return cert_manager.refusal
    if certificate is None:
        return "its Certificate is being created"
    said = certificate.message or "cert-manager says nothing of it"
    name = certificate.key.name
    return f"{said} (Certificate {name}); if this lasts, see `kubectl describe certificate,certificaterequest`"


def _late(decision: LeafDecision, now: datetime) -> bool:
    leaf, due = decision.leaf, decision.renew_at
    return leaf is not None and due is not None and now >= _late_from(leaf, due)


def _late_from(leaf: Leaf, due: datetime) -> datetime:
    return due + max(leaf.not_after - due, timedelta(0)) / _LATE


def _ensure(
    decision: LeafDecision, issuer: CertManagerIssuer, certificate: CertificateView | None
) -> EnsureCertificate:
    wanted = decision.wanted
    revoked = decision.leaf.sha256 if decision.leaf and decision.leaf.sha256 in wanted.revoked else ""
    replaced = revoked or (certificate.replaced if certificate else "")
    asked = wanted.asked or (certificate.renewed if certificate else "")
    renew = (
        certificate is not None
        and not certificate.issuing
        and (asked != certificate.renewed or replaced != certificate.replaced)
    )
    annotations = {names.ANNOTATION_RENEWED: asked, names.ANNOTATION_REPLACED: replaced}
    return EnsureCertificate(
        _target(wanted),
        wanted.request,
        issuer,
        wanted.renew_before or wanted.request.duration / 3,
        {name: value for name, value in annotations.items() if value},
        renew,
    )


def _target(wanted: WantedLeaf) -> OwnedSecret:
    """Without an owner reference, since cert-manager may put its own there, and an object has one controller."""
    owner = wanted.owner
    return OwnedSecret(wanted.key, wanted.role, Owner(owner.ref, owner.uid, ""), TLS_SECRET, wanted.labels)


def _refresh(wanted: WantedLeaf, made: SecretView | None, beside: Mapping[str, bytes | None]) -> MergeSecret | None:
    if made is None or all(made.data.get(entry) == value for entry, value in beside.items()):
        return None
    return MergeSecret(_target(wanted), beside, made.revision)


def _look_again(decision: LeafDecision, cert_manager: CertManagerView, now: datetime) -> datetime | None:
    times = [] if cert_manager.available else [now + ABSENT_PAUSE]
    if decision.leaf is not None and decision.renew_at is not None:
        late, end = _late_from(decision.leaf, decision.renew_at), decision.leaf.not_after
        times += [time for time in (late, end) if time > now]
    return min(times, default=None)
