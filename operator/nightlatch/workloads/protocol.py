"""The workloads seam: it owns all that is neither ours nor a Secret (Deployments, Services, …; or processes).

Every implementation passes tests/contract/workloads_contract.py.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Protocol

from nightlatch.api.meta import NamespacedName
from nightlatch.planning.workload import Workload


class WorkloadError(Exception):
    """The platform refused or could not do it; the message is fit for a condition."""


@dataclass(frozen=True, slots=True)
class Replica:
    """One model server. `address` is `(host, port)` of the serving port once it is known.

    `ready`: the platform calls it ready. `terminating` replicas take no new calls.
    """

    name: str
    address: tuple[str, int] | None
    ready: bool
    terminating: bool = False


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a start failed, for conditions and held callers.

    reason: one of those in `api/conditions.py` about the model server, as text since it is also read from files.
    attempt: grows with every failed start, and never goes back.
    """

    attempt: int
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class WorkloadState:
    """What runs. `desired`: replicas asked for by the last `scale` (0 before any). `failure`: of the newest start."""

    desired: int
    replicas: tuple[Replica, ...] = ()
    failure: Failure | None = None


class WorkloadReader(Protocol):
    """The read-only half, all that a gatekeeper is given."""

    async def observe(self, endpoint: NamespacedName) -> WorkloadState | None:
        """What runs for an endpoint; None when there is no workload (or no replica, to one who sees those alone)."""

    def changes(self) -> AsyncIterator[NamespacedName]:
        """Endpoints whose state may have changed, without end; first every endpoint that has a workload."""


class Workloads(WorkloadReader, Protocol):
    """The whole seam, for the operator."""

    async def ensure(self, workload: Workload) -> None:
        """Create or update what belongs to the endpoint; never touches the number of replicas. Idempotent.
        Raises WorkloadError."""

    async def scale(self, endpoint: NamespacedName, replicas: int) -> None:
        """Ask for so many replicas, starting again what failed. Returns at once; `observe` tells.
        Raises WorkloadError when there is no workload."""

    async def remove(self, endpoint: NamespacedName) -> None:
        """Stop and delete everything of the endpoint. Idempotent."""

    async def publish_trust(self, namespace: str, bundle: str) -> None:
        """Let callers of a namespace find the CA (PEM). Raises WorkloadError when something foreign stands there."""

    async def listed(self) -> tuple[NamespacedName, ...]:
        """Endpoints that have a workload, for the orphan sweep."""
