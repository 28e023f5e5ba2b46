"""Whether to take, renew or leave a Lease, by client-go's rules. Pure; times are seconds of a monotonic clock.

The holder's `renewTime` is never compared with our clock. We count from the moment at which we saw the Lease change.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

DURATION_SECONDS = 6
RENEW_DEADLINE_SECONDS = 4.0
RETRY_SECONDS = 1.0

Move = Literal["Create", "Renew", "Take", "Wait"]


@dataclass(frozen=True, slots=True)
class Sighting:
    """The newest resourceVersion of the Lease and when we first saw it."""

    version: str
    at: float


def sighting(last: Sighting | None, lease: Mapping[str, Any], now: float) -> Sighting:
    """The sighting after reading `lease`."""
    version = lease["metadata"]["resourceVersion"]
    return last if last is not None and last.version == version else Sighting(version, now)


def decide(lease: Mapping[str, Any] | None, seen: Sighting | None, identity: str, now: float) -> Move:
    """What the candidate `identity` should do about the Lease that it has just read (None: there is no Lease)."""
    if lease is None:
        return "Create"
    spec = lease.get("spec") or {}
    if spec.get("holderIdentity") == identity:
        return "Renew"
    if not spec.get("holderIdentity"):
        return "Take"
    expired = seen is not None and now - seen.at >= float(spec.get("leaseDurationSeconds") or DURATION_SECONDS)
    return "Take" if expired else "Wait"


def held(lease: Mapping[str, Any], identity: str, wall: datetime, *, taken: bool) -> dict[str, Any]:
    """The Lease with `identity` as its holder, renewed at `wall`."""
    spec = dict(lease.get("spec") or {})
    stamp = wall.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    spec.update(holderIdentity=identity, leaseDurationSeconds=DURATION_SECONDS, renewTime=stamp)
    if taken:
        spec.update(acquireTime=stamp, leaseTransitions=int(spec.get("leaseTransitions") or 0) + 1)
    return {**lease, "spec": spec}


def released(lease: Mapping[str, Any]) -> dict[str, Any]:
    """The Lease without a holder, so that the next candidate need not wait until it expires."""
    return {**lease, "spec": {**lease["spec"], "holderIdentity": "", "leaseDurationSeconds": 1}}
