"""Condition types and reasons, and how a list of conditions changes. Every message says what to do next."""

from collections.abc import Iterable
from enum import StrEnum

from nightlatch.api.meta import Condition, ConditionStatus


class ConditionType(StrEnum):
    """What a condition is about. `READY` sums up the others, never the replicas: a sleeping endpoint is Ready."""

    ACCEPTED = "Accepted"  # the spec is valid and all of it is supported
    CREDENTIALS_READY = "CredentialsReady"  # what the enabled mechanisms need is there
    CERTIFICATES_READY = "CertificatesReady"  # leaves issued and far from their end
    PROGRAMMED = "Programmed"  # every connected gateway serves this generation
    WORKLOAD_AVAILABLE = "WorkloadAvailable"  # the last start did not fail
    KEYS_READY = "KeysReady"  # of a TokenIssuer: its keys are here and fresh
    READY = "Ready"


class Reason(StrEnum):
    """Why a condition is what it is, in CamelCase, for machines. The message is for people."""

    # of a condition that is True
    ACCEPTED = "Accepted"
    ISSUED = "Issued"
    PROGRAMMED = "Programmed"
    AVAILABLE = "Available"
    ASLEEP = "Asleep"
    READY = "Ready"
    MAX_REPLICAS_CAPPED = "MaxReplicasCapped"  # Accepted=True, and one replica serves until autoscaling comes
    # of one that is False
    INVALID = "Invalid"
    NOT_YET_SUPPORTED = "NotYetSupported"
    NOT_ON_THIS_PLATFORM = "NotOnThisPlatform"
    SECRET_CONFLICT = "SecretConflict"  # a Secret of that name is there and not ours  # noqa: S105
    SECRET_MISSING = "SecretMissing"  # noqa: S105
    NO_CLIENTS = "NoClients"
    ENDPOINT_NOT_FOUND = "EndpointNotFound"
    NOT_ALLOWED = "NotAllowed"  # the endpoint does not admit clients of that namespace
    SUSPENDED = "Suspended"
    TOO_MANY_KEYS = "TooManyKeys"
    MODEL_NOT_FOUND = "ModelNotFound"
    START_FAILED = "StartFailed"
    WAKE_TIMEOUT = "WakeTimeout"
    IMAGE_PULL_FAILED = "ImagePullFailed"
    CRASH_LOOP = "CrashLoop"
    GATEWAY_REFUSED = "GatewayRefused"  # Envoy did not take the configuration
    NO_GATEWAY = "NoGateway"
    # of one that is Unknown
    PENDING = "Pending"


def condition(
    kind: ConditionType, status: ConditionStatus, reason: Reason | str, message: str, generation: int
) -> Condition:
    """A condition about `generation`, without a transition time yet: `set_condition` gives it."""
    return Condition(type=kind, status=status, reason=reason, message=message, observed_generation=generation)


def set_condition(existing: Iterable[Condition], new: Condition, now: str) -> tuple[Condition, ...]:
    """`existing` with `new` in the place of the one of its type, or last.

    The transition time is `now` (RFC 3339) where the status changed, else what it was.
    """
    conditions = tuple(existing)
    old = find(conditions, new.type)
    changed_at = old.last_transition_time if old is not None and old.status == new.status else now
    dated = new.model_copy(update={"last_transition_time": changed_at or now})
    if old is None:
        return (*conditions, dated)
    return tuple(dated if each.type == new.type else each for each in conditions)


def set_conditions(existing: Iterable[Condition], new: Iterable[Condition], now: str) -> tuple[Condition, ...]:
    """`set_condition` for each of `new`."""
    conditions = tuple(existing)
    for each in new:
        conditions = set_condition(conditions, each, now)
    return conditions


def find(conditions: Iterable[Condition], kind: str) -> Condition | None:
    """The condition of a type."""
    return next((each for each in conditions if each.type == kind), None)
