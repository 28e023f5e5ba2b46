"""Replicas from concurrency: up at once, down after one whole idle window of which every second is known."""

import pytest

from nightlatch.api.endpoint import Scaling
from nightlatch.scaling.decide import Load, ScalingSpec, Window, decide, idle_at

SPEC = ScalingSpec(min_replicas=0, max_replicas=1, target_concurrency=8, idle_after=60)
WIDE = ScalingSpec(min_replicas=1, max_replicas=4, target_concurrency=8, idle_after=60)
IDLE = Load(in_flight=0, held=0, issued=5)


def window(*observations):
    """Opened at 0, then `(now, load)` each."""
    seen = Window.opened(0)
    for now, load in observations:
        seen = seen.observe(now, load)
    return seen


def test_a_held_call_wakes_at_once():
    assert decide(0, window((0, Load(None, held=1))), SPEC, replicas=0) == 1


def test_without_demand_zero_stays_zero():
    assert decide(1000, window((0, IDLE)), SPEC, replicas=0) == 0


def test_a_stale_load_report_wakes_nothing():
    assert decide(0, window((0, Load(in_flight=3, held=0))), SPEC, replicas=0) == 0


def test_the_minimum_needs_no_demand():
    assert decide(0, window(), WIDE, replicas=0) == 1


@pytest.mark.parametrize(("in_flight", "held", "wanted"), [(8, 0, 1), (8, 1, 2), (0, 17, 3), (99, 0, 4)])
def test_concurrency_over_target_within_the_maximum(in_flight, held, wanted):
    assert decide(0, window((0, Load(in_flight, held))), WIDE, replicas=1) == wanted


@pytest.mark.parametrize(
    ("observations", "now", "wanted"),
    [
        # The first full window after an election, and not a moment sooner.
        ([(0, IDLE), (1, IDLE)], 59, 1),
        ([(0, IDLE), (1, IDLE)], 61, 0),
        # Unknown is not zero: the window begins when the load is known.
        ([(0, IDLE), (50, Load(None, 0, 5)), (70, IDLE)], 120, 1),
        ([(0, IDLE), (50, Load(None, 0, 5)), (70, IDLE)], 130, 0),
        ([(0, IDLE), (50, Load(None, 0, 5))], 1000, 1),
        # One long call counts as activity until its end, though nothing was reported in between.
        ([(0, IDLE), (1, Load(1, 0, 6)), (500, Load(0, 0, 6))], 530, 1),
        ([(0, IDLE), (1, Load(1, 0, 6)), (500, Load(0, 0, 6))], 560, 0),
        # A call between two load reports.
        ([(0, IDLE), (50, Load(0, 0, 6)), (51, Load(0, 0, 6))], 100, 1),
        ([(0, IDLE), (50, Load(0, 0, 6)), (51, Load(0, 0, 6))], 110, 0),
        # Calls in flight.
        ([(0, IDLE), (10, Load(1, 0, 6))], 1000, 1),
    ],
)
def test_zero_after_one_whole_idle_window(observations, now, wanted):
    assert decide(now, window(*observations), SPEC, replicas=1) == wanted


def test_the_moment_to_look_again_is_the_end_of_the_window():
    assert idle_at(window((5, IDLE)), SPEC) == 65
    assert idle_at(window((5, Load(1, 0))), SPEC) == float("inf")


def test_more_than_one_replica_is_capped_for_now():
    spec = ScalingSpec.of(Scaling(min_replicas=2, max_replicas=4, idle_after="1m30s"))
    assert spec == ScalingSpec(min_replicas=1, max_replicas=1, target_concurrency=8, idle_after=90)
