"""Two endpoints that claim one host name: the older one keeps it, the younger one says so."""

from nightlatch.api.conditions import Reason
from nightlatch.planning.inputs import HostClaim, Observed
from nightlatch.planning.parsed import ParsedEndpoint, Rejection
from nightlatch.planning.settings import hosts


def host_conflict(endpoint: ParsedEndpoint, observed: Observed) -> Rejection | None:
    """The rejection of the younger one. Age is by creation time, then by uid, so that both sides agree."""
    metadata = endpoint.metadata
    own = set(hosts(observed.settings, endpoint.key))
    for claim in observed.host_claims:
        shared = sorted(own & set(claim.hosts))
        if shared and _age(claim) < (metadata.creation_timestamp, metadata.uid):
            message = f"{shared[0]} belongs to the older InferenceEndpoint {claim.endpoint}: choose another name"
            return Rejection(Reason.HOST_CONFLICT, message)
    return None


def _age(claim: HostClaim) -> tuple[str, str]:
    return claim.created_at, claim.uid
