"""The conditions of an InferenceClient. `chains()` is the table of contents; the predicates follow in its order."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from nightlatch.api.conditions import ClientCondition, Reason, find
from nightlatch.api.meta import NamespacedName
from nightlatch.planning.access.accepted import MTLS, suffices
from nightlatch.planning.access.grants import GrantRequest, granted_credentials, refusal, requested_grants
from nightlatch.planning.client.api_key import KeyDecision
from nightlatch.planning.client.certificate import NO_CERTIFICATE, CertificateDecision
from nightlatch.planning.client.ledger import LedgerKey
from nightlatch.planning.conditions import Verdict, evaluate, false, summarize, true
from nightlatch.planning.inputs import ObservedClient
from nightlatch.planning.parsed import ParsedClient


@dataclass(frozen=True, slots=True)
class ClientConditionInput:
    """What was observed, and what was decided about it. `now`: Unix seconds."""

    client: ParsedClient
    observed: ObservedClient
    key: KeyDecision
    now: float
    certificate: CertificateDecision = NO_CERTIFICATE

    @property
    def wants_key(self) -> bool:
        """True also for a spec that cannot be read, whose keys stay."""
        return self.client.spec is None or self.client.spec.api_key is not None


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
            certificate_secret_taken,
            key_expired,  # no key helps before the spec says another time
            no_issuing_ca,  # the Secret carries the CA certificate, so the key waits for the CA
            key_lost,  # it is there again after the overlap
            key_pending,  # it is being created
            certificate_unusable,  # a new one is being issued
            certificate_not_renewed,  # nothing is missing yet
            rotating,  # the key's successor waits for gateways
            issued,
        ),
        ClientCondition.ENDPOINTS_GRANTED: (
            suspended,  # no endpoint lets a suspended client in, whatever it names
            names_no_endpoint,  # nothing is wrong, but the client can call nothing
            endpoint_refused,  # one endpoint does not exist or does not let the client in
            certificate_not_trusted,  # one endpoint takes certificates, but not of this CA
            certificate_trusted_in_part,  # the same where another credential suffices
            granted,
        ),
        ClientCondition.PROGRAMMED: (
            key_not_programmed,  # some gateway would still refuse the key
            certificate_not_programmed,
            programmed,
        ),
        ClientCondition.REVOKED: (
            unknown_key_id,  # nothing was revoked where a person thinks so
            not_refused_yet,  # some gateway may still accept what was revoked
            client_refused,
            keys_refused,
            certificates_refused,
            nothing_revoked,
        ),
    }


def client_verdicts(inputs: ClientConditionInput) -> tuple[tuple[ClientCondition, Verdict], ...]:
    """Every condition in the order of the status, with Ready last."""
    verdicts = tuple((kind, evaluate(inputs, chain)) for kind, chain in chains().items())
    needed = [(kind, verdict) for kind, verdict in verdicts if kind is not ClientCondition.REVOKED]
    return (*verdicts, (ClientCondition.READY, summarize(needed, true(Reason.READY, "the client can call"))))


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


def certificate_secret_taken(inputs: ClientConditionInput) -> Verdict | None:
    leaf = inputs.certificate.leaf
    if leaf is None or not leaf.taken:
        return None
    name = leaf.wanted.key.name
    return false(
        Reason.SECRET_CONFLICT, f"Secret {name} exists and is not ours: set spec.certificate.secretName to another name"
    )


def key_expired(inputs: ClientConditionInput) -> Verdict | None:
    if not inputs.key.rules.expired(inputs.now):
        return None
    return false(
        Reason.KEY_EXPIRED,
        "spec.apiKey.expiresAt has passed, so every key of this client is refused: write a later time, or remove it",
    )


def no_issuing_ca(inputs: ClientConditionInput) -> Verdict | None:
    leaf = inputs.certificate.leaf
    ours = leaf is not None and not leaf.issuer and leaf.leaf is None
    waiting = (inputs.wants_key and inputs.key.ledger.shown is None) or ours
    if inputs.observed.issuing_ca is not None or not waiting:
        return None
    return false(Reason.ISSUING_CA_PENDING, "the operator is still creating the issuing CA")


def key_lost(inputs: ClientConditionInput) -> Verdict | None:
    ledger = inputs.key.ledger
    if ledger.shown is not None or not ledger.live:
        return None
    return false(
        Reason.KEY_LOST,
        f"Secret {inputs.key.key.name} was deleted during an overlap: a new key comes when the overlap ends; "
        "set spec.apiKey.overlap to 0s to have it now, which refuses the previous key at once",
    )


def key_pending(inputs: ClientConditionInput) -> Verdict | None:
    if inputs.key.ledger.shown is not None or not inputs.wants_key:
        return None
    return false(Reason.KEY_PENDING, "the key is being created")


def certificate_unusable(inputs: ClientConditionInput) -> Verdict | None:
    leaf = inputs.certificate.leaf
    if leaf is None or leaf.usable:
        return None
    reason = leaf.violation.reason if leaf.violation else Reason.CERTIFICATE_MISSING
    message = leaf.violation.message if leaf.violation else "no certificate was issued yet"
    after = "" if leaf.issuer else f"; a new one is being issued into Secret {leaf.wanted.key.name}"
    return false(reason, f"{message}{after}")


def certificate_not_renewed(inputs: ClientConditionInput) -> Verdict | None:
    """The client can call, but somebody must see to it before the certificate ends."""
    leaf = inputs.certificate.leaf
    if leaf is None or leaf.violation is None or leaf.violation.reason is not Reason.CERTIFICATE_NOT_RENEWED:
        return None
    return true(leaf.violation.reason, leaf.violation.message)


def rotating(inputs: ClientConditionInput) -> Verdict | None:
    ledger = inputs.key.ledger
    following = ledger.key("Next")
    if following is None or following is ledger.shown:
        return None
    coverage = inputs.observed.coverage.get(following.id)
    gateways = ", ".join(coverage.unconfirmed) if coverage else ""
    return true(
        Reason.ROTATING,
        f"the key is in Secret {inputs.key.key.name}; key {following.id} takes its place once every gateway knows it"
        + (f": waiting for {gateways}" if gateways else ""),
    )


def issued(inputs: ClientConditionInput) -> Verdict:
    leaf = inputs.certificate.leaf
    places = (
        *((f"the key is in Secret {inputs.key.key.name}",) if inputs.wants_key else ()),
        *((f"the certificate is in Secret {leaf.wanted.key.name}",) if leaf else ()),
    )
    return true(Reason.ISSUED, "; ".join(places))


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


def certificate_not_trusted(inputs: ClientConditionInput) -> Verdict | None:
    needing = [key for key in inputs.certificate.untrusting if not _calls_without_certificate(inputs, key)]
    return false(Reason.CERTIFICATE_NOT_TRUSTED, _trust_it(needing)) if needing else None


def certificate_trusted_in_part(inputs: ClientConditionInput) -> Verdict | None:
    """The client can call with its other credential."""
    untrusting = inputs.certificate.untrusting
    return true(Reason.CERTIFICATE_NOT_TRUSTED, _trust_it(untrusting)) if untrusting else None


def _calls_without_certificate(inputs: ClientConditionInput, key: NamespacedName) -> bool:
    endpoint = inputs.observed.endpoints[key]
    if endpoint.spec is None:
        return False
    others = granted_credentials(GrantRequest(inputs.client, key, endpoint)) - {MTLS}
    return suffices(endpoint.spec.access, others)


def _trust_it(endpoints: Sequence[NamespacedName]) -> str:
    named = ", ".join(map(str, endpoints))
    return (
        f"the gateways refuse the client's certificate at {named}, where no CA that signed it is trusted: put the CA"
        " into a Secret of the endpoint's spec.access.mtls.trust, or name another issuer in certificate.issuerRef"
    )


def granted(_inputs: ClientConditionInput) -> Verdict:
    return true(Reason.GRANTED, "every endpoint named lets the client in")


# Programmed


def key_not_programmed(inputs: ClientConditionInput) -> Verdict | None:
    """At least one gateway would still refuse the key that callers are shown.

    A key that has been programmed once stays valid while newer documents roll out, so `behind` no longer counts.
    """
    shown = inputs.key.ledger.shown
    if shown is None:
        return None
    coverage = inputs.observed.coverage.get(shown.id)
    if coverage is None:
        # It was made at this moment.
        pending = set(requested_grants(inputs.client))
    else:
        behind = () if _was_programmed(inputs, shown) else coverage.behind
        pending = {*coverage.missing, *behind}
    if not pending:
        return None
    named = ", ".join(map(str, sorted(pending)))
    return false(
        Reason.KEY_NOT_PROGRAMMED,
        f"waiting for all gateways to apply the key for {named}",
        earlier=_was_ready_before_the_edit(inputs, shown),
    )


def certificate_not_programmed(inputs: ClientConditionInput) -> Verdict | None:
    """Gateways know the identity and not the certificate, so a renewal changes nothing for them."""
    leaf = inputs.certificate.leaf
    if leaf is None or not leaf.usable:
        return None
    coverage = inputs.observed.certificate_coverage
    client = inputs.client
    before = find(client.status.conditions, ClientCondition.PROGRAMMED)
    known = client.status.certificate is not None and before is not None and before.status == "True"
    same_spec = client.status.observed_generation == client.metadata.generation
    behind = () if known and same_spec else coverage.behind
    pending = sorted({*coverage.missing, *behind})
    if not pending:
        return None
    return false(
        Reason.CERTIFICATE_NOT_PROGRAMMED,
        f"waiting for all gateways to accept the certificate for {', '.join(map(str, pending))}",
    )


def _was_ready_before_the_edit(inputs: ClientConditionInput, shown: LedgerKey) -> bool:
    """What the spec before granted is granted until the newest is."""
    client = inputs.client
    ready = find(client.status.conditions, ClientCondition.READY)
    same_key = any(key.id == shown.id for key in client.status.keys)
    edited = ready is not None and ready.observed_generation < client.metadata.generation
    return same_key and edited and ready is not None and ready.status == "True"


def _was_programmed(inputs: ClientConditionInput, shown: LedgerKey) -> bool:
    client = inputs.client
    before = find(client.status.conditions, ClientCondition.PROGRAMMED)
    same_key = any(key.id == shown.id for key in client.status.keys)
    same_spec = client.status.observed_generation == client.metadata.generation
    return same_key and same_spec and before is not None and before.status == "True"


def programmed(inputs: ClientConditionInput) -> Verdict:
    certified = inputs.certificate.leaf is not None
    known = [*(["the key"] if inputs.wants_key else ()), *(["the certificate"] if certified else ())]
    return true(Reason.PROGRAMMED, f"every gateway knows {' and '.join(known)}")


# Revoked


def unknown_key_id(inputs: ClientConditionInput) -> Verdict | None:
    unknown = sorted(inputs.key.rules.revoked - inputs.key.ledger.ids)
    if not unknown:
        return None
    live = ", ".join(key.id for key in inputs.key.ledger.live) or "none"
    return false(
        Reason.UNKNOWN_KEY_ID,
        f"spec.apiKey.revokedKeyIds names {', '.join(unknown)}, which this client never had: correct the id; "
        f"the keys that are accepted are {live}",
    )


def not_refused_yet(inputs: ClientConditionInput) -> Verdict | None:
    """What every gateway has once refused stays refused while newer documents roll out."""
    refused = client_refused(inputs) or keys_refused(inputs)
    before = find(inputs.client.status.conditions, ClientCondition.REVOKED)
    if refused is None or not inputs.observed.revoking:
        return None
    if before is not None and (before.status, before.message) == ("True", refused.message):
        return None
    return false(
        Reason.WAITING_FOR_GATEWAYS,
        f"not confirmed yet by {', '.join(inputs.observed.revoking)}: wait; a gateway that is cut off refuses every "
        "call once it is stale",
    )


def client_refused(inputs: ClientConditionInput) -> Verdict | None:
    spec = inputs.client.spec
    if spec is None or not spec.suspend:
        return None
    return true(Reason.REVOKED, "every gateway refuses this client")


def keys_refused(inputs: ClientConditionInput) -> Verdict | None:
    revoked = sorted(inputs.key.rules.revoked)
    return true(Reason.REVOKED, f"every gateway refuses {', '.join(revoked)}") if revoked else None


def certificates_refused(inputs: ClientConditionInput) -> Verdict | None:
    wanted = inputs.client.spec.certificate if inputs.client.spec else None
    count = len(wanted.revoked_digests) if wanted else 0
    if not count:
        return None
    return true(Reason.REVOKED, f"certificates in revokedDigests are refused: {count}; gateways do not confirm each")


def nothing_revoked(_inputs: ClientConditionInput) -> Verdict:
    return false(Reason.NOTHING_REVOKED, "nothing is revoked")
