"""The leader's cycle of one endpoint, as a table of what it sees and what becomes of it."""

from dataclasses import replace

import pytest

from nightlatch.api.meta import NamespacedName
from nightlatch.scaling.fleet import GatewayView
from nightlatch.scaling.lifecycle import Inputs, Lifecycle, Replicas, advance, backoff, next_check_at, take_over
from nightlatch.wire.report import EndpointReport

KEY = NamespacedName("search", "minilm")
LIMIT = 90.0
READY = Replicas(desired=1, live=1, ready=1)
STARTING = Replicas(desired=1, live=1)
NOTHING = Replicas()
BROKEN = Replicas(desired=1, failed_starts=1, reason="ModelServerExited", message="exit code 3")


def gateway(phase="Warm", epoch=0, name="a", in_flight=0, held=0, refused=0):
    reports = EndpointReport(KEY, 1, phase, in_flight, 0, held, epoch=epoch, refused_epoch=refused)
    return GatewayView(name, connected=True, report=reports)


def silent(name="b"):
    return GatewayView(name, connected=False, report=None)


def lifecycle(phase, epoch=100, **more):
    replicas = 0 if phase in ("Asleep", "BackOff") else 1
    return Lifecycle(phase, epoch, since=0, replicas=replicas, **more)


def see(*gateways, wanted=0, running=READY, now=10.0, generation=1):
    return Inputs(now, wanted, running, gateways, LIMIT, generation)


@pytest.mark.parametrize(
    ("before", "inputs", "phase", "epoch", "state", "replicas"),
    [
        # Waking.
        (lifecycle("Asleep"), see(gateway("Cold"), running=NOTHING), "Asleep", 100, "Asleep", 0),
        (lifecycle("Asleep"), see(gateway("Cold"), wanted=1, running=NOTHING), "Starting", 100, "Waking", 1),
        (lifecycle("Asleep"), see(gateway("Cold"), wanted=1, running=None), "Asleep", 100, "Asleep", 0),
        (lifecycle("Asleep"), see(gateway("Cold"), silent(), wanted=1, running=NOTHING), "Starting", 100, "Waking", 1),
        (lifecycle("Starting"), see(gateway("Waking"), wanted=1, running=STARTING), "Starting", 100, "Waking", 1),
        (lifecycle("Starting"), see(gateway("Waking"), wanted=1, running=READY), "Awake", 100, "Awake", 1),
        (lifecycle("Starting"), see(gateway("Warm"), wanted=1, running=STARTING), "Awake", 100, "Awake", 1),
        # The callers gave up before the start was done.
        (lifecycle("Starting"), see(gateway("Waking"), running=STARTING), "Holding", 101, "Draining", 1),
        # Sleeping.
        (lifecycle("Awake"), see(gateway(), wanted=1), "Awake", 100, "Awake", 1),
        (lifecycle("Awake"), see(gateway()), "Holding", 101, "Draining", 1),
        (lifecycle("Holding"), see(gateway("Warm")), "Holding", 100, "Draining", 1),
        (lifecycle("Holding"), see(gateway("Holding", 100, in_flight=1)), "Holding", 100, "Draining", 1),
        (lifecycle("Holding"), see(gateway("Holding", 100, in_flight=None)), "Holding", 100, "Draining", 1),
        (lifecycle("Holding"), see(gateway("Holding", 98)), "Holding", 100, "Draining", 1),
        (lifecycle("Holding"), see(gateway("Holding", 100)), "Emptying", 100, "Asleep", 1),
        (lifecycle("Emptying"), see(gateway("Holding", 100)), "Emptying", 100, "Asleep", 1),
        (lifecycle("Emptying"), see(gateway("Cold", 100)), "Asleep", 100, "Asleep", 0),
        # Several gateways: the slowest decides.
        (lifecycle("Holding"), see(gateway("Holding", 100), gateway("Warm", name="b")), "Holding", 100, "Draining", 1),
        (
            lifecycle("Holding"),
            see(gateway("Holding", 100), gateway("Holding", 100, "b")),
            "Emptying",
            100,
            "Asleep",
            1,
        ),
        (lifecycle("Emptying"), see(gateway("Cold", 100), gateway("Holding", 100, "b")), "Emptying", 100, "Asleep", 1),
        (lifecycle("Emptying"), see(gateway("Cold", 100), gateway("Cold", 100, "b")), "Asleep", 100, "Asleep", 0),
        # One that does not report blocks sleep, until it leaves the set.
        (lifecycle("Holding"), see(gateway("Holding", 100), silent()), "Holding", 100, "Draining", 1),
        (lifecycle("Emptying"), see(gateway("Cold", 100), silent()), "Emptying", 100, "Asleep", 1),
        (lifecycle("Holding"), see(), "Holding", 100, "Draining", 1),
        # Aborts: a held call, a refusal, a time-out, a gateway that lost the epoch (it was restarted).
        (lifecycle("Holding"), see(gateway("Holding", 100, held=1)), "Awake", 101, "Awake", 1),
        (lifecycle("Holding"), see(gateway("Holding", 100), gateway(name="b", held=1)), "Awake", 101, "Awake", 1),
        (lifecycle("Holding"), see(gateway("Warm", refused=100)), "Awake", 101, "Awake", 1),
        (lifecycle("Holding"), see(gateway("Warm", refused=99)), "Holding", 100, "Draining", 1),
        (lifecycle("Holding"), see(gateway("Warm"), now=LIMIT), "Awake", 101, "Awake", 1),
        (lifecycle("Holding"), see(gateway("Holding", 100), silent(), now=LIMIT), "Awake", 101, "Awake", 1),
        (lifecycle("Emptying"), see(gateway("Cold", 100, held=1)), "Awake", 101, "Awake", 1),
        (lifecycle("Emptying"), see(gateway("Holding", 100, refused=100)), "Awake", 101, "Awake", 1),
        (lifecycle("Emptying"), see(gateway("Cold", 100), gateway("Warm", name="b")), "Awake", 101, "Awake", 1),
        # An earlier leader's clock was ahead.
        (lifecycle("Awake"), see(gateway("Holding", 500), wanted=1), "Awake", 501, "Awake", 1),
        (lifecycle("Holding"), see(gateway("Warm", refused=500)), "Holding", 501, "Draining", 1),
        # The workload is gone.
        (lifecycle("Awake"), see(gateway(), wanted=1, running=None), "Asleep", 100, "Asleep", 0),
    ],
)
def test_transition(before, inputs, phase, epoch, state, replicas):
    after = advance(before, inputs)
    directive = after.directive(KEY)
    assert (after.phase, after.epoch, directive.state, after.replicas) == (phase, epoch, state, replicas)
    assert directive.epoch == epoch


def test_a_failed_start_is_told_once_and_retried_with_growing_delays():
    seen, now, delays, attempts = lifecycle("Asleep"), 0.0, [], []
    for failed in range(1, 8):
        before = Replicas(failed_starts=failed - 1)
        seen = advance(seen, see(wanted=1, running=before, now=now))
        assert (seen.phase, seen.directive(KEY).failure) == ("Starting", None)
        seen = advance(seen, see(wanted=1, running=replace(BROKEN, failed_starts=failed), now=now))
        assert (seen.phase, seen.replicas) == ("BackOff", 0)
        reported = seen.directive(KEY).failure
        assert (reported.reason, reported.message) == ("ModelServerExited", "exit code 3")
        attempts.append(reported.attempt)
        delays.append(seen.retry_at - now)
        waiting = see(wanted=1, running=Replicas(failed_starts=failed), now=seen.retry_at - 0.1)
        assert advance(seen, waiting) == seen
        now = seen.retry_at
    assert delays == [1, 2, 4, 8, 16, 30, 30]
    assert attempts == sorted(set(attempts))


def test_a_start_that_succeeds_ends_the_failure():
    failed = advance(lifecycle("Starting"), see(wanted=1, running=BROKEN))
    again = advance(failed, see(wanted=1, running=Replicas(failed_starts=1), now=failed.retry_at))
    assert again.failure == failed.failure, "status keeps the cause until a replica serves"
    awake = advance(again, see(wanted=1, running=replace(READY, failed_starts=1)))
    assert (awake.phase, awake.failure) == ("Awake", None)


def test_a_new_spec_is_tried_at_once():
    failed = advance(lifecycle("Starting"), see(wanted=1, running=BROKEN))
    again = advance(failed, see(wanted=1, running=Replicas(failed_starts=1), generation=2))
    assert (again.phase, again.crashes) == ("Starting", 0)


def test_without_demand_a_failed_start_is_not_repeated():
    failed = advance(lifecycle("Starting"), see(wanted=1, running=BROKEN))
    assert advance(failed, see(running=Replicas(failed_starts=1), now=failed.retry_at)).phase == "Asleep"


def test_calls_held_after_a_sound_replica_crashed_are_served_by_the_next():
    crashed = advance(lifecycle("Awake", crashes=5), see(gateway("Cold", held=1), wanted=1, running=BROKEN, now=100))
    assert (crashed.phase, crashed.crashes, crashed.failure.reason) == ("BackOff", 1, "ModelServerExited")
    assert crashed.directive(KEY).failure is None


def test_a_start_can_fail_while_its_pod_lives_on():
    stuck = Replicas(desired=1, live=1, failed_starts=1, reason="ImagePullBackOff")
    assert (
        advance(lifecycle("Starting"), see(wanted=1, running=stuck)).directive(KEY).failure.reason == "ImagePullBackOff"
    )


def test_a_failure_beside_a_ready_replica_changes_nothing():
    assert advance(lifecycle("Awake"), see(wanted=1, running=replace(READY, failed_starts=3))).phase == "Awake"


def test_a_failure_of_an_earlier_start_is_no_failure_of_this_one():
    woken = advance(lifecycle("Asleep"), see(wanted=1, running=replace(NOTHING, failed_starts=4)))
    waiting = see(wanted=1, running=Replicas(desired=1, failed_starts=4))
    assert advance(woken, waiting) == woken


@pytest.mark.parametrize(
    ("running", "phase", "replicas"),
    [(None, "Asleep", 0), (NOTHING, "Asleep", 0), (STARTING, "Starting", 1), (READY, "Awake", 1)],
)
def test_a_new_leader_adopts_what_it_finds(running, phase, replicas):
    adopted = take_over(1_700_000_000.9, running)
    assert (adopted.phase, adopted.replicas, adopted.epoch) == (phase, replicas, 1_700_000_000)


def test_a_new_leader_sees_a_start_that_failed_before_its_time():
    adopted = take_over(1000.0, BROKEN)
    assert advance(adopted, see(wanted=1, running=BROKEN)).phase == "BackOff"


def test_only_drains_and_delays_need_the_clock():
    assert next_check_at(lifecycle("Holding"), LIMIT) == LIMIT
    assert next_check_at(lifecycle("Emptying"), LIMIT) == LIMIT
    assert next_check_at(lifecycle("BackOff", retry_at=7.0), LIMIT) == 7.0
    assert next_check_at(lifecycle("Awake"), LIMIT) == float("inf")


def test_the_delay_is_bounded():
    assert backoff(10_000) == 30
