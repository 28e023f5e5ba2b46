"""What the autoscaler knows of each endpoint right now, for the reconciler's status. In memory; one event loop."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from nightlatch.api.endpoint import EndpointState
from nightlatch.wire.report import WakeFailure, WakeReport


@dataclass(frozen=True, slots=True)
class EndpointRuntime:
    """One endpoint at run time; the defaults are what is true before anybody looked.

    desired: replicas the autoscaler wants. replicas: those there are, ready or not, terminating ones aside.
    failure: why the newest start failed; None once one succeeded.
    applied: highest document sequence that Envoy ACKed whole, by serving gateway.
    nacks: what Envoy said of a document it refused, by serving gateway.
    disconnected: gateways that should be there and do not report.
    """

    state: EndpointState = "Asleep"
    desired: int = 0
    replicas: int = 0
    failure: WakeFailure | None = None
    last_wake: WakeReport | None = None
    applied: Mapping[str, int] = field(default_factory=dict)
    nacks: Mapping[str, str] = field(default_factory=dict)
    disconnected: tuple[str, ...] = ()

    def has_applied(self, sequence: int) -> bool:
        """Whether every gateway that reports serves that document, or a newer one; False when none reports."""
        return bool(self.applied) and all(applied >= sequence for applied in self.applied.values())


UNKNOWN_RUNTIME = EndpointRuntime()
