"""The conditions of an InferenceEndpoint. `chains()` is the table of contents; the predicates follow in its order."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from nightlatch.api.conditions import EndpointCondition, Reason, find
from nightlatch.api.endpoint import EndpointState
from nightlatch.api.validation.unsupported import replicas_cap
from nightlatch.planning.access.api_keys import MAX_KEYS
from nightlatch.planning.access.certificates import MAX_IDENTITIES
from nightlatch.planning.conditions import Verdict, evaluate, false, summarize, true, unknown
from nightlatch.planning.endpoint.document import DocumentDecision
from nightlatch.planning.endpoint.format import too_old_gateways
from nightlatch.planning.inputs import Observed
from nightlatch.planning.leaves import LeafDecision
from nightlatch.planning.parsed import ParsedEndpoint


@dataclass(frozen=True, slots=True)
class ConditionInput:
    """What was observed, and what was decided about it."""

    endpoint: ParsedEndpoint
    observed: Observed
    leaves: tuple[LeafDecision, ...]
    document: DocumentDecision
    document_taken: bool


Predicate = Callable[[ConditionInput], Verdict | None]


def chains() -> Mapping[EndpointCondition, tuple[Predicate, ...]]:
    """For each condition its predicates in order: the first that returns a verdict decides, the last always does."""
    return {
        EndpointCondition.ACCEPTED: (
            rejected,  # the spec is invalid or not supported, claims a host of an older endpoint, or has no room
            accepted,
        ),
        EndpointCondition.CREDENTIALS_READY: (
            too_many_keys,  # gateways get the first MAX_KEYS only
            too_many_certificates,
            no_clients,  # nothing is wrong, but nobody can call
            clients_hold_credentials,
        ),
        EndpointCondition.ISSUERS_READY: (
            issuer_problem,  # one of them does not exist, does not let the namespace in, or cannot verify tokens
            issuers_ready,
        ),
        EndpointCondition.CERTIFICATES_READY: (
            leaf_secret_taken,  # only a person can resolve a conflict, so it is named first
            no_issuing_ca,  # without a CA no certificate can be issued
            leaf_unusable,  # a certificate cannot be used; a new one is under way
            trust_unusable,  # the CAs that were trusted before stay
            leaf_not_renewed,  # nothing is missing yet
            trust_cleaned,  # nothing is missing, but somebody should know
            certificates_valid,
        ),
        EndpointCondition.PROGRAMMED: (
            document_secret_taken,  # only a person can resolve a conflict, so it is named first
            configuration_invalid,  # gateways would refuse the newest spec, so they keep the one before
            gateway_too_old,  # likewise, until the gateways are upgraded
            no_document,  # there is nothing that a gateway could have applied
            programmed_before,  # a new leader has not heard from every gateway yet
            document_too_new,  # before what Envoy refused, because a gateway that cannot read it says so as well
            refused_by_envoy,  # a bug of ours, and more important than a gateway that is late
            no_gateway,  # nobody could have applied it
            gateways_behind,  # it is being applied
            some_disconnected,  # the others serve, but the owner must hear that revocations may not arrive
            programmed,
        ),
        EndpointCondition.WORKLOAD_AVAILABLE: (
            never_accepted,  # nothing was ever started, so nothing can have failed
            workload_refused,  # the platform did not take the Deployment
            available_before,  # a new leader does not know yet whether anything runs
            start_failed,  # the newest start failed
            available,
        ),
    }


def endpoint_verdicts(inputs: ConditionInput) -> tuple[tuple[EndpointCondition, Verdict], ...]:
    """Every condition in the order of the status, with Ready last. ReplicasCapped is not about whether calls work."""
    verdicts = tuple(
        (kind, evaluate(inputs, chain))
        for kind, chain in chains().items()
        if kind is not EndpointCondition.ISSUERS_READY or inputs.document.tokens is not None
    )
    ready = summarize(verdicts, true(Reason.READY, "authorized calls are answered"))
    capped = replicas_capped(inputs)
    told = ((EndpointCondition.REPLICAS_CAPPED, capped),) if capped else ()
    return (*verdicts, *told, (EndpointCondition.READY, ready))


# Accepted


def rejected(inputs: ConditionInput) -> Verdict | None:
    rejection = inputs.endpoint.rejection
    if rejection is None:
        return None
    kept = "; the last good configuration stays in use" if inputs.document.current else ""
    return false(rejection.reason, f"{rejection.message}{kept}")


def accepted(_inputs: ConditionInput) -> Verdict:
    return true(Reason.ACCEPTED, "the spec is accepted")


# ReplicasCapped


def replicas_capped(inputs: ConditionInput) -> Verdict | None:
    """None for a rejected spec, too: whatever runs then, it is not what this spec says."""
    endpoint = inputs.endpoint
    if endpoint.spec is None or endpoint.rejection is not None:
        return None
    cap = replicas_cap(endpoint.spec.scaling)
    return true(Reason.MAX_REPLICAS_CAPPED, cap) if cap else None


# CredentialsReady


def too_many_keys(inputs: ConditionInput) -> Verdict | None:
    """Beyond MAX_KEYS a gateway would need more than a second to take a change over."""
    if len(inputs.document.keys) <= MAX_KEYS:
        return None
    return false(
        Reason.TOO_MANY_KEYS,
        f"more than {MAX_KEYS} keys name this endpoint, and the rest is refused: spread the clients over endpoints",
    )


def too_many_certificates(inputs: ConditionInput) -> Verdict | None:
    if len(inputs.document.certificates) <= MAX_IDENTITIES:
        return None
    return false(
        Reason.TOO_MANY_CERTIFICATES,
        f"more than {MAX_IDENTITIES} certificates may call this endpoint, and the rest is refused: spread the clients"
        " over endpoints",
    )


def no_clients(inputs: ConditionInput) -> Verdict | None:
    if inputs.document.keys or inputs.document.certificates:
        return None
    access = inputs.endpoint.spec.access if inputs.endpoint.spec else None
    held = "a certificate" if access is not None and access.api_key is None else "a key"
    return true(Reason.NO_CLIENTS, f"no InferenceClient with {held} names this endpoint: create one to call it")


def clients_hold_credentials(inputs: ConditionInput) -> Verdict:
    keys, certificates = inputs.document.keys, inputs.document.certificates
    named = len({grant.client for grant in keys})
    shown = len({grant.client or grant.identity for grant in certificates})
    told = [f"{named} {'client holds' if named == 1 else 'clients hold'} a key"] if keys or not certificates else []
    told += [f"{shown} {'client holds' if shown == 1 else 'clients hold'} a certificate"] if certificates else []
    return true(Reason.ISSUED, "; ".join(told))


# IssuersReady


def issuer_problem(inputs: ConditionInput) -> Verdict | None:
    problems = inputs.document.tokens.problems if inputs.document.tokens else ()
    if not problems:
        return None
    return false(problems[0].reason, "; ".join(each.message for each in problems))


def issuers_ready(_inputs: ConditionInput) -> Verdict:
    return true(Reason.ISSUERS_READY, "the tokens of every issuer in spec.access.jwt are verified")


# CertificatesReady


def leaf_secret_taken(inputs: ConditionInput) -> Verdict | None:
    taken = next((leaf.wanted.key for leaf in inputs.leaves if leaf.taken), None)
    if taken is None:
        return None
    return false(Reason.SECRET_CONFLICT, f"Secret {taken} exists and is not ours: rename or delete it")


def no_issuing_ca(inputs: ConditionInput) -> Verdict | None:
    if inputs.observed.issuing_ca is not None:
        return None
    return false(Reason.ISSUING_CA_PENDING, "the operator is still creating the issuing CA")


def leaf_unusable(inputs: ConditionInput) -> Verdict | None:
    for leaf in inputs.leaves:
        if not leaf.usable:
            reason = leaf.violation.reason if leaf.violation else Reason.CERTIFICATE_MISSING
            message = leaf.violation.message if leaf.violation else "no certificate was issued yet"
            kept = "; the certificate before stays in use" if inputs.document.current else ""
            after = kept if leaf.issuer else "; a new one is being issued"
            return false(reason, f"{leaf.wanted.role}: {message}{after}")
    return None


def leaf_not_renewed(inputs: ConditionInput) -> Verdict | None:
    """Calls work, but somebody must see to it before the certificate ends."""
    for leaf in inputs.leaves:
        if leaf.violation is not None and leaf.violation.reason is Reason.CERTIFICATE_NOT_RENEWED:
            return true(leaf.violation.reason, f"{leaf.wanted.role}: {leaf.violation.message}")
    return None


def trust_unusable(inputs: ConditionInput) -> Verdict | None:
    trust = inputs.document.trust
    if trust is None or trust.problem is None:
        return None
    current = inputs.document.current
    kept = "; the CAs that were trusted before stay, all of them" if current and current.client_ca else ""
    return false(trust.problem.reason, f"{trust.problem.message}{kept}")


def trust_cleaned(inputs: ConditionInput) -> Verdict | None:
    trust = inputs.document.trust
    if trust is None or not trust.left_out:
        return None
    return true(Reason.TRUST_CLEANED, f"{'; '.join(trust.left_out)}: the other CAs are used; remove it")


def certificates_valid(_inputs: ConditionInput) -> Verdict:
    return true(Reason.ISSUED, "all certificates are valid")


# Programmed


def document_secret_taken(inputs: ConditionInput) -> Verdict | None:
    if not inputs.document_taken:
        return None
    return false(
        Reason.SECRET_CONFLICT, "the route document's Secret exists and is not ours: delete it in the gateway namespace"
    )


def configuration_invalid(inputs: ConditionInput) -> Verdict | None:
    """The spec is valid, but makes a route document that gateways would not take."""
    problem = inputs.document.problem
    if not problem:
        return None
    kept = "; the last good configuration stays in use" if inputs.document.current else ""
    return false(Reason.INVALID_CONFIGURATION, f"gateways would refuse the configuration: {problem}{kept}")


def gateway_too_old(inputs: ConditionInput) -> Verdict | None:
    needs, reads = inputs.document.needs, inputs.observed.runtime.formats
    if not needs:
        return None
    behind = too_old_gateways(needs, reads)
    if not behind:
        # No gateway is known at all, and one that comes may be old.
        return None
    return false(
        Reason.GATEWAY_TOO_OLD,
        f"the spec needs route documents of format {needs}, which these gateways are not known to read:"
        f" {', '.join(behind)}; upgrade them; the configuration before stays in use",
    )


def no_document(inputs: ConditionInput) -> Verdict | None:
    if inputs.document.current is not None:
        return None
    return false(
        Reason.CONFIGURATION_PENDING, "no route document yet; see the conditions Accepted and CertificatesReady"
    )


def programmed_before(inputs: ConditionInput) -> Verdict | None:
    return _as_before(inputs, EndpointCondition.PROGRAMMED)


def document_too_new(inputs: ConditionInput) -> Verdict | None:
    """As in a rollback: the documents are still those of the newer release."""
    runtime = inputs.observed.runtime
    if not runtime.too_old:
        return None
    gateway = runtime.too_old[0]
    return false(
        Reason.GATEWAY_TOO_OLD,
        f"{gateway} is too old for the route document: {runtime.nacks.get(gateway, 'it cannot read it')}; the operator"
        " writes it again in a format that every gateway reads; if this lasts, upgrade the gateways",
    )


def refused_by_envoy(inputs: ConditionInput) -> Verdict | None:
    nacks = inputs.observed.runtime.nacks
    if not nacks:
        return None
    gateway = min(nacks)
    return false(Reason.GATEWAY_REFUSED, f"{gateway} refused the configuration: {nacks[gateway]}; please report this")


def no_gateway(inputs: ConditionInput) -> Verdict | None:
    runtime = inputs.observed.runtime
    if runtime.applied:
        return None
    if runtime.disconnected:
        silent = ", ".join(runtime.disconnected)
        return false(Reason.GATEWAY_DISCONNECTED, f"no gateway reports ({silent}): see its logs")
    return unknown(Reason.NO_GATEWAY, "no gateway has reported yet; check that one is running")


def gateways_behind(inputs: ConditionInput) -> Verdict | None:
    """Ready does not wait for an edit, nor for a gateway that joins. It does wait for the first configuration."""
    current, applied = inputs.document.current, inputs.observed.runtime.applied
    behind = sorted(gateway for gateway, sequence in applied.items() if current and sequence < current.sequence)
    if not behind:
        return None
    served = all(applied.values()) or _was_ready(inputs)
    return false(Reason.GATEWAY_BEHIND, f"not applied yet on {', '.join(behind)}", earlier=served)


def some_disconnected(inputs: ConditionInput) -> Verdict | None:
    missing = inputs.observed.runtime.disconnected
    if not missing:
        return None
    return true(
        Reason.GATEWAY_DISCONNECTED, f"applied, but {', '.join(missing)} does not report: revocations do not reach it"
    )


def programmed(_inputs: ConditionInput) -> Verdict:
    return true(Reason.PROGRAMMED, "applied on every gateway")


# WorkloadAvailable


def never_accepted(inputs: ConditionInput) -> Verdict | None:
    if inputs.endpoint.rejection is None or inputs.document.current is not None:
        return None
    return false(Reason.NOT_ACCEPTED, "no workload before the spec is accepted; see the condition Accepted")


def workload_refused(inputs: ConditionInput) -> Verdict | None:
    message = inputs.observed.workload_error
    return false(Reason.WORKLOAD_REFUSED, message) if message else None


def available_before(inputs: ConditionInput) -> Verdict | None:
    return _as_before(inputs, EndpointCondition.WORKLOAD_AVAILABLE)


def start_failed(inputs: ConditionInput) -> Verdict | None:
    failure = inputs.observed.runtime.failure
    return false(failure.reason, failure.message) if failure else None


_STATES: Mapping[EndpointState, Reason] = {
    "Asleep": Reason.ASLEEP,
    "Waking": Reason.WAKING,
    "Awake": Reason.AWAKE,
    "Draining": Reason.DRAINING,
}


def available(inputs: ConditionInput) -> Verdict:
    """Asleep counts as available, because a call wakes the endpoint."""
    state = inputs.observed.runtime.state
    message = "the first authorized call wakes it" if state == "Asleep" else f"the endpoint is {state.lower()}"
    return true(_STATES[state], message)


# For several conditions


def _as_before(inputs: ConditionInput, kind: EndpointCondition) -> Verdict | None:
    """What an endpoint was Ready by under an earlier leader goes on to hold until this one knows better."""
    before = find(inputs.endpoint.status.conditions, kind)
    if inputs.observed.runtime.settled or before is None or not _was_ready(inputs):
        return None
    return Verdict(before.status, before.reason, before.message, earlier=True)


def _was_ready(inputs: ConditionInput) -> bool:
    ready = find(inputs.endpoint.status.conditions, EndpointCondition.READY)
    return ready is not None and ready.status == "True"
