"""What a gatekeeper knows about itself, for its metrics."""

from dataclasses import dataclass
from typing import Literal

from nightlatch.wire.report import EndpointReport

# Why a refusal has no line in the audit log.
Unlogged = Literal["rate", "overload", "accept_rate", "handshake", "http2"]


@dataclass(frozen=True, slots=True)
class GatewayStats:
    """The numbers behind the metrics, at one moment. `store_age`: seconds since the store last answered.

    held_limit: how many calls this gateway holds at most. held_refused: how many found no place because of that.
    loaded: Envoy has once had everything that there was when it connected, apart from what it refused.
    awaits_documents: the gateway has just started, and the operator is about to write documents that it can read.
    """

    endpoints: tuple[EndpointReport, ...]
    held_limit: int
    held_refused: int
    checks: int
    acks: int
    nacks: int
    streams: int
    leader_connected: bool
    store_age: float
    stale: bool
    serving: bool
    loaded: bool
    awaits_documents: bool
