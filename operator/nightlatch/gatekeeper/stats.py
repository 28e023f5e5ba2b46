"""What a gatekeeper knows about itself, for its metrics."""

from dataclasses import dataclass

from nightlatch.wire.report import EndpointReport


@dataclass(frozen=True, slots=True)
class GatewayStats:
    """The numbers behind the metrics, at one moment. `store_age`: seconds since the store last answered."""

    endpoints: tuple[EndpointReport, ...]
    checks: int
    acks: int
    nacks: int
    streams: int
    leader_connected: bool
    store_age: float
    stale: bool
    serving: bool
