"""The work queue: each key once, never twice at a time, revocations first, growing pauses after failures."""

import asyncio
import os

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from nightlatch.api.meta import NamespacedName, ObjectRef
from nightlatch.controller.queue import LONGEST_BACKOFF, WorkQueue

A, B, C = (ObjectRef("InferenceEndpoint", NamespacedName("ns", name)) for name in "abc")


class Clock:
    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def queue(clock):
    return WorkQueue(clock, os.urandom)


def drain(queue):
    taken = []
    while (ref := queue.take()) is not None:
        taken.append(ref)
    return taken


def test_a_key_added_often_is_taken_once(queue):
    for _ in range(3):
        queue.add(A)
    queue.add(B)
    assert drain(queue) == [A, B]


def test_revocations_go_first_also_when_the_key_waited_already(queue):
    queue.add(A)
    queue.add(B)
    queue.add(C)
    queue.add(C, urgent=True)
    assert drain(queue) == [C, A, B]


def test_the_urgent_lane_alone_gives_nothing_else(queue):
    queue.add(A)
    assert queue.take(urgent_only=True) is None
    queue.add(B, urgent=True)
    assert queue.take(urgent_only=True) == B


def test_a_key_in_work_is_not_given_to_a_second_worker_but_comes_again(queue):
    queue.add(A)
    assert queue.take() == A
    queue.add(A)
    assert queue.take() is None
    queue.done(A)
    assert queue.take() == A


def test_an_urgent_change_during_work_is_urgent_after_it(queue):
    queue.add(A)
    queue.take()
    queue.add(A, urgent=True)
    queue.add(A)
    queue.add(B)
    queue.done(A)
    assert drain(queue) == [A, B]


def test_pauses_grow_with_failures_up_to_a_bound_and_end_with_a_success(queue, clock):
    pauses = []
    for _ in range(16):
        queue.add(A)
        queue.take()
        queue.done(A, failed=True)
        pauses.append(queue.next_due())
        clock.now += pauses[-1]
    assert pauses[0] <= 0.05
    assert pauses[6] > 10 * pauses[0]
    assert max(pauses) <= LONGEST_BACKOFF
    assert queue.take() == A
    queue.done(A)
    queue.add(A)
    queue.take()
    queue.done(A, failed=True)
    assert queue.next_due() <= 0.05


def test_a_failed_revocation_stays_urgent_and_is_never_put_off_for_long(queue, clock):
    queue.add(A, urgent=True)
    for _ in range(12):
        assert queue.take(urgent_only=True) == A
        queue.done(A, failed=True)
        assert queue.next_due() <= 1.0
        clock.now += 1.0
    queue.take()
    queue.done(A, requeue_after=5)
    clock.now += 5
    assert queue.take(urgent_only=True) is None
    assert queue.take() == A


def test_a_requeue_waits_for_its_time_and_the_earlier_of_two_counts(queue, clock):
    queue.add_after(A, 10)
    queue.add_after(A, 5)
    queue.add_after(A, 20)
    clock.now = 4.9
    assert queue.take() is None
    clock.now = 5
    assert drain(queue) == [A]
    assert queue.next_due() is None


def test_an_event_makes_a_pause_pointless(queue, clock):
    queue.add_after(A, 10)
    queue.add(A)
    assert queue.take() == A
    queue.done(A)
    clock.now = 11
    assert queue.take() is None


async def test_next_wakes_for_an_add_and_for_a_time():
    loop = asyncio.get_running_loop()
    queue = WorkQueue(loop.time, os.urandom)
    waiting = asyncio.create_task(queue.next())
    await asyncio.sleep(0)
    queue.add(A)
    assert await waiting == A
    queue.done(A, requeue_after=0.01)
    assert await queue.next() == A


class AnyOrder(RuleBasedStateMachine):
    """Whatever happens in whatever order: no key is lost, none is in work twice."""

    def __init__(self):
        super().__init__()
        self.clock = Clock()
        self.queue = WorkQueue(self.clock, bytes)
        self.working = set()
        self.owed = set()

    @rule(ref=st.sampled_from([A, B, C]), urgent=st.booleans())
    def add(self, ref, urgent):
        self.queue.add(ref, urgent=urgent)
        self.owed.add(ref)

    @rule(urgent_only=st.booleans())
    def take(self, urgent_only):
        ref = self.queue.take(urgent_only=urgent_only)
        if ref is not None:
            assert ref not in self.working
            self.working.add(ref)
            self.owed.discard(ref)

    @rule(data=st.data(), failed=st.booleans())
    def done(self, data, failed):
        if self.working:
            ref = data.draw(st.sampled_from(sorted(self.working)))
            self.working.discard(ref)
            self.queue.done(ref, failed=failed)
            if failed:
                self.owed.add(ref)

    @rule(seconds=st.floats(0, 100))
    def pass_time(self, seconds):
        self.clock.now += seconds

    @invariant()
    def what_is_owed_is_waiting(self):
        assert self.queue.busy() or not self.owed or self.queue.next_due() is not None

    def teardown(self):
        self.clock.now += 1000
        for ref in self.working:
            self.queue.done(ref)
        assert self.owed <= set(drain(self.queue))


AnyOrder.TestCase.settings = settings(max_examples=50, stateful_step_count=30, deadline=None)
TestAnyOrder = AnyOrder.TestCase
