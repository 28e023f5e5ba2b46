"""`plan()`: from an endpoint and what is observed to everything that shall be. Pure: time and observations go in."""

from dataclasses import replace
from datetime import datetime

from nightlatch.api import names
from nightlatch.api.endpoint import Tls
from nightlatch.api.meta import API_VERSION
from nightlatch.planning.actions import Action, DeleteSecret, EnsureWorkload, Owner, Plan
from nightlatch.planning.endpoint_conditions import Situation
from nightlatch.planning.endpoint_status import endpoint_status
from nightlatch.planning.hosts import host_conflict
from nightlatch.planning.leaves import LeafDecision, decide_leaf
from nightlatch.planning.model_server import model_server
from nightlatch.planning.observed import EndpointSubject, Observed, SecretView
from nightlatch.planning.route_document import decide_document
from nightlatch.planning.server_leaf import server_leaf
from nightlatch.planning.trust import publish_trust
from nightlatch.planning.upstream_leaf import upstream_leaf


def plan(endpoint: EndpointSubject, observed: Observed, now: datetime) -> Plan:
    """The route document goes first, since it is what revokes; then certificates; then the workload."""
    conflict = endpoint.rejection or host_conflict(endpoint, observed)
    endpoint = replace(endpoint, rejection=conflict)
    owner = owner_of(endpoint)
    server, upstream = _leaves(endpoint, observed, owner, now)
    orphan = _orphaned_document(observed.document, owner)
    taken = _document_taken(observed.document, owner)
    usable = replace(observed, document=None) if orphan or taken else observed
    document = decide_document(endpoint, usable, owner, observed.server_tls if server.usable else None, now)
    situation = Situation(endpoint, observed, (server, upstream), document, taken)
    status = endpoint_status(situation, now)
    return Plan(
        apply=_actions(situation, upstream, blocked=taken or orphan is not None),
        delete=tuple(found for found in (orphan, server.delete, upstream.delete) if found),
        status=status if status != endpoint.status else None,
        requeue_after=None if _never_accepted(situation) else _next_renewal((server, upstream), now),
    )


def owner_of(endpoint: EndpointSubject) -> Owner:
    """The endpoint as the owner of its children."""
    return Owner(endpoint.ref, endpoint.metadata.uid, API_VERSION)


def _leaves(
    endpoint: EndpointSubject, observed: Observed, owner: Owner, now: datetime
) -> tuple[LeafDecision, LeafDecision]:
    # While the spec is not accepted, what is there is renewed by the defaults.
    tls = endpoint.spec.tls if endpoint.spec and endpoint.rejection is None else Tls()
    server = server_leaf(observed.settings, endpoint.key, owner, tls)
    upstream = upstream_leaf(observed.settings, endpoint.key, owner)
    return (
        decide_leaf(server, observed.server_tls, observed.authority, now),
        decide_leaf(upstream, observed.upstream_tls, observed.authority, now),
    )


def _orphaned_document(found: SecretView | None, owner: Owner) -> DeleteSecret | None:
    if found is None or not found.is_orphan_of(owner, names.ROLE_ROUTE_DOCUMENT):
        return None
    return DeleteSecret(found.key, found.revision)


def _document_taken(found: SecretView | None, owner: Owner) -> bool:
    role = names.ROLE_ROUTE_DOCUMENT
    return found is not None and not found.is_of(owner, role) and not found.is_orphan_of(owner, role)


def _actions(situation: Situation, upstream: LeafDecision, *, blocked: bool) -> tuple[Action, ...]:
    put = None if blocked else situation.document.put
    never_accepted = _never_accepted(situation)
    issues = () if never_accepted else tuple(leaf.issue for leaf in situation.leaves if leaf.issue)
    observed, namespace = situation.observed, situation.endpoint.key.namespace
    trust = () if never_accepted else publish_trust(observed.settings, observed.authority, namespace)
    return (*((put,) if put else ()), *issues, *trust, *_workload(situation, upstream))


def _never_accepted(situation: Situation) -> bool:
    """Nothing is issued for it, so nothing is due: only another spec calls for work."""
    return situation.endpoint.rejection is not None and situation.document.current is None


def _workload(situation: Situation, upstream: LeafDecision) -> tuple[EnsureWorkload, ...]:
    endpoint = situation.endpoint
    if endpoint.spec is None or endpoint.rejection is not None or not upstream.usable:
        return ()
    return (EnsureWorkload(model_server(situation.observed.settings, endpoint.metadata, endpoint.spec)),)


def _next_renewal(leaves: tuple[LeafDecision, ...], now: datetime) -> float | None:
    if any(leaf.issue for leaf in leaves):
        # At once: the document copies what is being issued.
        return 0.0
    waits = [(leaf.renew_at - now).total_seconds() for leaf in leaves if leaf.renew_at]
    return max(0.0, min(waits)) if waits else None
