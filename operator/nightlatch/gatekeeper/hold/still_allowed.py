"""Tells whether a held call may still go on, by the policy that is in force now. Pure.

The gate let the call in before it was held, and by the policy of that moment. A held call must not outlive its access.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from nightlatch.wire import caller_errors
from nightlatch.wire.error_body import CallerError
from nightlatch.wire.route_document import KeyGrant, RouteDocument

API_KEY = "apiKey"
_DENIALS = {error.code: error for error in (caller_errors.POLICY_INVALID, caller_errors.POLICY_STALE)}


@dataclass(frozen=True, slots=True)
class Caller:
    """Who makes a call, as the gate found out, and the permission that the call needs.

    `client` is NAMESPACE/NAME. `method` is how the client proved who it is. `credential` is the id of the key or token.
    """

    client: str
    method: str
    credential: str
    permission: str


# By client and key id.
Grants = Mapping[tuple[str, str], KeyGrant]


def grants_of(document: RouteDocument) -> Grants:
    """The document's API keys, to be found by client and key id."""
    return {(str(grant.client), grant.key_id): grant for grant in document.keys}


def refusal(caller: Caller, denied: str | None, grants: Grants, now: float) -> CallerError | None:
    """Why the call must not go on; None if it may. `denied` is as in RouteDocument; `now` is Unix seconds.

    A method that is not known here proves nothing, so the call is refused.
    """
    if denied is not None:
        return _DENIALS.get(denied, caller_errors.POLICY_INVALID)
    grant = grants.get((caller.client, caller.credential)) if caller.method == API_KEY else None
    if grant is None or not _in_force(grant, now):
        return caller_errors.UNAUTHENTICATED
    return None if caller.permission in grant.permissions else caller_errors.INSUFFICIENT_SCOPE


def _in_force(grant: KeyGrant, now: float) -> bool:
    begun = grant.not_before is None or now >= grant.not_before
    return begun and (grant.not_after is None or now < grant.not_after)
