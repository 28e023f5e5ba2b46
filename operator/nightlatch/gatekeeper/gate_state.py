"""What the gate must know besides the policies of the endpoints: it goes into the filter's own configuration.

`valid_until` bounds how stale a gateway may be without any gatekeeper: from then on Envoy denies every call by itself.
"""

from dataclasses import dataclass, field

from nightlatch.wire.revocations import Revocations

# The time is moved on once this part of the staleness bound has passed, so that a quiet store costs few pushes.
RENEWED_AFTER = 0.25


@dataclass(frozen=True, slots=True)
class GateState:
    """`valid_until`: Unix seconds, from which on the gate counts everything that it knows as stale."""

    revocations: Revocations = field(default_factory=Revocations)
    valid_until: int = 0


def next_gate_state(before: GateState, revocations: Revocations, last_heard: float, max_staleness: float) -> GateState:
    """The state to hand to Envoy: `before` itself unless something changed or the time must move on.

    last_heard: when the store last answered, in Unix seconds. A store that is heard of no more moves nothing.
    """
    valid_until = int(last_heard + max_staleness)
    moves = abs(valid_until - before.valid_until) >= max(1.0, max_staleness * RENEWED_AFTER)
    if revocations == before.revocations and not moves:
        return before
    return GateState(revocations, valid_until if moves else before.valid_until)
