"""`plan_client()`: from a client and what was observed to its Secret and status. Pure."""

from datetime import datetime

from nightlatch.api.client import ClientStatus, KeyStatus
from nightlatch.api.conditions import ClientCondition, find
from nightlatch.api.meta import API_VERSION
from nightlatch.planning.client.api_key import KeyDecision, decide_key
from nightlatch.planning.client.conditions import ClientConditionInput, client_verdicts
from nightlatch.planning.conditions import conditions
from nightlatch.planning.inputs import ObservedClient
from nightlatch.planning.parsed import ParsedClient
from nightlatch.planning.plan import Owner, Plan
from nightlatch.planning.trust import publish_trust

# Seconds until an unprogrammed client is planned again.
SOONEST, LATEST = 0.2, 10.0


def plan_client(client: ParsedClient, observed: ObservedClient, now: datetime) -> Plan:
    """The route documents that contain the key are part of the endpoints' plans; the reverse index requeues those."""
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
        requeue_after=_requeue_after(status, now),
    )


def _requeue_after(status: ClientStatus, now: datetime) -> float | None:
    """No event tells a client what gateways applied, so an unprogrammed client is requeued, quickly at first."""
    programmed = find(status.conditions, ClientCondition.PROGRAMMED)
    if programmed is None or programmed.status == "True":
        return None
    waited = (now - datetime.fromisoformat(programmed.last_transition_time)).total_seconds()
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
