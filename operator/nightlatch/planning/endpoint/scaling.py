"""Whether an endpoint's spec is accepted, and how an accepted endpoint is scaled."""

from collections.abc import Iterable
from dataclasses import replace

from nightlatch.planning.endpoint.chains import too_many_chains
from nightlatch.planning.endpoint.hosts import host_conflict
from nightlatch.planning.inputs import HostClaim
from nightlatch.planning.parsed import ParsedEndpoint
from nightlatch.planning.settings import Settings
from nightlatch.scaling.endpoint_scaling import DesiredScaling


def decide_acceptance(
    endpoint: ParsedEndpoint, settings: Settings, host_claims: Iterable[HostClaim], chains_before: int
) -> ParsedEndpoint:
    """The endpoint with the rejection that counts: the one of its spec, or else of a host that another one owns, or of
    a chain for which there is no room."""
    rejection = (
        endpoint.rejection or host_conflict(endpoint, settings, host_claims) or too_many_chains(endpoint, chains_before)
    )
    return replace(endpoint, rejection=rejection)


def desired_scaling(endpoint: ParsedEndpoint) -> DesiredScaling | None:
    """None while the spec is rejected: the autoscaler then keeps the last spec that was accepted."""
    if endpoint.spec is None or endpoint.rejection is not None:
        return None
    return DesiredScaling.of(endpoint.metadata, endpoint.spec)
