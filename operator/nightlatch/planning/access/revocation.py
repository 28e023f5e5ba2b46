"""Does a change take something away from a caller? Such a change goes before all others, so that it is applied soon.

The gateways ask a similar question of two route documents (`wire/narrowing.py`); here the objects that
documents are made of are compared, because the queue must know before a document is written.
"""

from collections.abc import Mapping
from typing import NamedTuple

from nightlatch.api.meta import NamespacedName
from nightlatch.planning.access.api_keys import unrevoked
from nightlatch.planning.access.grants import GrantRequest, refusal, requested_grants
from nightlatch.planning.inputs import ClientView
from nightlatch.planning.parsed import ParsedEndpoint


class GrantedPermission(NamedTuple):
    """One permission that a key has on an endpoint."""

    endpoint: NamespacedName
    sha256: str
    permission: str


GrantedPermissions = frozenset[GrantedPermission]


def granted_permissions(
    client: ClientView | None, endpoints: Mapping[NamespacedName, ParsedEndpoint]
) -> GrantedPermissions:
    """Everything that the client's keys may do; nothing without a client."""
    if client is None:
        return frozenset()
    digests = [key.sha256 for key in unrevoked(client)]
    return frozenset(
        GrantedPermission(endpoint, digest, permission)
        for endpoint, permissions in requested_grants(client.client).items()
        if refusal(GrantRequest(client.client, endpoint, endpoints.get(endpoint))) is None
        for digest in digests
        for permission in permissions
    )


def losing_endpoints(before: GrantedPermissions, after: GrantedPermissions) -> frozenset[NamespacedName]:
    """The endpoints whose route documents must shrink."""
    return frozenset(lost.endpoint for lost in before - after)


def access_changed(before: ParsedEndpoint | None, after: ParsedEndpoint) -> bool:
    """Whether an endpoint that was there before says something else about who may call. Any change counts as a loss."""
    if before is None:
        return False
    return (before.spec and before.spec.access) != (after.spec and after.spec.access)
