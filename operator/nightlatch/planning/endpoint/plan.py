"""`plan_endpoint()`: from an endpoint and what was observed to everything that should exist for it. Pure."""

from dataclasses import replace
from datetime import datetime

from nightlatch.api import names
from nightlatch.api.meta import API_VERSION
from nightlatch.planning.endpoint.certificates import upstream_leaf
from nightlatch.planning.endpoint.conditions import ConditionInput
from nightlatch.planning.endpoint.document import DocumentDecision, decide_document
from nightlatch.planning.endpoint.scaling import decide_acceptance, desired_scaling
from nightlatch.planning.endpoint.serving import ServingDecision, decide_serving
from nightlatch.planning.endpoint.status import endpoint_status
from nightlatch.planning.endpoint.workload import model_server
from nightlatch.planning.inputs import Observed
from nightlatch.planning.leaves import LeafDecision, decide_leaf, renewal_request
from nightlatch.planning.parsed import ParsedEndpoint
from nightlatch.planning.plan import Action, DeleteSecret, DocumentSequence, EnsureWorkload, IssueLeaf, Owner, Plan
from nightlatch.planning.secrets import SecretView
from nightlatch.planning.trust import publish_trust


def plan_endpoint(endpoint: ParsedEndpoint, observed: Observed, now: datetime) -> Plan:
    """The route document goes first, since it is what revokes; then certificates; then the workload."""
    endpoint = decide_acceptance(endpoint, observed.settings, observed.host_claims, observed.chains_before)
    owner = owner_of(endpoint)
    serving = decide_serving(endpoint, observed, owner, now)
    upstream = _upstream(endpoint, observed, owner, now)
    orphan = _orphaned_document(observed.document, owner)
    taken = _document_taken(observed.document, owner)
    usable = replace(observed, document=None) if orphan or taken else observed
    document = decide_document(endpoint, usable, owner, serving.secret, now)
    inputs = ConditionInput(endpoint, observed, (serving.leaf, upstream), document, taken)
    status = endpoint_status(inputs, now)
    return Plan(
        apply=_actions(inputs, serving, upstream, blocked=taken or orphan is not None),
        delete=tuple(found for found in (orphan, *serving.delete, upstream.delete) if found),
        document=None if taken or orphan else _sequence(document),
        scaling=desired_scaling(endpoint),
        status=status if status != endpoint.status else None,
        requeue_after=None if _never_accepted(inputs) else _next_renewal(inputs, serving, now),
    )


def owner_of(endpoint: ParsedEndpoint) -> Owner:
    """The endpoint as the owner of its objects."""
    return Owner(endpoint.ref, endpoint.metadata.uid, API_VERSION)


def _upstream(endpoint: ParsedEndpoint, observed: Observed, owner: Owner, now: datetime) -> LeafDecision:
    asked = renewal_request(endpoint.metadata.annotations)
    wanted = upstream_leaf(observed.settings, endpoint.key, owner, asked)
    return decide_leaf(wanted, observed.upstream_tls, observed.issuing_ca, now)


def _orphaned_document(found: SecretView | None, owner: Owner) -> DeleteSecret | None:
    if found is None or not found.is_orphan_of(owner, names.ROLE_ROUTE_DOCUMENT):
        return None
    return DeleteSecret(found.key, found.revision)


def _document_taken(found: SecretView | None, owner: Owner) -> bool:
    role = names.ROLE_ROUTE_DOCUMENT
    return found is not None and not found.is_of(owner, role) and not found.is_orphan_of(owner, role)


def _sequence(document: DocumentDecision) -> DocumentSequence | None:
    current = document.current
    return DocumentSequence(names.route_document(current.endpoint), current.sequence) if current else None


def _actions(
    inputs: ConditionInput, serving: ServingDecision, upstream: LeafDecision, *, blocked: bool
) -> tuple[Action, ...]:
    put = None if blocked else inputs.document.put
    never_accepted = _never_accepted(inputs)
    writes = (*serving.apply, upstream.issue or upstream.refresh)
    issues = () if never_accepted else tuple(write for write in writes if write)
    observed, namespace = inputs.observed, inputs.endpoint.key.namespace
    trust = () if never_accepted else publish_trust(observed.settings, observed.issuing_ca, namespace)
    return (*((put,) if put else ()), *issues, *trust, *_workload(inputs, upstream))


def _never_accepted(inputs: ConditionInput) -> bool:
    """Nothing was ever issued for the endpoint, so no renewal is due: only a new spec requires work."""
    return inputs.endpoint.rejection is not None and inputs.document.current is None


def _workload(inputs: ConditionInput, upstream: LeafDecision) -> tuple[EnsureWorkload, ...]:
    endpoint = inputs.endpoint
    if endpoint.spec is None or endpoint.rejection is not None or not upstream.usable:
        return ()
    return (EnsureWorkload(model_server(inputs.observed.settings, endpoint.metadata, endpoint.spec)),)


def _next_renewal(inputs: ConditionInput, serving: ServingDecision, now: datetime) -> float | None:
    """Also when a CA expires that must leave the bundle then."""
    if any(isinstance(action, IssueLeaf) for action in serving.apply) or any(leaf.issue for leaf in inputs.leaves):
        # Plan again now, because the document copies the certificate that is being issued.
        return 0.0
    trust = inputs.document.trust
    times = [*(leaf.look_again for leaf in inputs.leaves), trust.look_again if trust else None]
    waits = [(time - now).total_seconds() for time in times if time]
    return max(0.0, min(waits)) if waits else None
