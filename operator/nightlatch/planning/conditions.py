"""Conditions from chains of named predicates: the first predicate that returns a verdict decides the condition."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TypeVar

from nightlatch.api.conditions import Reason, set_conditions
from nightlatch.api.meta import Condition, ConditionStatus

InputT = TypeVar("InputT")


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one predicate found. The message says what to do next; it holds no time and no number that keeps changing.

    reason: from the list in `api/conditions.py`, or the reason of a failed start as the workloads reported it.
    earlier: what was in use before stays in use until the newest spec is. A True verdict is then about the generation
    that the condition was about before, and a False one does not make Ready False.
    """

    status: ConditionStatus
    reason: str
    message: str
    earlier: bool = False


def false(reason: Reason | str, message: str, *, earlier: bool = False) -> Verdict:
    """The condition does not hold."""
    return Verdict("False", reason, message, earlier)


def true(reason: Reason | str, message: str, *, earlier: bool = False) -> Verdict:
    """The condition holds."""
    return Verdict("True", reason, message, earlier)


def unknown(reason: Reason | str, message: str) -> Verdict:
    """Nothing is known about the condition yet."""
    return Verdict("Unknown", reason, message)


def evaluate(inputs: InputT, chain: Sequence[Callable[[InputT], Verdict | None]]) -> Verdict:
    """The first verdict of the chain, whose last predicate always returns one."""
    return next(found for predicate in chain if (found := predicate(inputs)))


def summarize(verdicts: Iterable[tuple[str, Verdict]], otherwise: Verdict) -> Verdict:
    """The verdict on Ready: the first that is False, else the first that is Unknown, else `otherwise`."""
    every = [verdict for _, verdict in verdicts]
    found = [verdict for verdict in every if verdict.status != "True" and not verdict.earlier]
    ready = replace(otherwise, earlier=any(verdict.earlier for verdict in every))
    return min(found, key=lambda verdict: verdict.status != "False", default=ready)


def conditions(
    verdicts: Iterable[tuple[str, Verdict]], before: Iterable[Condition], generation: int, now: datetime
) -> tuple[Condition, ...]:
    """The verdicts as `metav1.Condition`; a transition time changes only when the status does."""
    known = {condition.type: condition for condition in before}
    found = [
        Condition(
            type=kind,
            status=it.status,
            reason=it.reason,
            message=it.message,
            observed_generation=_generation(it, known.get(kind), generation),
            last_transition_time=timestamp(now),
        )
        for kind, it in verdicts
    ]
    wanted = {condition.type for condition in found}
    return set_conditions((each for each in before if each.type in wanted), found)


def _generation(verdict: Verdict, before: Condition | None, generation: int) -> int:
    if not verdict.earlier or verdict.status == "False":
        return generation
    return before.observed_generation if before and before.status == "True" else generation - 1


def timestamp(time: datetime) -> str:
    """RFC 3339 in whole seconds, as Kubernetes writes it."""
    return time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
