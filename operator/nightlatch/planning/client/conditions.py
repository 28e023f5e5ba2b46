"""The conditions of an InferenceClient. `chains()` is the table of contents; the predicates follow in its order."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from nightlatch.api.conditions import ClientCondition, Reason, find
from nightlatch.planning.access.grants import GrantRequest, refusal, requested_grants
from nightlatch.planning.client.api_key import KeyDecision
from nightlatch.planning.conditions import Verdict, evaluate, false, summarize, true
from nightlatch.planning.inputs import ObservedClient
from nightlatch.planning.parsed import ParsedClient


@dataclass(frozen=True, slots=True)
class ClientConditionInput:
    """What was observed, and what was decided about it."""

    client: ParsedClient
    observed: ObservedClient
    key: KeyDecision


Predicate = Callable[[ClientConditionInput], Verdict | None]


def chains() -> Mapping[ClientCondition, tuple[Predicate, ...]]:
    """For each condition its predicates in order: the first that returns a verdict decides, the last always does."""
    return {
        ClientCondition.ACCEPTED: (
            rejected,  # the spec is invalid or not supported
            accepted,
        ),
        ClientCondition.CREDENTIALS_READY: (
            secret_taken,  # only a person can resolve a conflict, so it is named first
            key_unreadable,  # we never replace a key by ourselves: a person deletes the Secret
            key_revoked,  # a person deletes the Secret here as well
            no_issuing_ca,  # the Secret carries the CA certificate, so the key waits for the CA
            key_pending,  # it is being created
            key_issued,
        ),
        ClientCondition.ENDPOINTS_GRANTED: (
            suspended,  # no endpoint lets a suspended client in, whatever it names
            names_no_endpoint,  # nothing is wrong, but the client can call nothing
            endpoint_refused,  # one endpoint does not exist or does not let the client in
            granted,
        ),
        ClientCondition.PROGRAMMED: (
            key_not_programmed,  # some gateway would still refuse the key
            programmed,
        ),
    }


def client_verdicts(inputs: ClientConditionInput) -> tuple[tuple[ClientCondition, Verdict], ...]:
    """Every condition in the order of the status, with Ready last."""
    verdicts = tuple((kind, evaluate(inputs, chain)) for kind, chain in chains().items())
    return (*verdicts, (ClientCondition.READY, summarize(verdicts, true(Reason.READY, "the client can call"))))


# Accepted


def rejected(inputs: ClientConditionInput) -> Verdict | None:
    rejection = inputs.client.rejection
    return false(rejection.reason, rejection.message) if rejection else None


def accepted(_inputs: ClientConditionInput) -> Verdict:
    return true(Reason.ACCEPTED, "the spec is accepted")


# CredentialsReady


def secret_taken(inputs: ClientConditionInput) -> Verdict | None:
    if not inputs.key.taken:
        return None
    name = inputs.key.key.name
    return false(
        Reason.SECRET_CONFLICT, f"Secret {name} exists and is not ours: set spec.apiKey.secretName to another name"
    )


def key_unreadable(inputs: ClientConditionInput) -> Verdict | None:
    if not inputs.key.broken:
        return None
    name = inputs.key.key.name
    return false(Reason.KEY_UNREADABLE, f"Secret {name} holds no valid API key: delete it to get a new key")


def key_revoked(inputs: ClientConditionInput) -> Verdict | None:
    spec, live = inputs.client.spec, inputs.key.live
    if live is None or spec is None or spec.api_key is None or live.key_id not in spec.api_key.revoked_key_ids:
        return None
    name = inputs.key.key.name
    return false(Reason.KEY_REVOKED, f"key {live.key_id} is revoked: delete Secret {name} to get a new key")


def no_issuing_ca(inputs: ClientConditionInput) -> Verdict | None:
    if inputs.observed.issuing_ca is not None or inputs.key.live is not None:
        return None
    return false(Reason.ISSUING_CA_PENDING, "the operator is still creating the issuing CA")


def key_pending(inputs: ClientConditionInput) -> Verdict | None:
    if inputs.key.live is not None:
        return None
    return false(Reason.KEY_PENDING, "the key is being created")


def key_issued(inputs: ClientConditionInput) -> Verdict:
    return true(Reason.ISSUED, f"the key is in Secret {inputs.key.key.name}")


# EndpointsGranted


def suspended(inputs: ClientConditionInput) -> Verdict | None:
    spec = inputs.client.spec
    if spec is None or not spec.suspend:
        return None
    return false(
        Reason.SUSPENDED, "every credential of this client is refused: set spec.suspend to false to let it in again"
    )


def names_no_endpoint(inputs: ClientConditionInput) -> Verdict | None:
    spec = inputs.client.spec
    if spec is None or spec.endpoints:
        return None
    return true(Reason.NO_ENDPOINTS, "the client names no endpoint: add one to spec.endpoints")


def endpoint_refused(inputs: ClientConditionInput) -> Verdict | None:
    client, endpoints = inputs.client, inputs.observed.endpoints
    for key in requested_grants(client):
        found = refusal(GrantRequest(client, key, endpoints.get(key)))
        if found is not None:
            return false(found.reason, found.message)
    return None


def granted(_inputs: ClientConditionInput) -> Verdict:
    return true(Reason.GRANTED, "every endpoint named lets the client in")


# Programmed


def key_not_programmed(inputs: ClientConditionInput) -> Verdict | None:
    """At least one gateway would still refuse the key.

    A key that has been programmed once stays valid while newer documents roll out, so `behind` no longer counts.
    """
    observed = inputs.observed
    behind = () if _was_programmed(inputs) else observed.behind
    pending = sorted({*observed.missing, *behind})
    if not pending:
        return None
    named = ", ".join(map(str, pending))
    return false(
        Reason.KEY_NOT_PROGRAMMED,
        f"waiting for all gateways to apply the key for {named}",
        earlier=_was_ready_before_the_edit(inputs),
    )


def _was_ready_before_the_edit(inputs: ClientConditionInput) -> bool:
    """What the spec before granted is granted until the newest is."""
    client, live = inputs.client, inputs.key.live
    ready = find(client.status.conditions, ClientCondition.READY)
    same_key = live is not None and any(key.id == live.key_id for key in client.status.keys)
    edited = ready is not None and ready.observed_generation < client.metadata.generation
    return same_key and edited and ready is not None and ready.status == "True"


def _was_programmed(inputs: ClientConditionInput) -> bool:
    client, live = inputs.client, inputs.key.live
    before = find(client.status.conditions, ClientCondition.PROGRAMMED)
    same_key = live is not None and any(key.id == live.key_id for key in client.status.keys)
    same_spec = client.status.observed_generation == client.metadata.generation
    return same_key and same_spec and before is not None and before.status == "True"


def programmed(_inputs: ClientConditionInput) -> Verdict:
    return true(Reason.PROGRAMMED, "every gateway knows the key")
