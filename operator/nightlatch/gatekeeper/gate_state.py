"""What the gate must know besides the policies of the endpoints: it goes into the filter's own configuration.

`valid_until` bounds how stale a gateway may be without any gatekeeper: from then on Envoy denies every call by itself.
"""

from dataclasses import dataclass, field, replace

from nightlatch.routing.ir import GateIR
from nightlatch.routing.mechanisms import jwt
from nightlatch.wire.issuer_document import IssuerDocument, same_content
from nightlatch.wire.revocations import Revocations

# The time is moved on once this part of the staleness bound has passed, so that a quiet store costs few pushes.
RENEWED_AFTER = 0.25


@dataclass(frozen=True, slots=True)
class GateState:
    """`valid_until`: Unix seconds, from which on the gate counts everything that it knows as stale. issuers: sorted."""

    revocations: Revocations = field(default_factory=Revocations)
    valid_until: int = 0
    issuers: tuple[IssuerDocument, ...] = ()


def next_gate_state(
    before: GateState,
    revocations: Revocations,
    last_heard: float,
    max_staleness: float,
    issuers: tuple[IssuerDocument, ...] = (),
) -> GateState:
    """The state to hand to Envoy: `before` itself unless something changed or the time must move on.

    last_heard: when the store last answered, in Unix seconds. A store that is heard of no more moves nothing.
    """
    valid_until = int(last_heard + max_staleness)
    moves = abs(valid_until - before.valid_until) >= max(1.0, max_staleness * RENEWED_AFTER)
    if (revocations, issuers) == (before.revocations, before.issuers) and not moves:
        return before
    return GateState(revocations, valid_until if moves else before.valid_until, issuers)


def gate_ir(state: GateState) -> GateIR:
    """The state as routing takes it."""
    revocations = state.revocations
    return GateIR(
        revoked_clients=tuple(sorted(map(str, revocations.clients))),
        revoked_keys=tuple(sorted(revocations.keys)),
        revoked_certificates=tuple(sorted((str(each.client), each.sha256) for each in revocations.certificates)),
        revoked_identities=tuple(sorted(revocations.identities)),
        issuers=tuple(map(jwt.issuer_from_document, state.issuers)),
        denied_tokens=tuple(map(jwt.denied_from_document, state.issuers)),
        valid_until=state.valid_until,
    )


def narrowed_issuers(before: GateState, after: GateState) -> frozenset[str]:
    """NAMESPACE/NAME of the issuers of which a token that was good may be so no longer."""
    left = {each.issuer: each for each in after.issuers}
    return frozenset(str(each.issuer) for each in before.issuers if not _keeps(each, left.get(each.issuer)))


def _keeps(before: IssuerDocument, after: IssuerDocument | None) -> bool:
    """Whether nothing but keys and time was added."""
    if after is None or not all(key in after.keys for key in before.keys):
        return False
    return same_content(before, replace(after, keys=before.keys))
