"""The report stream's messages. Both directions are level-based: the next message makes up for a lost one.

Up, from gateway to leader: `GatewayReport`, the whole after connecting and every 30 seconds, and otherwise the
endpoints that changed, about once a second and soon after a change.
Down, from leader to gateway: `Directives`, the whole set after connecting and then those that changed.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from nightlatch.api.endpoint import EndpointState
from nightlatch.api.meta import NamespacedName
from nightlatch.wire import route_document

# Seconds to which the last use of a key is rounded down, so that a busy client costs few reports and writes.
LAST_USE_STEP = 600

# Cold: calls are held, and Envoy has no address. Waking: calls are held, and there is demand or a probe under way.
# Warm: calls pass. Holding: calls are held for a drain epoch while Envoy still has addresses.
HoldPhase = Literal["Cold", "Waking", "Warm", "Holding"]


@dataclass(frozen=True, slots=True)
class Tensor:
    """One input or output of a model; -1 in `shape` stands for any size."""

    name: str
    datatype: str
    shape: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class ModelReport:
    """A model as its server describes it. `digest`: of the model package; empty if the server does not say."""

    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    digest: str = ""


@dataclass(frozen=True, slots=True)
class EndpointReport:
    """One endpoint on one gateway.

    applied: the highest document sequence of which Envoy acknowledged every resource; 0 for none.
    in_flight: requests in progress by the newest load report; None while unknown, which must not be read as zero.
    issued: requests sent to the model server since this gatekeeper started.
    held: calls held now.
    epoch: the drain epoch that the phase belongs to: Holding(N) once calls are held for N, also if they were held
    before; Cold(N) once Envoy has no address for N. The leader counts only reports of its own epoch, so a gateway that
    is already Cold answers Draining(N) with Holding(N) and Asleep(N) with Cold(N), like any other.
    refused_epoch: a drain epoch that this gateway gave up (a call was held, or a timeout); the leader must abort it.
    nacked: why Envoy refused the newest document.
    model: how the replica that was asked last describes its model; None before the first answer.
    too_new: the newest document is not enforced because this gateway is too old for it.
    """

    endpoint: NamespacedName
    applied: int
    phase: HoldPhase
    in_flight: int | None
    issued: int
    held: int
    epoch: int = 0
    refused_epoch: int = 0
    nacked: str | None = None
    model: ModelReport | None = None
    too_new: bool = False


@dataclass(frozen=True, slots=True)
class WakeReport:
    """A finished wake. `phases`: milliseconds of `demand`, `start`, `probe`, `eds` and `release`."""

    endpoint: NamespacedName
    at: float
    phases: dict[str, float]


@dataclass(frozen=True, slots=True)
class GatewayReport:
    """The report of one gateway.

    serving: its listeners are open, so it counts in drain epochs.
    complete: `endpoints` are all endpoints of the gateway, and `wakes` all recent wakes; otherwise those that differ
    from the report before on the same stream.
    gone: endpoints about which the gateway says nothing any more, or something that cannot be understood.
    reads: the newest format of route documents that the gateway reads.
    used: by the id of each API key when a call with it was last let through, in Unix seconds to LAST_USE_STEP.
    unknown_keys: by token issuer (NAMESPACE/NAME) how many tokens came with a key that the gateway does not know.
    """

    gateway: str
    serving: bool
    endpoints: tuple[EndpointReport, ...]
    wakes: tuple[WakeReport, ...] = ()
    checks: int = 0
    complete: bool = True
    gone: tuple[NamespacedName, ...] = ()
    reads: int = route_document.FORMAT
    used: Mapping[str, int] = field(default_factory=dict)
    unknown_keys: Mapping[str, int] = field(default_factory=dict)

    def since(self, before: "GatewayReport") -> "GatewayReport":
        """What is new in this complete report after an earlier complete one."""
        known = {entry.endpoint: entry for entry in before.endpoints}
        changed = tuple(entry for entry in self.endpoints if known.pop(entry.endpoint, None) != entry)
        wakes = tuple(wake for wake in self.wakes if wake not in before.wakes)
        used = {key: time for key, time in self.used.items() if before.used.get(key) != time}
        unknown = {name: count for name, count in self.unknown_keys.items() if before.unknown_keys.get(name) != count}
        return replace(
            self,
            endpoints=changed,
            wakes=wakes,
            complete=False,
            gone=tuple(known),
            used=used,
            unknown_keys=unknown,
        )


@dataclass(frozen=True, slots=True)
class WakeFailure:
    """Why the newest start failed. `attempt` grows with every failure, so that each is given to held calls once."""

    attempt: int
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Directive:
    """What every gateway should do with one endpoint.

    Asleep(epoch): remove all addresses from Envoy. Waking, Awake: follow the replicas.
    Draining(epoch): hold new calls, finish those in flight, report.
    """

    endpoint: NamespacedName
    state: EndpointState
    epoch: int = 0
    failure: WakeFailure | None = None


@dataclass(frozen=True, slots=True)
class Directives:
    """`complete`: this is the whole set, as in the first message after connecting.

    documents: the newest sequence of each document by the name of its Secret, 0 for one that was deleted. A gateway
    that has an older one has missed an event, and reads the documents again.
    reads: the newest format of route documents that the leader reads.
    gateways: how many gateways serve, each of which grants its share of the rate limits; None if that is not said.
    """

    complete: bool
    directives: tuple[Directive, ...]
    documents: Mapping[str, int] = field(default_factory=dict)
    reads: int = route_document.FORMAT
    gateways: int | None = None
