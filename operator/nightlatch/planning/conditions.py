"""Conditions from chains of named predicates: the first predicate that returns a verdict decides the condition."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TypeVar

from nightlatch.api.conditions import Reason, set_conditions
from nightlatch.api.meta import Condition, ConditionStatus

InputT = TypeVar("InputT")


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one predicate found. The message says what to do next; it holds no time and no number that keeps changing.

    reason: from the list in `api/conditions.py`, or the reason of a failed start as the workloads reported it.
    """

    status: ConditionStatus
    reason: str
    message: str


def false(reason: Reason | str, message: str) -> Verdict:
    """The condition does not hold."""
    return Verdict("False", reason, message)


def true(reason: Reason | str, message: str) -> Verdict:
    """The condition holds."""
    return Verdict("True", reason, message)


def unknown(reason: Reason | str, message: str) -> Verdict:
    """Nothing is known about the condition yet."""
    return Verdict("Unknown", reason, message)


def evaluate(inputs: InputT, chain: Sequence[Callable[[InputT], Verdict | None]]) -> Verdict:
    """The first verdict of the chain, whose last predicate always returns one."""
    return next(found for predicate in chain if (found := predicate(inputs)))


def summarize(verdicts: Iterable[tuple[str, Verdict]], otherwise: Verdict) -> Verdict:
    """The verdict on Ready: the first that is False, else the first that is Unknown, else `otherwise`."""
    found = [verdict for _, verdict in verdicts if verdict.status != "True"]
    return min(found, key=lambda verdict: verdict.status != "False", default=otherwise)


def conditions(
    verdicts: Iterable[tuple[str, Verdict]], before: Iterable[Condition], generation: int, now: datetime
) -> tuple[Condition, ...]:
    """The verdicts as `metav1.Condition`; a transition time changes only when the status does."""
    found = [
        Condition(type=kind, status=it.status, reason=it.reason, message=it.message, observed_generation=generation)
        for kind, it in verdicts
    ]
    wanted = {condition.type for condition in found}
    return set_conditions((each for each in before if each.type in wanted), found, timestamp(now))


def timestamp(time: datetime) -> str:
    """RFC 3339 in whole seconds, as Kubernetes writes it."""
    return time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
