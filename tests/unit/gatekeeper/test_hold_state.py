"""The state machine of the hold, as tables of events. Some promises are about several gateways side by side."""

from dataclasses import replace

import pytest

from nightlatch.api.meta import NamespacedName
from nightlatch.gatekeeper.hold.hold_state import (
    AddressesApplied,
    Directed,
    Event,
    Held,
    HoldState,
    Load,
    Probed,
    Replicas,
    RouteApplied,
    Tick,
    new_hold_state,
    step,
)
from nightlatch.wire.report import Directive, WakeFailure
from nightlatch.workloads.protocol import Replica

KEY = NamespacedName("search", "minilm")
ADDRESS = ("127.0.0.1", 9000)
STARTING = Replica("r0", ADDRESS, ready=False)
READY = replace(STARTING, ready=True)
TERMINATING = replace(READY, terminating=True)
OTHER = Replica("r1", ("127.0.0.1", 9001), ready=True)


def told(state: str, epoch: int = 0, failure: WakeFailure | None = None) -> Directed:
    return Directed(Directive(KEY, state, epoch, failure))  # type: ignore[arg-type]


def after(hold: HoldState, *events: Event, now: float = 0.0) -> HoldState:
    for event in events:
        hold = step(hold, event, now)
    return hold


def cold() -> HoldState:
    hold = new_hold_state((), request_timeout=60)
    return after(hold, AddressesApplied(()), RouteApplied(holding=True))


def warm() -> HoldState:
    hold = new_hold_state((READY,), request_timeout=60)
    return after(hold, AddressesApplied((ADDRESS,)), RouteApplied(holding=False))


def holding(epoch: int = 7) -> HoldState:
    """A hold that went on for a drain epoch and has proven that nothing is in flight."""
    return after(warm(), told("Draining", epoch), RouteApplied(holding=True), Load(0), Load(0))


def test_restart_over_a_ready_replica_starts_with_the_hold_off() -> None:
    hold = new_hold_state((READY,), request_timeout=60)
    assert (hold.open, hold.addresses, hold.phase) == (True, (ADDRESS,), "Warm")


@pytest.mark.parametrize("replicas", [(), (STARTING,), (TERMINATING,)])
def test_start_without_a_ready_replica_holds(replicas: tuple[Replica, ...]) -> None:
    hold = new_hold_state(replicas, request_timeout=60)
    assert (hold.open, hold.addresses) == (False, ())


def test_wake_opens_only_after_envoy_acknowledged_the_address() -> None:
    steps: list[tuple[Event, bool, tuple[object, ...]]] = [
        (Held(1), False, ()),
        (told("Waking"), False, ()),
        (Replicas((STARTING,)), False, ()),
        (Probed("r0", ADDRESS), False, (ADDRESS,)),
        (RouteApplied(holding=True), False, (ADDRESS,)),
        (AddressesApplied((ADDRESS,)), True, (ADDRESS,)),
    ]
    hold = cold()
    for event, is_open, addresses in steps:
        hold = step(hold, event, 0)
        assert (hold.open, hold.addresses) == (is_open, addresses), event


def test_an_old_acknowledgement_of_other_addresses_does_not_open() -> None:
    hold = after(cold(), Replicas((READY,)), AddressesApplied((("127.0.0.1", 1),)))
    assert not hold.open


def test_only_starting_replicas_with_an_address_are_probed() -> None:
    no_address = Replica("r9", None, ready=False)
    hold = after(cold(), Replicas((STARTING, no_address, TERMINATING)))
    assert hold.probing == (("r0", ADDRESS),)
    assert after(hold, Probed("r0", ADDRESS)).probing == ()


def test_a_probe_counts_until_the_platform_says_ready_and_no_longer() -> None:
    hold = after(cold(), Replicas((STARTING,)), Probed("r0", ADDRESS), AddressesApplied((ADDRESS,)))
    assert hold.open
    hold = after(hold, Replicas((READY,)), Replicas((STARTING,)))
    assert not hold.open


def test_the_last_address_stays_until_the_hold_is_acknowledged() -> None:
    hold = after(warm(), Replicas((TERMINATING,)))
    assert (hold.open, hold.addresses) == (False, (ADDRESS,))
    assert after(hold, RouteApplied(holding=True)).addresses == ()


def test_a_terminating_replica_leaves_at_once_while_another_serves() -> None:
    hold = after(warm(), Replicas((TERMINATING, OTHER)))
    assert (hold.open, hold.addresses) == (True, (OTHER.address,))


@pytest.mark.parametrize(
    ("events", "drained"),
    [
        ((Load(0), Load(0), Load(0)), False),
        ((RouteApplied(holding=True), Load(0)), False),
        ((RouteApplied(holding=True), Load(0), Load(None), Load(0)), False),
        ((RouteApplied(holding=True), Load(0), Load(3), Load(0)), False),
        ((RouteApplied(holding=True), Load(0), Load(0)), True),
        ((Load(0), RouteApplied(holding=True), Load(2), Load(0), Load(0)), True),
    ],
)
def test_drained_takes_two_quiet_reports_after_the_acknowledged_hold(events: tuple[Event, ...], drained: bool) -> None:
    hold = after(warm(), told("Draining", 7), *events)
    assert hold.drained is drained
    assert hold.holding
    assert (hold.reported_load == 0) is drained
    assert hold.addresses == (ADDRESS,)


def test_a_drain_is_reported_as_holding_only_when_envoy_has_acknowledged_the_hold() -> None:
    hold = after(warm(), told("Draining", 7))
    assert (hold.phase, hold.epoch) == ("Warm", 7)
    assert after(hold, RouteApplied(holding=True)).phase == "Holding"


def test_asleep_empties_a_drained_endpoint_and_reports_cold_after_the_acknowledgement() -> None:
    hold = after(holding(7), told("Asleep", 7))
    assert (hold.addresses, hold.phase, hold.epoch) == ((), "Holding", 7)
    hold = after(hold, AddressesApplied(()))
    assert (hold.phase, hold.epoch) == ("Cold", 7)


def test_a_held_call_aborts_the_drain_and_goes_on_at_once() -> None:
    hold = after(holding(7), Held(1))
    assert (hold.open, hold.refused_epoch, hold.phase) == (True, 7, "Warm")


def test_asleep_for_a_refused_epoch_is_not_carried_out() -> None:
    hold = after(holding(7), Held(1), Held(0), RouteApplied(holding=False), told("Asleep", 7), Load(0), Load(0))
    assert (hold.open, hold.addresses) == (True, (ADDRESS,))


def test_a_drain_that_takes_too_long_is_given_up() -> None:
    hold = after(warm(), told("Draining", 7), RouteApplied(holding=True), Load(2), now=100.0)
    assert step(hold, Tick(), 189.0).holding
    late = step(hold, Tick(), 190.5)
    assert (late.open, late.refused_epoch) == (True, 7)


def test_awake_with_the_next_epoch_opens_a_holding_endpoint() -> None:
    hold = after(holding(7), told("Awake", 8))
    assert (hold.open, hold.drain) == (True, None)


def test_the_next_epoch_is_drained_although_the_last_was_refused() -> None:
    hold = after(holding(7), Held(1), Held(0), RouteApplied(holding=False), told("Awake", 8), told("Draining", 9))
    assert (hold.holding, hold.epoch) == (True, 9)


def test_a_call_held_after_emptying_waits_for_the_leader() -> None:
    hold = after(holding(7), told("Asleep", 7), AddressesApplied(()), Held(1))
    assert (hold.open, hold.addresses, hold.phase, hold.probing) == (False, (), "Cold", ())
    hold = after(hold, told("Waking", 8))
    assert hold.addresses == (ADDRESS,)
    assert after(hold, AddressesApplied((ADDRESS,))).open


def test_two_gateways_one_refuses_and_the_other_that_emptied_comes_back() -> None:
    first, second = holding(7), holding(7)
    first, second = after(first, told("Asleep", 7), AddressesApplied(())), after(second, Held(1))
    second = after(second, told("Asleep", 7))
    assert (first.phase, second.phase, second.refused_epoch) == ("Cold", "Warm", 7)
    first = after(first, told("Awake", 8))
    assert after(first, AddressesApplied((ADDRESS,))).open


def test_a_gateway_that_restarted_warm_drains_before_it_obeys_asleep() -> None:
    hold = after(warm(), told("Asleep", 7))
    assert (hold.holding, hold.addresses) == (True, (ADDRESS,))
    hold = after(hold, RouteApplied(holding=True), Load(0), Load(0))
    assert hold.addresses == ()


def test_a_cold_gateway_agrees_to_a_drain_and_to_sleep() -> None:
    assert after(cold(), told("Draining", 7), Load(0), Load(0)).drained
    asleep = after(cold(), told("Asleep", 7))
    assert (asleep.phase, asleep.epoch) == ("Cold", 7)


def test_a_gateway_with_held_calls_refuses_a_drain() -> None:
    hold = after(cold(), Held(3), told("Draining", 7))
    assert hold.refused_epoch == 7


def test_a_replica_that_is_kept_while_asleep_does_not_wake_the_endpoint() -> None:
    hold = after(cold(), told("Asleep", 7), Replicas((READY,)), AddressesApplied(()))
    assert (hold.open, hold.addresses, hold.probing, hold.phase) == (False, (), (), "Cold")


def test_without_a_leader_a_warm_endpoint_stays_warm() -> None:
    hold = after(warm(), Load(None), Tick(), Load(5), now=10_000.0)
    assert hold.open


def test_unknown_load_is_never_reported_as_zero() -> None:
    assert warm().reported_load is None
    assert after(warm(), Load(0)).reported_load == 0
    assert after(warm(), Load(4), Load(None)).reported_load is None
