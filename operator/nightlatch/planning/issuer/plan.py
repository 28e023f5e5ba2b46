"""`plan_issuer()`: from a TokenIssuer and what was observed to its document for the gateways and its status. Pure."""

from datetime import UTC, datetime

from nightlatch.api import names
from nightlatch.api.issuer import IssuerKeyStatus, IssuerStatus
from nightlatch.api.meta import API_VERSION
from nightlatch.pki.key_set import algorithms_of, name_of
from nightlatch.planning.conditions import conditions, timestamp
from nightlatch.planning.issuer.conditions import IssuerConditionInput, issuer_verdicts
from nightlatch.planning.issuer.document import IssuerDecision, decide_document, is_over
from nightlatch.planning.issuer.key_source import ObservedIssuer
from nightlatch.planning.parsed import ParsedIssuer
from nightlatch.planning.plan import DeleteSecret, DocumentSequence, Owner, Plan
from nightlatch.wire.issuer_document import IssuerDocument


def plan_issuer(issuer: ParsedIssuer, observed: ObservedIssuer, now: datetime) -> Plan:
    """The document of an issuer that is gone under the same name goes first; the next plan writes the new one."""
    owner = Owner(issuer.ref, issuer.metadata.uid, API_VERSION)
    found, role = observed.document, names.ROLE_ISSUER_DOCUMENT
    orphan = found is not None and found.is_orphan_of(owner, role)
    taken = found is not None and not orphan and not found.is_of(owner, role)
    if found is not None and orphan:
        return Plan(delete=(DeleteSecret(found.key, found.revision),), requeue_after=0.0)
    decision = IssuerDecision(None) if taken else decide_document(issuer, observed, owner, now)
    verdicts = issuer_verdicts(IssuerConditionInput(issuer, decision, taken, now))
    generation, current = issuer.metadata.generation, decision.current
    status = IssuerStatus(
        observed_generation=generation,
        conditions=conditions(verdicts, issuer.status.conditions, generation, now),
        issuer=current.iss if current else None,
        keys=_keys(current) if current and not is_over(current, now) else (),
    )
    return Plan(
        apply=(decision.put,) if decision.put else (),
        delete=(DeleteSecret(found.key, found.revision),) if found and decision.remove else (),
        document=_sequence(issuer, decision, taken=taken),
        status=status if status != issuer.status else None,
        requeue_after=_until_over(current, now),
    )


def _keys(document: IssuerDocument) -> tuple[IssuerKeyStatus, ...]:
    fetched_at = timestamp(datetime.fromtimestamp(document.fetched_at, UTC))
    named = {name_of(key): ", ".join(algorithms_of(key, document.algorithms)) for key in document.keys}
    return tuple(IssuerKeyStatus(kid=kid, alg=alg, fetched_at=fetched_at) for kid, alg in sorted(named.items()))


def _sequence(issuer: ParsedIssuer, decision: IssuerDecision, *, taken: bool) -> DocumentSequence | None:
    if taken or (decision.current is None and not decision.remove):
        return None
    return DocumentSequence(names.issuer_document(issuer.key), decision.current.sequence if decision.current else 0)


def _until_over(document: IssuerDocument | None, now: datetime) -> float | None:
    """No event tells when keys become too old."""
    if document is None or document.valid_until is None or is_over(document, now):
        return None
    return document.valid_until - now.timestamp()
