"""How many endpoints may ask their callers for certificates. Pure.

Each of them has a filter chain of its own, and whenever one comes or goes, Envoy's main thread has work for each chain
that is there: half a millisecond. For so long no revocation arrives, so their number has a limit.
"""

from nightlatch.api.conditions import Reason
from nightlatch.planning.access.api_keys import unix_seconds
from nightlatch.planning.parsed import ParsedEndpoint, Rejection

# A revocation has a second. With as many chains, one that meets the coming of another still has most of it.
MAX_CHAINS = 256


def asks_for_certificates(endpoint: ParsedEndpoint) -> bool:
    """Whether its spec wants a chain, whether that is accepted or not."""
    return endpoint.spec is not None and endpoint.spec.access.mtls is not None


def is_older(endpoint: ParsedEndpoint, other: ParsedEndpoint) -> bool:
    """Whether the first comes before the other where there is not room for both."""
    first, second = (
        (unix_seconds(each.metadata.creation_timestamp), each.key.namespace, each.key.name)
        for each in (endpoint, other)
    )
    return first < second


def too_many_chains(endpoint: ParsedEndpoint, chains_before: int) -> Rejection | None:
    """The rejection of an endpoint for which there is no chain left. `chains_before`: of endpoints that come first."""
    if not asks_for_certificates(endpoint) or chains_before < MAX_CHAINS:
        return None
    return Rejection(
        Reason.TOO_MANY_ENDPOINTS_WITH_CERTIFICATES,
        f"{chains_before} other endpoints ask their callers for certificates, and {MAX_CHAINS} may: "
        "use access.apiKey or access.jwt here, or take access.mtls away from another endpoint",
    )
