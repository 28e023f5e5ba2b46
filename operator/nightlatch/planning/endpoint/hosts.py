"""A spec is rejected while an older endpoint owns one of its hosts. `routing.hosts` says who owns a host."""

from collections.abc import Iterable

from nightlatch.api.conditions import Reason
from nightlatch.planning.access.api_keys import unix_seconds
from nightlatch.planning.inputs import HostClaim
from nightlatch.planning.parsed import ParsedEndpoint, Rejection
from nightlatch.planning.settings import Settings, hosts
from nightlatch.routing.hosts import lost_hosts


def host_claim(endpoint: ParsedEndpoint, settings: Settings) -> HostClaim:
    """What an endpoint claims, whether its spec is accepted or not."""
    return HostClaim(endpoint.key, unix_seconds(endpoint.metadata.creation_timestamp), hosts(settings, endpoint.key))


def host_conflict(endpoint: ParsedEndpoint, settings: Settings, others: Iterable[HostClaim]) -> Rejection | None:
    """The rejection of an endpoint that does not own all of its hosts."""
    own = host_claim(endpoint, settings)
    lost = lost_hosts((own, *others)).get(endpoint.key, {})
    if not lost:
        return None
    host, owner = min(lost.items())
    return Rejection(
        Reason.HOST_CONFLICT, f"{host} belongs to the older InferenceEndpoint {owner}: choose another name"
    )
