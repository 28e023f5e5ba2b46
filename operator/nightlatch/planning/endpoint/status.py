"""The status of an InferenceEndpoint."""

from datetime import UTC, datetime

from nightlatch.api import names
from nightlatch.api.endpoint import Access, CertificateStatus, EndpointStatus, LastWake
from nightlatch.planning.conditions import conditions, timestamp
from nightlatch.planning.endpoint.conditions import ConditionInput, endpoint_verdicts
from nightlatch.planning.leaves import LeafDecision
from nightlatch.planning.settings import url
from nightlatch.wire.report import WakeReport


def endpoint_status(inputs: ConditionInput, now: datetime) -> EndpointStatus:
    """The whole status from what was observed. Only transition times and the last wake are carried over."""
    endpoint, runtime = inputs.endpoint, inputs.observed.runtime
    generation = endpoint.metadata.generation
    verdicts = endpoint_verdicts(inputs)
    return EndpointStatus(
        observed_generation=generation,
        url=url(inputs.observed.settings, endpoint.key),
        replicas=runtime.replicas,
        selector=f"{names.LABEL_ENDPOINT}={endpoint.key.name}",
        state=runtime.state,
        access=_access(endpoint.spec.access) if endpoint.spec else endpoint.status.access,
        conditions=conditions(verdicts, endpoint.status.conditions, generation, now),
        certificates=tuple(entry for leaf in inputs.leaves if (entry := _certificate(leaf))),
        clients=len({grant.client for grant in inputs.document.keys}),
        # After a restart only the status remembers the last wake.
        last_wake=_last_wake(runtime.last_wake) if runtime.last_wake else endpoint.status.last_wake,
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


def _last_wake(wake: WakeReport) -> LastWake:
    phases = {phase: round(milliseconds) for phase, milliseconds in wake.phases.items()}
    at = timestamp(datetime.fromtimestamp(wake.at, UTC))
    return LastWake(at=at, duration=f"{sum(phases.values())}ms", phases=phases)
