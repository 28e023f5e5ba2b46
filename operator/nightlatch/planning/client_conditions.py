"""The conditions of an InferenceClient, one chain each."""

from dataclasses import dataclass

from nightlatch.api.conditions import Reason
from nightlatch.planning.client_key import KeyDecision
from nightlatch.planning.conditions import Verdict, false, judge, summarize, true
from nightlatch.planning.grants import Ask, asks_for, refusal
from nightlatch.planning.observed import ClientSubject, ObservedClient


@dataclass(frozen=True, slots=True)
class ClientSituation:
    """What was observed and what was decided about it."""

    client: ClientSubject
    observed: ObservedClient
    key: KeyDecision


def rejected(situation: ClientSituation) -> Verdict | None:
    """The spec is not acted on."""
    rejection = situation.client.rejection
    return false(rejection.reason, rejection.message) if rejection else None


def suspended(situation: ClientSituation) -> Verdict | None:
    """Every credential is refused, as asked."""
    spec = situation.client.spec
    if spec is None or not spec.suspended:
        return None
    return false(
        Reason.SUSPENDED, "every credential of this client is refused: set spec.suspended to false to let it in again"
    )


def secret_taken(situation: ClientSituation) -> Verdict | None:
    """Somebody else's Secret has the name."""
    if not situation.key.taken:
        return None
    name = situation.key.key.name
    return false(
        Reason.SECRET_CONFLICT, f"Secret {name} exists and is not ours: set spec.apiKey.secretName to another name"
    )


def key_broken(situation: ClientSituation) -> Verdict | None:
    """Our Secret holds no key any more."""
    if not situation.key.broken:
        return None
    return false("KeyUnreadable", f"Secret {situation.key.key.name} holds no API key: delete it to have one minted")


def key_revoked(situation: ClientSituation) -> Verdict | None:
    """The only key is on the list of revoked ones."""
    spec, live = situation.client.spec, situation.key.live
    if live is None or spec is None or spec.api_key is None or live.key_id not in spec.api_key.revoked_key_ids:
        return None
    return false(
        "KeyRevoked", f"key {live.key_id} is revoked: delete Secret {situation.key.key.name} to have one minted"
    )


def no_authority(situation: ClientSituation) -> Verdict | None:
    """The Secret carries the CA, so it waits for one."""
    if situation.observed.authority is not None or situation.key.live is not None:
        return None
    return false("AuthorityPending", "the issuing authority is not there yet; the operator is making it")


def key_pending(situation: ClientSituation) -> Verdict | None:
    """No key yet."""
    if situation.key.live is not None:
        return None
    return false("KeyPending", "the key is being minted")


def names_nothing(situation: ClientSituation) -> Verdict | None:
    """A client of no endpoint."""
    spec = situation.client.spec
    if spec is None or spec.endpoints:
        return None
    return true("NoEndpoints", "the client names no endpoint: add one to spec.endpoints")


def endpoint_refused(situation: ClientSituation) -> Verdict | None:
    """One of the endpoints is not there, or does not let the client in."""
    client, endpoints = situation.client, situation.observed.endpoints
    for key, _ in asks_for(client):
        found = refusal(Ask(client, key, endpoints.get(key)))
        if found is not None:
            return false(found.reason, found.message)
    return None


def key_not_in_force(situation: ClientSituation) -> Verdict | None:
    """Somewhere a call with the key would be refused. Once it was in force, a newer document takes it away nowhere."""
    observed = situation.observed
    behind = () if _was_in_force(situation) else observed.behind
    pending = sorted({*observed.missing, *behind})
    if not pending:
        return None
    named = ", ".join(map(str, pending))
    return false("KeyNotInForce", f"not every gateway knows the key yet for {named}: see the endpoint's conditions")


def _was_in_force(situation: ClientSituation) -> bool:
    client, live = situation.client, situation.key.live
    before = next((each for each in client.status.conditions if each.type == PROGRAMMED), None)
    same_key = live is not None and any(key.id == live.key_id for key in client.status.keys)
    same_spec = client.status.observed_generation == client.metadata.generation
    return same_key and same_spec and before is not None and before.status == "True"


PROGRAMMED = "Programmed"
KEY_READY = (secret_taken, key_broken, key_revoked, no_authority, key_pending)
GRANTED = (suspended, names_nothing, endpoint_refused)


def client_verdicts(situation: ClientSituation) -> tuple[tuple[str, Verdict], ...]:
    """Every condition; Ready last."""
    holds = true(Reason.ISSUED, f"the key is in Secret {situation.key.key.name}")
    verdicts = (
        ("Accepted", judge(situation, (rejected,), true(Reason.ACCEPTED, "the spec is in force"))),
        ("CredentialsReady", judge(situation, KEY_READY, holds)),
        ("EndpointsGranted", judge(situation, GRANTED, true("Granted", "every endpoint named lets the client in"))),
        (PROGRAMMED, judge(situation, (key_not_in_force,), true(Reason.PROGRAMMED, "every gateway knows the key"))),
    )
    return (*verdicts, ("Ready", summarize(verdicts, true(Reason.READY, "the client can call"))))
