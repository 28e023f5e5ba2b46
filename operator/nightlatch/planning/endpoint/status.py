"""The status of an InferenceEndpoint."""

from datetime import UTC, datetime

from nightlatch.api.endpoint import (
    Access,
    CertificateStatus,
    EndpointStatus,
    GatewaysStatus,
    LastWake,
    ModelSignature,
    ModelStatus,
    TensorStatus,
)
from nightlatch.planning.conditions import conditions, timestamp
from nightlatch.planning.endpoint.conditions import ConditionInput, endpoint_verdicts
from nightlatch.planning.leaves import LeafDecision
from nightlatch.planning.settings import url
from nightlatch.scaling.runtime import EndpointRuntime
from nightlatch.wire.report import ModelReport, Tensor, WakeReport
from nightlatch.wire.route_document import RouteDocument


def endpoint_status(inputs: ConditionInput, now: datetime) -> EndpointStatus:
    """The whole status from what was observed.

    Transition times, the last wake and the model are carried over, and until a new leader knows what runs, so is that.
    """
    endpoint, runtime, before = inputs.endpoint, inputs.observed.runtime, inputs.endpoint.status
    settled = runtime.settled or before.state is None
    generation = endpoint.metadata.generation
    verdicts = endpoint_verdicts(inputs)
    return EndpointStatus(
        observed_generation=generation,
        url=url(inputs.observed.settings, endpoint.key),
        replicas=runtime.replicas if settled else before.replicas,
        state=runtime.state if settled else before.state,
        access=_access(endpoint.spec.access) if endpoint.spec else before.access,
        conditions=conditions(verdicts, before.conditions, generation, now),
        gateways=_gateways(runtime, inputs.document.current) if settled else before.gateways,
        # Only the status remembers what an earlier leader heard of the model.
        model=_model(runtime.model) if runtime.model else before.model,
        certificates=tuple(entry for leaf in inputs.leaves if (entry := _certificate(leaf))),
        clients=len({grant.client for grant in inputs.document.keys}),
        # After a restart only the status remembers the last wake.
        last_wake=_last_wake(runtime.last_wake) if runtime.last_wake else before.last_wake,
    )


def _access(access: Access) -> str:
    """The enabled mechanisms by their names in the spec."""
    enabled = {"apiKey": access.api_key, "jwt": access.jwt, "oauth2": access.oauth2, "mtls": access.mtls}
    return ",".join(name for name, mechanism in enabled.items() if mechanism is not None)


def _certificate(decision: LeafDecision) -> CertificateStatus | None:
    leaf, renew_at = decision.leaf, decision.renew_at
    if leaf is None or renew_at is None:
        return None
    return CertificateStatus(
        role=decision.wanted.role, serial=leaf.serial, not_after=timestamp(leaf.not_after), renew_at=timestamp(renew_at)
    )


def _gateways(runtime: EndpointRuntime, document: RouteDocument | None) -> GatewaysStatus:
    return GatewaysStatus(
        members=len(runtime.formats),
        applied=sum(document is not None and applied >= document.sequence for applied in runtime.applied.values()),
        disconnected=len(runtime.disconnected),
    )


def _model(model: ModelReport) -> ModelStatus:
    signature = ModelSignature(inputs=_tensors(model.inputs), outputs=_tensors(model.outputs))
    return ModelStatus(signature=signature, digest=model.digest or None)


def _tensors(tensors: tuple[Tensor, ...]) -> tuple[TensorStatus, ...]:
    return tuple(TensorStatus(name=each.name, datatype=each.datatype, shape=each.shape) for each in tensors)


def _last_wake(wake: WakeReport) -> LastWake:
    phases = {phase: round(milliseconds) for phase, milliseconds in wake.phases.items()}
    at = timestamp(datetime.fromtimestamp(wake.at, UTC))
    return LastWake(at=at, duration=f"{sum(phases.values())}ms", phases=phases)
