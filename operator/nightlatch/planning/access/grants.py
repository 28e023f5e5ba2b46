"""Which client may use which endpoint: a chain of named predicates, used for the endpoint's plan and the client's."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from nightlatch.api.conditions import Reason
from nightlatch.api.meta import NamespacedName
from nightlatch.api.scalars import Permission
from nightlatch.planning.parsed import ParsedClient, ParsedEndpoint, Rejection

# What the owner of an endpoint changes in `access.allowedNamespaces`, depending on its `from`.
_LET_IN = {
    "Same": "write spec.access.allowedNamespaces: {from: Names, names: [...]} in the endpoint",
    "Names": "add it to the endpoint's spec.access.allowedNamespaces.names",
    "Selector": "give it the labels that the endpoint's spec.access.allowedNamespaces.selector asks for",
}

LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")


@dataclass(frozen=True, slots=True)
class GrantRequest:
    """A client names an endpoint; `endpoint` is None if no such object exists."""

    client: ParsedClient
    named: NamespacedName
    endpoint: ParsedEndpoint | None


def not_found(request: GrantRequest) -> Rejection | None:
    """The endpoint does not exist."""
    if request.endpoint is not None:
        return None
    return Rejection(
        Reason.ENDPOINT_NOT_FOUND, f"no InferenceEndpoint {request.named}: create it, or correct spec.endpoints"
    )


def not_allowed(request: GrantRequest) -> Rejection | None:
    """The client is in another namespace, which the endpoint does not allow."""
    endpoint, namespace = request.endpoint, request.client.key.namespace
    if endpoint is None or endpoint.key.namespace == namespace:
        return None
    if endpoint.spec is None:
        # Whom it let in cannot be read. Its last document stays in use, which only takes keys away: so take none.
        return None
    allowed = endpoint.spec.access.allowed_namespaces
    if allowed.admit(namespace, own=endpoint.key.namespace, labels=request.client.namespace_labels):
        return None
    message = f"{request.named} does not allow namespace {namespace}: {_LET_IN[allowed.from_]}"
    return Rejection(Reason.NAMESPACE_NOT_ALLOWED, message)


def unfit_name(request: GrantRequest) -> Rejection | None:
    """The client's name cannot be part of a route document."""
    if LABEL.fullmatch(request.client.key.name):
        return None
    message = "the client's name must be one DNS label (a-z, 0-9, -; at most 63 characters): rename the client"
    return Rejection(Reason.INVALID_CLIENT_NAME, message)


def takes_no_keys(request: GrantRequest) -> Rejection | None:
    """The endpoint does not accept API keys."""
    endpoint = request.endpoint
    if endpoint is None or endpoint.spec is None or endpoint.spec.access.api_key is not None:
        return None
    message = f"{request.named} does not accept API keys: set its spec.access.apiKey"
    return Rejection(Reason.API_KEYS_NOT_ACCEPTED, message)


CHAIN: tuple[Callable[[GrantRequest], Rejection | None], ...] = (unfit_name, not_found, not_allowed, takes_no_keys)


def refusal(request: GrantRequest) -> Rejection | None:
    """Why the client is refused; None if it is granted access."""
    return next((found for predicate in CHAIN if (found := predicate(request))), None)


def named_endpoints(client: ParsedClient) -> tuple[NamespacedName, ...]:
    """The endpoints in the client's spec, each once and in its order, whether it may call them or not."""
    entries = client.spec.endpoints if client.spec else ()
    return tuple(dict.fromkeys(entry.endpoint(client.key.namespace) for entry in entries))


def requested_grants(client: ParsedClient) -> Mapping[NamespacedName, frozenset[Permission]]:
    """What the client asks for on each endpoint that it names; nothing when it is suspended or unreadable.

    An endpoint may be named twice, with its namespace and without: then the permissions add up.
    """
    if client.spec is None or client.spec.suspend:
        return {}
    found: dict[NamespacedName, frozenset[Permission]] = {}
    for entry in client.spec.endpoints:
        named = entry.endpoint(client.key.namespace)
        found[named] = found.get(named, frozenset()).union(entry.permissions)
    return found
