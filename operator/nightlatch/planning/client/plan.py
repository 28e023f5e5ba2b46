"""`plan_client()`: from a client and what was observed to its Secret and status. Pure."""

from collections.abc import Callable
from datetime import UTC, datetime

from nightlatch.api.client import ClientCertificateStatus, ClientStatus, KeyStatus
from nightlatch.api.conditions import ClientCondition, Reason, find
from nightlatch.api.meta import API_VERSION
from nightlatch.planning.client.api_key import KeyDecision, decide_key
from nightlatch.planning.client.certificate import CertificateDecision, decide_certificate
from nightlatch.planning.client.conditions import ClientConditionInput, client_verdicts
from nightlatch.planning.client.ledger import LedgerKey, next_rotation
from nightlatch.planning.conditions import conditions, timestamp
from nightlatch.planning.inputs import ObservedClient
from nightlatch.planning.leaves import LeafDecision
from nightlatch.planning.parsed import ParsedClient
from nightlatch.planning.plan import Owner, Plan
from nightlatch.planning.trust import publish_trust

# Seconds until a client is planned again whose gateways have not taken everything over.
SOONEST, LATEST = 0.2, 10.0
# As many keys as a status may have. The live ones come first, and then those that ended last.
MOST_KEYS = 128


def plan_client(client: ParsedClient, observed: ObservedClient, now: datetime, random: Callable[[int], bytes]) -> Plan:
    """The route documents that contain the key are part of the endpoints' plans; the reverse index requeues those.

    random(n): n bytes of cryptographic quality, for new API keys.
    """
    owner = Owner(client.ref, client.metadata.uid, API_VERSION)
    decision = decide_key(client, observed, owner, now, random)
    certificate = decide_certificate(client, observed, owner, now)
    status = _status(ClientConditionInput(client, observed, decision, now.timestamp(), certificate), now)
    return Plan(
        apply=(
            *((decision.action,) if decision.action else ()),
            *certificate.actions,
            *publish_trust(observed.settings, observed.issuing_ca, client.key.namespace),
        ),
        delete=(*decision.delete, *certificate.delete),
        status=status if status != client.status else None,
        requeue_after=_requeue_after(status, decision, certificate, now),
    )


def _requeue_after(
    status: ClientStatus, decision: KeyDecision, certificate: CertificateDecision, now: datetime
) -> float | None:
    """No event tells a client what gateways applied, so it is requeued while it waits for that, quickly at first."""
    waits = [decision.look_again - now.timestamp()] if decision.look_again is not None else []
    leaf = certificate.leaf
    if leaf is not None and leaf.look_again and not leaf.issue:
        waits.append((leaf.look_again - now).total_seconds())
    following = decision.ledger.key("Next")
    since = [datetime.fromtimestamp(following.created_at, UTC)] if following else []
    for kind, reason in (
        (ClientCondition.PROGRAMMED, Reason.KEY_NOT_PROGRAMMED),
        (ClientCondition.PROGRAMMED, Reason.CERTIFICATE_NOT_PROGRAMMED),
        (ClientCondition.REVOKED, Reason.WAITING_FOR_GATEWAYS),
    ):
        found = find(status.conditions, kind)
        if found is not None and found.reason == reason:
            since.append(datetime.fromisoformat(found.last_transition_time))
    waits += [min(max((now - each).total_seconds(), SOONEST), LATEST) for each in since]
    return max(0.0, min(waits)) if waits else None


def _status(inputs: ClientConditionInput, now: datetime) -> ClientStatus:
    client = inputs.client
    generation = client.metadata.generation
    return ClientStatus(
        observed_generation=generation,
        conditions=conditions(client_verdicts(inputs), client.status.conditions, generation, now),
        keys=tuple(_key_status(key, inputs, now) for key in inputs.key.ledger.keys[:MOST_KEYS]),
        certificate=_certificate_status(inputs.certificate.leaf),
    )


def _certificate_status(decision: LeafDecision | None) -> ClientCertificateStatus | None:
    if decision is None or decision.leaf is None or decision.renew_at is None:
        return None
    return ClientCertificateStatus(
        serial=decision.leaf.serial,
        not_after=timestamp(decision.leaf.not_after),
        renew_at=timestamp(decision.renew_at),
        identity=decision.wanted.request.identity,
        sha256=decision.leaf.sha256,
    )


def _key_status(key: LedgerKey, inputs: ClientConditionInput, now: datetime) -> KeyStatus:
    decision = inputs.key
    ends = [key.ends_at] if key.state == "Revoked" else [key.ends_at, decision.rules.expires_at]
    rotates_at = next_rotation(decision.ledger, decision.rules, now.timestamp()) if key.state == "Current" else None
    return KeyStatus(
        id=key.id,
        state=key.state,
        created_at=timestamp(datetime.fromtimestamp(key.created_at, UTC)),
        expires_at=_rfc3339(min((end for end in ends if end is not None), default=None)),
        rotates_at=_rfc3339(rotates_at),
        last_used_at=_last_used_at(key, inputs),
    )


def _last_used_at(key: LedgerKey, inputs: ClientConditionInput) -> str | None:
    """The status remembers what gateways that have restarted do not."""
    before = next((known.last_used_at for known in inputs.client.status.keys if known.id == key.id), None)
    last_use = inputs.observed.last_uses.get(key.id)
    # A use is rounded down, maybe to a time before the key was made.
    newest = _rfc3339(max(last_use, key.created_at)) if last_use is not None else None
    return max((time for time in (before, newest) if time is not None), default=None)


def _rfc3339(unix: float | None) -> str | None:
    return None if unix is None else timestamp(datetime.fromtimestamp(unix, UTC))
