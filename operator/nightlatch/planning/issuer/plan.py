"""`plan_issuer()`: what becomes of a TokenIssuer. Its `rejection` says that tokens come with a later version."""

from datetime import datetime

from nightlatch.api.conditions import Reason
from nightlatch.api.issuer import IssuerStatus
from nightlatch.planning.conditions import conditions, false, true
from nightlatch.planning.parsed import ParsedIssuer
from nightlatch.planning.plan import Plan


def plan_issuer(issuer: ParsedIssuer, now: datetime) -> Plan:
    """A status and nothing else."""
    rejection, generation = issuer.rejection, issuer.metadata.generation
    verdict = false(rejection.reason, rejection.message) if rejection else true(Reason.ACCEPTED, "the spec is in force")
    verdicts = (("Accepted", verdict), ("Ready", verdict))
    status = IssuerStatus(
        observed_generation=generation,
        conditions=conditions(verdicts, issuer.status.conditions, generation, now),
    )
    return Plan(status=status if status != issuer.status else None)
