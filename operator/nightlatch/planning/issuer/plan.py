"""`plan_issuer()`: the status of a TokenIssuer. Its `rejection` says that tokens come with a later version."""

from datetime import datetime

from nightlatch.api.conditions import IssuerCondition, Reason
from nightlatch.api.issuer import IssuerStatus
from nightlatch.planning.conditions import conditions, false, true
from nightlatch.planning.parsed import ParsedIssuer
from nightlatch.planning.plan import Plan


def plan_issuer(issuer: ParsedIssuer, now: datetime) -> Plan:
    rejection, generation = issuer.rejection, issuer.metadata.generation
    verdict = false(rejection.reason, rejection.message) if rejection else true(Reason.ACCEPTED, "the spec is accepted")
    verdicts = ((IssuerCondition.ACCEPTED, verdict), (IssuerCondition.READY, verdict))
    status = IssuerStatus(
        observed_generation=generation,
        conditions=conditions(verdicts, issuer.status.conditions, generation, now),
    )
    return Plan(status=status if status != issuer.status else None)
