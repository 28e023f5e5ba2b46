"""The conditions of an InferenceEndpoint, one chain each. Reasons are CamelCase and part of the API."""

from dataclasses import dataclass

from nightlatch.api.conditions import Reason
from nightlatch.api.endpoint import InferenceEndpoint
from nightlatch.api.validation.unsupported import replicas_cap
from nightlatch.planning.access.api_keys import MAX_KEYS
from nightlatch.planning.conditions import Verdict, evaluate, false, summarize, true, unknown
from nightlatch.planning.endpoint.document import DocumentDecision
from nightlatch.planning.inputs import Observed
from nightlatch.planning.leaves import LeafDecision
from nightlatch.planning.parsed import ParsedEndpoint


@dataclass(frozen=True, slots=True)
class ConditionInput:
    """What was observed and what was decided about it."""

    endpoint: ParsedEndpoint
    observed: Observed
    leaves: tuple[LeafDecision, ...]
    document: DocumentDecision
    document_taken: bool


def rejected(inputs: ConditionInput) -> Verdict | None:
    """The spec is not acted on."""
    rejection = inputs.endpoint.rejection
    if rejection is None:
        return None
    kept = "; the last good configuration stays in force" if inputs.document.current else ""
    return false(rejection.reason, f"{rejection.message}{kept}")


def replicas_capped(inputs: ConditionInput) -> Verdict | None:
    """Autoscaling above one comes later."""
    spec = inputs.endpoint.spec
    cap = replicas_cap(InferenceEndpoint(metadata=inputs.endpoint.metadata, spec=spec)) if spec else None
    return true(Reason.MAX_REPLICAS_CAPPED, cap) if cap else None


def too_many_keys(inputs: ConditionInput) -> Verdict | None:
    """More live keys than a gateway can take over within a second."""
    count = len(inputs.document.keys)
    if count <= MAX_KEYS:
        return None
    return false(
        Reason.TOO_MANY_KEYS,
        f"more than {MAX_KEYS} live keys; those beyond are refused: split the endpoint",
    )


def no_clients(inputs: ConditionInput) -> Verdict | None:
    """Nothing is wrong, and nobody can call."""
    if inputs.document.keys:
        return None
    return true(Reason.NO_CLIENTS, "no InferenceClient with a key names this endpoint: create one to call it")


def no_authority(inputs: ConditionInput) -> Verdict | None:
    """The PKI reconciler has not made the issuing authority yet."""
    if inputs.observed.issuing_ca is not None:
        return None
    return false("AuthorityPending", "the issuing authority is not there yet; the operator is making it")


def leaf_secret_taken(inputs: ConditionInput) -> Verdict | None:
    """A Secret that is not ours lies where a certificate should go."""
    taken = next((leaf.wanted.key for leaf in inputs.leaves if leaf.taken), None)
    if taken is None:
        return None
    return false(Reason.SECRET_CONFLICT, f"Secret {taken} exists and is not ours: rename or delete it")


def leaf_unusable(inputs: ConditionInput) -> Verdict | None:
    """A certificate is missing or does not serve."""
    for leaf in inputs.leaves:
        if not leaf.usable:
            reason = leaf.violation.reason if leaf.violation else "Missing"
            message = leaf.violation.message if leaf.violation else "no certificate was issued yet"
            return false(f"Certificate{reason}", f"{leaf.wanted.role}: {message}; a new one is being issued")
    return None


def document_secret_taken(inputs: ConditionInput) -> Verdict | None:
    """A Secret that is not ours lies where the document should go."""
    if not inputs.document_taken:
        return None
    return false(
        Reason.SECRET_CONFLICT, "the route document's Secret exists and is not ours: delete it in the gateway namespace"
    )


def document_unfit(inputs: ConditionInput) -> Verdict | None:
    """The spec is valid by itself, and yet no gateway would take what it makes."""
    problem = inputs.document.problem
    return false("DocumentUnfit", f"gateways would refuse the configuration: {problem}") if problem else None


def no_document(inputs: ConditionInput) -> Verdict | None:
    """Nothing was ever handed to the gateways."""
    if inputs.document.current is not None:
        return None
    return false("DocumentPending", "no route document yet; see the conditions Accepted and CertificatesReady")


def refused_by_envoy(inputs: ConditionInput) -> Verdict | None:
    """A gateway's Envoy did not take the configuration."""
    nacks = inputs.observed.runtime.nacks
    if not nacks:
        return None
    gateway = min(nacks)
    return false(Reason.GATEWAY_REFUSED, f"{gateway} refused the configuration: {nacks[gateway]}; please report this")


def no_gateway(inputs: ConditionInput) -> Verdict | None:
    """Nobody reports."""
    runtime = inputs.observed.runtime
    if runtime.applied:
        return None
    if runtime.disconnected:
        return false("GatewayDisconnected", f"no gateway reports ({', '.join(runtime.disconnected)}): see its logs")
    return unknown(Reason.NO_GATEWAY, "no gateway has reported yet; see that one is running")


def gateways_behind(inputs: ConditionInput) -> Verdict | None:
    """A gateway that reports has not applied the newest document."""
    current, applied = inputs.document.current, inputs.observed.runtime.applied
    behind = sorted(gateway for gateway, sequence in applied.items() if current and sequence < current.sequence)
    if not behind:
        return None
    return false("GatewayBehind", f"not applied yet on {', '.join(behind)}")


def some_disconnected(inputs: ConditionInput) -> Verdict | None:
    """Others serve; those that do not report are named, since a revocation does not reach them."""
    missing = inputs.observed.runtime.disconnected
    if not missing:
        return None
    return true(
        "GatewayDisconnected", f"applied, but {', '.join(missing)} does not report: revocations do not reach it"
    )


def workload_refused(inputs: ConditionInput) -> Verdict | None:
    """The platform did not take the workload."""
    message = inputs.observed.workload_error
    return false("WorkloadRefused", message) if message else None


def start_failed(inputs: ConditionInput) -> Verdict | None:
    """The newest start failed."""
    failure = inputs.observed.runtime.failure
    return false(failure.reason, failure.message) if failure else None


def workload_not_asked_for(inputs: ConditionInput) -> Verdict | None:
    """Nothing was ever accepted, so nothing can run."""
    if inputs.endpoint.rejection is None or inputs.document.current is not None:
        return None
    return false("NotAccepted", "no workload before the spec is accepted; see the condition Accepted")


def runs(inputs: ConditionInput) -> Verdict:
    """Asleep counts as available: a call wakes it."""
    state = inputs.observed.runtime.state
    return true(state, "the first allowed call wakes it" if state == "Asleep" else f"the endpoint is {state.lower()}")


def endpoint_verdicts(inputs: ConditionInput) -> tuple[tuple[str, Verdict], ...]:
    """Every condition, in the order of the API page; Ready last."""
    count = len({grant.client for grant in inputs.document.keys})
    plural = "client holds" if count == 1 else "clients hold"
    credentials = true("Issued", f"{count} {plural} a key")
    verdicts = (
        ("Accepted", evaluate(inputs, (rejected, replicas_capped), true(Reason.ACCEPTED, "the spec is in force"))),
        ("CredentialsReady", evaluate(inputs, (too_many_keys, no_clients), credentials)),
        (
            "CertificatesReady",
            evaluate(
                inputs, (leaf_secret_taken, no_authority, leaf_unusable), true("Issued", "all certificates serve")
            ),
        ),
        ("Programmed", evaluate(inputs, PROGRAMMED, true(Reason.PROGRAMMED, "applied on every gateway"))),
        ("WorkloadAvailable", evaluate(inputs, WORKLOAD_AVAILABLE, runs(inputs))),
    )
    return (*verdicts, ("Ready", summarize(verdicts, true(Reason.READY, "authenticated calls are answered"))))


PROGRAMMED = (
    document_secret_taken,
    document_unfit,
    no_document,
    refused_by_envoy,
    no_gateway,
    gateways_behind,
    some_disconnected,
)
WORKLOAD_AVAILABLE = (workload_not_asked_for, workload_refused, start_failed)
