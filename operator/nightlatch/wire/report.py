"""The report stream's messages. Both directions are level-based: a lost message is repaired by the next one.

Up (gateway to leader), about once a second and at once on change: `GatewayReport`.
Down (leader to gateway), the whole set on connect and then what changed: `Directives`.
"""

from dataclasses import dataclass
from typing import Literal

from nightlatch.api.endpoint import EndpointState
from nightlatch.api.meta import NamespacedName

# Cold: gate on, EDS empty. Waking: gate on, demand or probing. Warm: gate off.
# Gated: gate on for a drain epoch, EDS still full.
HoldPhase = Literal["Cold", "Waking", "Warm", "Holding"]


@dataclass(frozen=True, slots=True)
class EndpointReport:
    """One endpoint on one gateway.

    applied: highest document sequence of which Envoy ACKed every resource; 0 for none.
    in_flight: requests in progress by the newest load report; None while unknown (never to be read as zero).
    issued: requests sent to the model server since this gatekeeper started (monotone).
    held: calls held now.
    epoch: the drain epoch the phase belongs to: Gated(N) once the gate is on for N (also when it was on before),
    Cold(N) once EDS is empty for N. The leader counts only reports of its own epoch, so a gateway that was Cold
    already answers Draining(N) with Gated(N), and Asleep(N) with Cold(N), like any other.
    refused_epoch: a drain epoch this gateway gave up (a held call, a time-out); the leader must abort it.
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


@dataclass(frozen=True, slots=True)
class WakeReport:
    """A wake this gateway finished: milliseconds by phase (`demand`, `start`, `probe`, `eds`, `release`)."""

    endpoint: NamespacedName
    at: float
    phases: dict[str, float]


@dataclass(frozen=True, slots=True)
class GatewayReport:
    """Everything one gateway has to say. `serving`: its listeners are open (it counts in drain epochs)."""

    gateway: str
    serving: bool
    endpoints: tuple[EndpointReport, ...]
    wakes: tuple[WakeReport, ...] = ()
    checks: int = 0


@dataclass(frozen=True, slots=True)
class WakeFailure:
    """Why the newest start failed; `attempt` grows with every failure, so that held calls hear each once."""

    attempt: int
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Directive:
    """What the leader wants of one endpoint on every gateway.

    Asleep(epoch): no address in EDS. Waking/Awake: follow the replicas.
    Draining(epoch): gate on, finish in-flight, report.
    """

    endpoint: NamespacedName
    state: EndpointState
    epoch: int = 0
    failure: WakeFailure | None = None


@dataclass(frozen=True, slots=True)
class Directives:
    """`complete`: this is the whole set (first message after connecting)."""

    complete: bool
    directives: tuple[Directive, ...]
