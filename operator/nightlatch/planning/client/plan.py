"""`plan_client()`: from a client and what is observed to its Secret and status. Pure."""

from datetime import datetime

from nightlatch.api.client import ClientStatus, KeyStatus
from nightlatch.api.meta import API_VERSION
from nightlatch.planning.client.api_key import KeyDecision, decide_key
from nightlatch.planning.client.conditions import PROGRAMMED, ClientConditionInput, client_verdicts
from nightlatch.planning.conditions import conditions
from nightlatch.planning.inputs import ObservedClient
from nightlatch.planning.parsed import ParsedClient
from nightlatch.planning.plan import Owner, Plan
from nightlatch.planning.trust import publish_trust

# Seconds.
SOONEST, LATEST = 0.2, 10.0


def plan_client(client: ParsedClient, observed: ObservedClient, now: datetime) -> Plan:
    """Which endpoints know the key is decided by their own plans; the reverse index leads there."""
    owner = Owner(client.ref, client.metadata.uid, API_VERSION)
    decision = decide_key(client, observed, owner)
    status = _status(ClientConditionInput(client, observed, decision), now)
    return Plan(
        apply=(
            *((decision.action,) if decision.action else ()),
            *publish_trust(observed.settings, observed.issuing_ca, client.key.namespace),
        ),
        delete=decision.delete,
        status=status if status != client.status else None,
        requeue_after=_look_again(status, now),
    )


def _look_again(status: ClientStatus, now: datetime) -> float | None:
    """Gateways tell the endpoint what they applied, so its clients must look: soon at first, then more seldom."""
    pending = next((each for each in status.conditions if each.type == PROGRAMMED and each.status != "True"), None)
    if pending is None:
        return None
    waited = (now - datetime.fromisoformat(pending.last_transition_time)).total_seconds()
    return min(max(waited, SOONEST), LATEST)


def _status(inputs: ClientConditionInput, now: datetime) -> ClientStatus:
    client = inputs.client
    generation = client.metadata.generation
    return ClientStatus(
        observed_generation=generation,
        conditions=conditions(client_verdicts(inputs), client.status.conditions, generation, now),
        keys=_keys(client, inputs.key),
    )


def _keys(client: ParsedClient, decision: KeyDecision) -> tuple[KeyStatus, ...]:
    live, api_key = decision.live, client.spec.api_key if client.spec else None
    if live is None:
        return ()
    revoked = api_key is not None and live.key_id in api_key.revoked_key_ids
    return (
        KeyStatus(
            id=live.key_id,
            state="Revoked" if revoked else "Current",
            created_at=live.created_at,
            expires_at=api_key.expires_at if api_key else None,
        ),
    )
