"""An owner hears once of what happened, and of nothing else."""

import pytest

from nightlatch.scaling.events import events_between
from nightlatch.scaling.runtime import UNKNOWN_RUNTIME, EndpointRuntime
from nightlatch.wire.report import WakeFailure

STATES = ("Asleep", "Waking", "Awake", "Draining")


def failure(attempt):
    return WakeFailure(attempt, "ModelServerExited", "exit status 3")


def reports(before, after):
    return [(each.type, each.reason) for each in events_between(before, after)]


@pytest.mark.parametrize("before", STATES)
@pytest.mark.parametrize("after", STATES)
def test_each_change_of_state_is_told_once_and_no_other(before, after):
    reported = reports(EndpointRuntime(state=before), EndpointRuntime(state=after))
    assert reported == ([] if before == after else [("Normal", after)])


def test_waking_up_and_staying_awake_are_told_apart():
    woken, kept = (
        events_between(EndpointRuntime(state=before), EndpointRuntime(state="Awake"))
        for before in ("Waking", "Draining")
    )
    assert woken[0].message != kept[0].message


def test_a_failed_start_is_a_warning_with_its_reason_and_cause():
    (notice,) = events_between(UNKNOWN_RUNTIME, EndpointRuntime(failure=failure(1)))
    assert (notice.type, notice.reason) == ("Warning", "ModelServerExited")
    assert "exit status 3" in notice.message


@pytest.mark.parametrize(("old", "new", "reported"), [(1, 1, False), (2, 1, False), (1, 2, True)])
def test_every_attempt_is_told_once(old, new, reported):
    assert bool(reports(EndpointRuntime(failure=failure(old)), EndpointRuntime(failure=failure(new)))) is reported


def test_a_failure_that_is_over_is_not_told():
    assert reports(EndpointRuntime(failure=failure(1)), UNKNOWN_RUNTIME) == []


def test_a_failure_comes_before_the_state_it_led_to():
    before, after = EndpointRuntime(state="Waking"), EndpointRuntime(state="Asleep", failure=failure(1))
    assert reports(before, after) == [("Warning", "ModelServerExited"), ("Normal", "Asleep")]


def test_figures_alone_are_no_news():
    assert reports(UNKNOWN_RUNTIME, EndpointRuntime(desired=1, replicas=1, applied={"gateway-0": 3})) == []
