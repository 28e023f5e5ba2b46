"""The workloads seam: whatever runs an endpoint and is neither one of our kinds nor a Secret.

In a cluster these are Deployments, Services and what belongs to them; on a laptop, processes.

Every implementation passes tests/contract/workloads_contract.py.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from nightlatch.api.meta import NamespacedName
from nightlatch.informer import Source
from nightlatch.planning.plan import DeleteCertificate, EnsureCertificate
from nightlatch.planning.workload import Workload


class WorkloadError(Exception):
    """The platform refused or failed. The message is written for a condition."""


class CertificateError(WorkloadError):
    """cert-manager, or the platform in its name, refused a certificate. The message is written for a condition."""


@dataclass(frozen=True, slots=True)
class Replica:
    """One model server.

    address: host and port of the serving port, once known. ready: the platform says so. terminating: it takes no new
    calls.
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
    """What runs. `desired`: the replicas that the last `scale` asked for, 0 before. `failure`: of the newest start."""

    desired: int
    replicas: tuple[Replica, ...] = ()
    failure: Failure | None = None


class WorkloadReader(Protocol):
    """The read-only half, which is all that a gatekeeper gets."""

    async def observe(self, endpoint: NamespacedName) -> WorkloadState | None:
        """What runs for an endpoint, or None without a workload. Some readers see only replicas: None without any."""

    def changes(self) -> AsyncIterator[NamespacedName]:
        """Yield endpoints whose state may have changed, forever; first every endpoint that has a workload."""


class Workloads(WorkloadReader, Protocol):
    """The whole seam, for the operator."""

    async def ensure(self, workload: Workload) -> None:
        """Create or update what belongs to the endpoint, but not the number of replicas. Idempotent.
        Raises WorkloadError."""

    async def scale(self, endpoint: NamespacedName, replicas: int) -> None:
        """Ask for this number of replicas, and start failed ones again. Does not wait for them; see `observe`.
        Raises WorkloadError if there is no workload."""

    async def remove(self, endpoint: NamespacedName) -> None:
        """Stop and delete everything of the endpoint. Idempotent."""

    async def publish_trust(self, namespace: str, bundle: str) -> None:
        """Publish the CA (PEM) to the callers in a namespace. Raises WorkloadError if a foreign object has its name."""

    async def tell_installation(self, told: Mapping[str, str]) -> Mapping[str, str]:
        """Publish what people may know of the installation. Returns the annotations that people put beside it.
        Raises WorkloadError if a foreign object has its name."""

    async def listed(self) -> tuple[NamespacedName, ...]:
        """The endpoints that have a workload, for the orphan sweep."""


class Certificates(Protocol):
    """Who makes certificates for us besides our own CA. In a cluster that is cert-manager; elsewhere nobody.

    Which Certificates there are, and what it says of them, comes from an informer on `sources`.
    """

    @property
    def available(self) -> bool:
        """Whether it is there, as of the last look."""

    @property
    def sources(self) -> Sequence[Source]:
        """Its Certificates that are ours."""

    async def ensure(self, wanted: EnsureCertificate) -> None:
        """Create or change a Certificate, and ask for a renewal if that is wanted. Idempotent but for the renewal.
        Raises CertificateError."""

    async def delete(self, gone: DeleteCertificate) -> None:
        """Idempotent. Raises CertificateError."""
