"""The conditions of a TokenIssuer. `chains()` is the table of contents; the predicates follow in its order."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

from nightlatch.api.conditions import IssuerCondition, Reason
from nightlatch.planning.conditions import Verdict, evaluate, false, summarize, true, unknown
from nightlatch.planning.issuer.document import IssuerDecision, is_over
from nightlatch.planning.parsed import ParsedIssuer


@dataclass(frozen=True, slots=True)
class IssuerConditionInput:
    """What was observed, and what was decided about it."""

    issuer: ParsedIssuer
    document: IssuerDecision
    document_taken: bool
    now: datetime


Predicate = Callable[[IssuerConditionInput], Verdict | None]


def chains() -> Mapping[IssuerCondition, tuple[Predicate, ...]]:
    """For each condition its predicates in order: the first that returns a verdict decides, the last always does."""
    return {
        IssuerCondition.ACCEPTED: (
            rejected,  # the spec is invalid or not supported
            accepted,
        ),
        IssuerCondition.KEYS_READY: (
            document_secret_taken,  # only a person can resolve a conflict, so it is named first
            never_accepted,  # nothing was ever fetched, so nothing can have failed
            keys_too_old,  # no gateway believes them any more
            no_keys,  # the newest ones could not be used, and there are no others
            keys_pending,  # nothing is wrong yet
            keys_kept,  # tokens are verified, but somebody should know
            keys_in_use,
        ),
    }


def issuer_verdicts(inputs: IssuerConditionInput) -> tuple[tuple[IssuerCondition, Verdict], ...]:
    """Every condition in the order of the status, with Ready last."""
    verdicts = tuple((kind, evaluate(inputs, chain)) for kind, chain in chains().items())
    ready = summarize(verdicts, true(Reason.READY, "the issuer's tokens are verified"))
    return (*verdicts, (IssuerCondition.READY, ready))


# Accepted


def rejected(inputs: IssuerConditionInput) -> Verdict | None:
    rejection = inputs.issuer.rejection
    if rejection is None:
        return None
    kept = "; the last good spec stays in use" if inputs.document.current else ""
    return false(rejection.reason, f"{rejection.message}{kept}")


def accepted(_inputs: IssuerConditionInput) -> Verdict:
    return true(Reason.ACCEPTED, "the spec is accepted")


# KeysReady


def document_secret_taken(inputs: IssuerConditionInput) -> Verdict | None:
    if not inputs.document_taken:
        return None
    return false(
        Reason.SECRET_CONFLICT,
        "the issuer document's Secret exists and is not ours: delete it in the gateway namespace",
    )


def never_accepted(inputs: IssuerConditionInput) -> Verdict | None:
    if inputs.issuer.rejection is None or inputs.document.current is not None:
        return None
    return false(Reason.NOT_ACCEPTED, "no keys before the spec is accepted; see the condition Accepted")


def keys_too_old(inputs: IssuerConditionInput) -> Verdict | None:
    current, problem = inputs.document.current, inputs.document.problem
    if current is None or not is_over(current, inputs.now):
        return None
    why = f": {problem.message}" if problem else ": they are being fetched"
    return false(Reason.KEYS_TOO_OLD, f"the last good keys are older than spec.maxStale{why}")


def no_keys(inputs: IssuerConditionInput) -> Verdict | None:
    problem = inputs.document.problem
    if inputs.document.current is not None or problem is None:
        return None
    return false(problem.reason, problem.message)


def keys_pending(inputs: IssuerConditionInput) -> Verdict | None:
    if inputs.document.current is not None:
        return None
    return unknown(Reason.KEYS_PENDING, "the keys are being fetched")


def keys_kept(inputs: IssuerConditionInput) -> Verdict | None:
    problem = inputs.document.problem
    if problem is None:
        return None
    return true(
        Reason.KEYS_KEPT,
        f"the last good keys stay until they are spec.maxStale old ({problem.reason}): {problem.message}",
    )


def keys_in_use(_inputs: IssuerConditionInput) -> Verdict:
    return true(Reason.KEYS_IN_USE, "tokens are verified by the keys in status.keys")
