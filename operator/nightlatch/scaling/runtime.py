"""What the autoscaler knows of an endpoint right now."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from nightlatch.api.endpoint import EndpointState
from nightlatch.wire.report import ModelReport, WakeFailure, WakeReport


@dataclass(frozen=True, slots=True)
class EndpointRuntime:
    """One endpoint at run time. The defaults hold until the autoscaler has looked at the endpoint.

    desired: replicas that the autoscaler wants. replicas: those that exist and are not terminating, ready or not.
    failure: why the newest start failed; None after a start that succeeded.
    applied: the highest document sequence of which Envoy ACKed every resource, by serving gateway.
    nacks: why Envoy refused a document, by serving gateway.
    too_old: gateways that do not enforce the newest document because they are too old for it. They are in `nacks` too.
    disconnected: gateways of the directory that do not report.
    members: the highest sequence that each gateway of the directory has applied; None for one that does not say.
    formats: the newest document format that each gateway of the directory reads; None for one that does not report.
    model: how the model server described its model when it last started; None if that is not known.
    settled: every gateway of the directory has reported to this leader, or had the time to.
    """

    state: EndpointState = "Asleep"
    desired: int = 0
    replicas: int = 0
    failure: WakeFailure | None = None
    last_wake: WakeReport | None = None
    applied: Mapping[str, int] = field(default_factory=dict)
    nacks: Mapping[str, str] = field(default_factory=dict)
    too_old: tuple[str, ...] = ()
    disconnected: tuple[str, ...] = ()
    members: Mapping[str, int | None] = field(default_factory=dict)
    formats: Mapping[str, int | None] = field(default_factory=dict)
    model: ModelReport | None = None
    settled: bool = True

    def has_applied(self, sequence: int) -> bool:
        """Whether every gateway that reports serves that document or a newer one. False if no gateway reports."""
        return bool(self.applied) and all(applied >= sequence for applied in self.applied.values())

    def unconfirmed(self, sequence: int) -> tuple[str, ...]:
        """The gateways that have not said that they have that document or a newer one, also those that say nothing."""
        return tuple(sorted(name for name, applied in self.members.items() if applied is None or applied < sequence))


UNKNOWN_RUNTIME = EndpointRuntime(settled=False)
