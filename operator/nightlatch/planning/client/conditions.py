"""The conditions of an InferenceClient, one chain each."""

from dataclasses import dataclass

from nightlatch.api.conditions import Reason
from nightlatch.planning.access.grants import GrantRequest, refusal, requested_grants
from nightlatch.planning.client.api_key import KeyDecision
from nightlatch.planning.conditions import Verdict, evaluate, false, summarize, true
from nightlatch.planning.inputs import ObservedClient
from nightlatch.planning.parsed import ParsedClient


@dataclass(frozen=True, slots=True)
class ClientConditionInput:
    """What was observed and what was decided about it."""

    client: ParsedClient
    observed: ObservedClient
    key: KeyDecision


def rejected(inputs: ClientConditionInput) -> Verdict | None:
    """The spec is not acted on."""
    rejection = inputs.client.rejection
    return false(rejection.reason, rejection.message) if rejection else None


def suspended(inputs: ClientConditionInput) -> Verdict | None:
    """Every credential is refused, as asked."""
    spec = inputs.client.spec
    if spec is None or not spec.suspended:
        return None
    return false(
        Reason.SUSPENDED, "every credential of this client is refused: set spec.suspended to false to let it in again"
    )


def secret_taken(inputs: ClientConditionInput) -> Verdict | None:
    """Somebody else's Secret has the name."""
    if not inputs.key.taken:
        return None
    name = inputs.key.key.name
    return false(
        Reason.SECRET_CONFLICT, f"Secret {name} exists and is not ours: set spec.apiKey.secretName to another name"
    )


def key_broken(inputs: ClientConditionInput) -> Verdict | None:
    """Our Secret holds no key any more."""
    if not inputs.key.broken:
        return None
    return false("KeyUnreadable", f"Secret {inputs.key.key.name} holds no API key: delete it to have one minted")


def key_revoked(inputs: ClientConditionInput) -> Verdict | None:
    """The only key is on the list of revoked ones."""
    spec, live = inputs.client.spec, inputs.key.live
    if live is None or spec is None or spec.api_key is None or live.key_id not in spec.api_key.revoked_key_ids:
        return None
    return false("KeyRevoked", f"key {live.key_id} is revoked: delete Secret {inputs.key.key.name} to have one minted")


def no_authority(inputs: ClientConditionInput) -> Verdict | None:
    """The Secret carries the CA, so it waits for one."""
    if inputs.observed.issuing_ca is not None or inputs.key.live is not None:
        return None
    return false("AuthorityPending", "the issuing authority is not there yet; the operator is making it")


def key_pending(inputs: ClientConditionInput) -> Verdict | None:
    """No key yet."""
    if inputs.key.live is not None:
        return None
    return false("KeyPending", "the key is being minted")


def names_nothing(inputs: ClientConditionInput) -> Verdict | None:
    """A client of no endpoint."""
    spec = inputs.client.spec
    if spec is None or spec.endpoints:
        return None
    return true("NoEndpoints", "the client names no endpoint: add one to spec.endpoints")


def endpoint_refused(inputs: ClientConditionInput) -> Verdict | None:
    """One of the endpoints is not there, or does not let the client in."""
    client, endpoints = inputs.client, inputs.observed.endpoints
    for key, _ in requested_grants(client):
        found = refusal(GrantRequest(client, key, endpoints.get(key)))
        if found is not None:
            return false(found.reason, found.message)
    return None


def key_not_in_force(inputs: ClientConditionInput) -> Verdict | None:
    """Somewhere a call with the key would be refused. Once it was in force, a newer document takes it away nowhere."""
    observed = inputs.observed
    behind = () if _was_in_force(inputs) else observed.behind
    pending = sorted({*observed.missing, *behind})
    if not pending:
        return None
    named = ", ".join(map(str, pending))
    return false("KeyNotInForce", f"not every gateway knows the key yet for {named}: see the endpoint's conditions")


def _was_in_force(inputs: ClientConditionInput) -> bool:
    client, live = inputs.client, inputs.key.live
    before = next((each for each in client.status.conditions if each.type == PROGRAMMED), None)
    same_key = live is not None and any(key.id == live.key_id for key in client.status.keys)
    same_spec = client.status.observed_generation == client.metadata.generation
    return same_key and same_spec and before is not None and before.status == "True"


PROGRAMMED = "Programmed"
KEY_READY = (secret_taken, key_broken, key_revoked, no_authority, key_pending)
GRANTED = (suspended, names_nothing, endpoint_refused)


def client_verdicts(inputs: ClientConditionInput) -> tuple[tuple[str, Verdict], ...]:
    """Every condition; Ready last."""
    holds = true(Reason.ISSUED, f"the key is in Secret {inputs.key.key.name}")
    verdicts = (
        ("Accepted", evaluate(inputs, (rejected,), true(Reason.ACCEPTED, "the spec is in force"))),
        ("CredentialsReady", evaluate(inputs, KEY_READY, holds)),
        ("EndpointsGranted", evaluate(inputs, GRANTED, true("Granted", "every endpoint named lets the client in"))),
        (PROGRAMMED, evaluate(inputs, (key_not_in_force,), true(Reason.PROGRAMMED, "every gateway knows the key"))),
    )
    return (*verdicts, ("Ready", summarize(verdicts, true(Reason.READY, "the client can call"))))
