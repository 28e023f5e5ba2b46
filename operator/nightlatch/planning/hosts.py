"""Two endpoints that claim one host name: the older one keeps it, the younger one says so."""

from nightlatch.planning.observed import EndpointSubject, Observed, Rejection, Rival
from nightlatch.planning.settings import hosts


def host_conflict(endpoint: EndpointSubject, observed: Observed) -> Rejection | None:
    """The rejection of the younger one. Age is by creation time, then by uid, so that both sides agree."""
    metadata = endpoint.metadata
    own = set(hosts(observed.settings, endpoint.key))
    for rival in observed.rivals:
        shared = sorted(own & set(rival.hosts))
        if shared and _age(rival) < (metadata.creation_timestamp, metadata.uid):
            message = f"{shared[0]} belongs to the older InferenceEndpoint {rival.endpoint}: choose another name"
            return Rejection("HostConflict", message)
    return None


def _age(rival: Rival) -> tuple[str, str]:
    return rival.created_at, rival.uid
