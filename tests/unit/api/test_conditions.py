"""A transition time is when the status last changed, and nothing else moves it."""

from nightlatch.api.conditions import (
    ClientCondition,
    EndpointCondition,
    IssuerCondition,
    Reason,
    find,
    set_condition,
    set_conditions,
)
from nightlatch.api.meta import Condition, ConditionStatus


def condition(
    kind: EndpointCondition, status: ConditionStatus, reason: Reason, message: str, generation: int
) -> Condition:
    return Condition(type=kind, status=status, reason=reason, message=message, observed_generation=generation)


READY = condition(EndpointCondition.READY, "True", Reason.READY, "ready", 1)
ACCEPTED = condition(EndpointCondition.ACCEPTED, "True", Reason.ACCEPTED, "accepted", 1)


def test_a_first_condition_is_dated_now() -> None:
    (only,) = set_condition((), READY, "t1")
    assert only == READY.model_copy(update={"last_transition_time": "t1"})


def test_the_date_stays_while_the_status_does() -> None:
    before = set_condition((), READY, "t1")
    later = condition(EndpointCondition.READY, "True", Reason.ASLEEP, "asleep", 2)
    (only,) = set_condition(before, later, "t2")
    assert (only.reason, only.observed_generation, only.last_transition_time) == ("Asleep", 2, "t1")


def test_the_date_moves_with_the_status() -> None:
    before = set_condition((), READY, "t1")
    (only,) = set_condition(before, condition(EndpointCondition.READY, "False", Reason.INVALID, "no", 2), "t2")
    assert (only.status, only.last_transition_time) == ("False", "t2")


def test_the_others_stay_where_they_are() -> None:
    before = set_conditions((), (ACCEPTED, READY), "t1")
    after = set_condition(before, condition(EndpointCondition.ACCEPTED, "False", Reason.INVALID, "no", 2), "t2")
    assert [each.type for each in after] == ["Accepted", "Ready"]
    assert after[1] == before[1]


def test_the_same_again_changes_nothing() -> None:
    before = set_conditions((), (ACCEPTED, READY), "t1")
    assert set_conditions(before, (ACCEPTED, READY), "t2") == before


def test_a_condition_is_found_by_type() -> None:
    assert find((ACCEPTED, READY), EndpointCondition.READY) == READY
    assert find((ACCEPTED,), EndpointCondition.READY) is None


def test_types_and_reasons_are_camel_case() -> None:
    for word in (*EndpointCondition, *ClientCondition, *IssuerCondition, *Reason):
        assert word.isalpha()
        assert word[0].isupper()
