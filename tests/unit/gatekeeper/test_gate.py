"""The gate's state machine, as tables of events. Two gates side by side where the promise is about several gateways."""

from dataclasses import replace

import pytest

from nightlatch.api.meta import Key
from nightlatch.gatekeeper.gate import (
    Directed,
    EndpointsApplied,
    Event,
    Gate,
    Held,
    Load,
    Probed,
    Replicas,
    RouteApplied,
    Tick,
    new_gate,
    step,
)
from nightlatch.scaling.report import Directive, WakeFailure
from nightlatch.workloads.protocol import Replica

KEY = Key("search", "minilm")
ADDRESS = ("127.0.0.1", 9000)
STARTING = Replica("r0", ADDRESS, ready=False)
READY = replace(STARTING, ready=True)
TERMINATING = replace(READY, terminating=True)
OTHER = Replica("r1", ("127.0.0.1", 9001), ready=True)


def told(state: str, epoch: int = 0, failure: WakeFailure | None = None) -> Directed:
    return Directed(Directive(KEY, state, epoch, failure))  # type: ignore[arg-type]


def after(gate: Gate, *events: Event, now: float = 0.0) -> Gate:
    for event in events:
        gate = step(gate, event, now)
    return gate


def cold() -> Gate:
    gate = new_gate((), request_timeout=60)
    return after(gate, EndpointsApplied(()), RouteApplied(gated=True))


def warm() -> Gate:
    gate = new_gate((READY,), request_timeout=60)
    return after(gate, EndpointsApplied((ADDRESS,)), RouteApplied(gated=False))


def gated(epoch: int = 7) -> Gate:
    """A gate that shut for a drain epoch and has proven that nothing is in flight."""
    return after(warm(), told("Draining", epoch), RouteApplied(gated=True), Load(0), Load(0))


def test_restart_over_a_ready_replica_starts_open() -> None:
    gate = new_gate((READY,), request_timeout=60)
    assert (gate.open, gate.addresses, gate.phase) == (True, (ADDRESS,), "Warm")


@pytest.mark.parametrize("replicas", [(), (STARTING,), (TERMINATING,)])
def test_start_without_a_ready_replica_is_shut(replicas: tuple[Replica, ...]) -> None:
    gate = new_gate(replicas, request_timeout=60)
    assert (gate.open, gate.addresses) == (False, ())


def test_wake_opens_only_after_envoy_acknowledged_the_address() -> None:
    steps: list[tuple[Event, bool, tuple[object, ...]]] = [
        (Held(1), False, ()),
        (told("Waking"), False, ()),
        (Replicas((STARTING,)), False, ()),
        (Probed("r0", ADDRESS), False, (ADDRESS,)),
        (RouteApplied(gated=True), False, (ADDRESS,)),
        (EndpointsApplied((ADDRESS,)), True, (ADDRESS,)),
    ]
    gate = cold()
    for event, is_open, addresses in steps:
        gate = step(gate, event, 0)
        assert (gate.open, gate.addresses) == (is_open, addresses), event


def test_an_old_acknowledgement_of_other_addresses_does_not_open() -> None:
    gate = after(cold(), Replicas((READY,)), EndpointsApplied((("127.0.0.1", 1),)))
    assert not gate.open


def test_only_starting_replicas_with_an_address_are_probed() -> None:
    no_address = Replica("r9", None, ready=False)
    gate = after(cold(), Replicas((STARTING, no_address, TERMINATING)))
    assert gate.probing == (("r0", ADDRESS),)
    assert after(gate, Probed("r0", ADDRESS)).probing == ()


def test_a_probe_counts_until_the_platform_says_ready_and_no_longer() -> None:
    gate = after(cold(), Replicas((STARTING,)), Probed("r0", ADDRESS), EndpointsApplied((ADDRESS,)))
    assert gate.open
    gate = after(gate, Replicas((READY,)), Replicas((STARTING,)))
    assert not gate.open


def test_the_last_address_stays_until_the_gate_is_acknowledged() -> None:
    gate = after(warm(), Replicas((TERMINATING,)))
    assert (gate.open, gate.addresses) == (False, (ADDRESS,))
    assert after(gate, RouteApplied(gated=True)).addresses == ()


def test_a_terminating_replica_leaves_at_once_while_another_serves() -> None:
    gate = after(warm(), Replicas((TERMINATING, OTHER)))
    assert (gate.open, gate.addresses) == (True, (OTHER.address,))


@pytest.mark.parametrize(
    ("events", "drained"),
    [
        ((Load(0), Load(0), Load(0)), False),
        ((RouteApplied(gated=True), Load(0)), False),
        ((RouteApplied(gated=True), Load(0), Load(None), Load(0)), False),
        ((RouteApplied(gated=True), Load(0), Load(3), Load(0)), False),
        ((RouteApplied(gated=True), Load(0), Load(0)), True),
        ((Load(0), RouteApplied(gated=True), Load(2), Load(0), Load(0)), True),
    ],
)
def test_drained_takes_two_quiet_reports_after_the_acknowledged_gate(events: tuple[Event, ...], drained: bool) -> None:
    gate = after(warm(), told("Draining", 7), *events)
    assert gate.drained is drained
    assert gate.gated
    assert (gate.reported_load == 0) is drained
    assert gate.addresses == (ADDRESS,)


def test_a_drain_is_reported_gated_only_when_envoy_has_the_gate() -> None:
    gate = after(warm(), told("Draining", 7))
    assert (gate.phase, gate.epoch) == ("Warm", 7)
    assert after(gate, RouteApplied(gated=True)).phase == "Gated"


def test_asleep_empties_a_drained_endpoint_and_reports_cold_after_the_acknowledgement() -> None:
    gate = after(gated(7), told("Asleep", 7))
    assert (gate.addresses, gate.phase, gate.epoch) == ((), "Gated", 7)
    gate = after(gate, EndpointsApplied(()))
    assert (gate.phase, gate.epoch) == ("Cold", 7)


def test_a_held_call_aborts_the_drain_and_goes_on_at_once() -> None:
    gate = after(gated(7), Held(1))
    assert (gate.open, gate.refused_epoch, gate.phase) == (True, 7, "Warm")


def test_asleep_for_a_refused_epoch_is_not_carried_out() -> None:
    gate = after(gated(7), Held(1), Held(0), RouteApplied(gated=False), told("Asleep", 7), Load(0), Load(0))
    assert (gate.open, gate.addresses) == (True, (ADDRESS,))


def test_a_drain_that_takes_too_long_is_given_up() -> None:
    gate = after(warm(), told("Draining", 7), RouteApplied(gated=True), Load(2), now=100.0)
    assert step(gate, Tick(), 189.0).gated
    late = step(gate, Tick(), 190.5)
    assert (late.open, late.refused_epoch) == (True, 7)


def test_awake_with_the_next_epoch_opens_a_gated_endpoint() -> None:
    gate = after(gated(7), told("Awake", 8))
    assert (gate.open, gate.drain) == (True, None)


def test_the_next_epoch_is_drained_although_the_last_was_refused() -> None:
    gate = after(gated(7), Held(1), Held(0), RouteApplied(gated=False), told("Awake", 8), told("Draining", 9))
    assert (gate.gated, gate.epoch) == (True, 9)


def test_a_call_held_after_emptying_waits_for_the_leader() -> None:
    gate = after(gated(7), told("Asleep", 7), EndpointsApplied(()), Held(1))
    assert (gate.open, gate.addresses, gate.phase, gate.probing) == (False, (), "Cold", ())
    gate = after(gate, told("Waking", 8))
    assert gate.addresses == (ADDRESS,)
    assert after(gate, EndpointsApplied((ADDRESS,))).open


def test_two_gateways_one_refuses_and_the_other_that_emptied_comes_back() -> None:
    first, second = gated(7), gated(7)
    first, second = after(first, told("Asleep", 7), EndpointsApplied(())), after(second, Held(1))
    second = after(second, told("Asleep", 7))
    assert (first.phase, second.phase, second.refused_epoch) == ("Cold", "Warm", 7)
    first = after(first, told("Awake", 8))
    assert after(first, EndpointsApplied((ADDRESS,))).open


def test_a_gateway_that_restarted_warm_drains_before_it_obeys_asleep() -> None:
    gate = after(warm(), told("Asleep", 7))
    assert (gate.gated, gate.addresses) == (True, (ADDRESS,))
    gate = after(gate, RouteApplied(gated=True), Load(0), Load(0))
    assert gate.addresses == ()


def test_a_cold_gateway_agrees_to_a_drain_and_to_sleep() -> None:
    assert after(cold(), told("Draining", 7), Load(0), Load(0)).drained
    asleep = after(cold(), told("Asleep", 7))
    assert (asleep.phase, asleep.epoch) == ("Cold", 7)


def test_a_gateway_with_held_calls_refuses_a_drain() -> None:
    gate = after(cold(), Held(3), told("Draining", 7))
    assert gate.refused_epoch == 7


def test_a_replica_that_is_kept_while_asleep_does_not_wake_the_endpoint() -> None:
    gate = after(cold(), told("Asleep", 7), Replicas((READY,)), EndpointsApplied(()))
    assert (gate.open, gate.addresses, gate.probing, gate.phase) == (False, (), (), "Cold")


def test_without_a_leader_a_warm_endpoint_stays_warm() -> None:
    gate = after(warm(), Load(None), Tick(), Load(5), now=10_000.0)
    assert gate.open


def test_unknown_load_is_never_reported_as_zero() -> None:
    assert warm().reported_load is None
    assert after(warm(), Load(0)).reported_load == 0
    assert after(warm(), Load(4), Load(None)).reported_load is None
