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


def condition(kind: EndpointCondition, status: ConditionStatus, reason: Reason, generation: int, at: str) -> Condition:
    return Condition(
        type=kind, status=status, reason=reason, message="", observed_generation=generation, last_transition_time=at
    )


READY = condition(EndpointCondition.READY, "True", Reason.READY, 1, "t1")
ACCEPTED = condition(EndpointCondition.ACCEPTED, "True", Reason.ACCEPTED, 1, "t1")
NOT_ACCEPTED = condition(EndpointCondition.ACCEPTED, "False", Reason.INVALID, 2, "t2")


def test_a_first_condition_is_taken_as_it_is() -> None:
    assert set_condition((), READY) == (READY,)


def test_the_date_stays_while_the_status_does() -> None:
    later = condition(EndpointCondition.READY, "True", Reason.ASLEEP, 2, "t2")
    (only,) = set_condition((READY,), later)
    assert (only.reason, only.observed_generation, only.last_transition_time) == ("Asleep", 2, "t1")


def test_the_date_moves_with_the_status() -> None:
    (only,) = set_condition((ACCEPTED,), NOT_ACCEPTED)
    assert (only.status, only.last_transition_time) == ("False", "t2")


def test_the_others_stay_where_they_are() -> None:
    assert set_condition((ACCEPTED, READY), NOT_ACCEPTED) == (NOT_ACCEPTED, READY)


def test_the_same_again_changes_nothing() -> None:
    later = [each.model_copy(update={"last_transition_time": "t2"}) for each in (ACCEPTED, READY)]
    assert set_conditions((ACCEPTED, READY), later) == (ACCEPTED, READY)


def test_a_condition_is_found_by_type() -> None:
    assert find((ACCEPTED, READY), EndpointCondition.READY) == READY
    assert find((ACCEPTED,), EndpointCondition.READY) is None


def test_types_and_reasons_are_camel_case() -> None:
    for word in (*EndpointCondition, *ClientCondition, *IssuerCondition, *Reason):
        assert word.isalpha()
        assert word[0].isupper()
