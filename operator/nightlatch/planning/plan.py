"""What a plan asks for. Private material is only asked for here: `controller/apply.py` makes it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from nightlatch.api.client import ClientStatus
from nightlatch.api.endpoint import EndpointStatus
from nightlatch.api.issuer import IssuerStatus
from nightlatch.api.meta import NamespacedName, ObjectRef
from nightlatch.pki import LeafRequest
from nightlatch.planning.workload import Workload
from nightlatch.scaling.endpoint_scaling import DesiredScaling


@dataclass(frozen=True, slots=True)
class Owner:
    """Whose child an object is. `api_version` and `uid` go into the owner reference where the namespace is the same."""

    ref: ObjectRef
    uid: str
    api_version: str


@dataclass(frozen=True, slots=True)
class OwnedSecret:
    """A Secret of ours: where it lies, what it is for, whose it is, `labels` beside those of role and owner."""

    key: NamespacedName
    role: str
    owner: Owner
    type: str = "Opaque"
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Revision:
    """The object that a replacement expects to find; anything else there is a conflict, never overwritten."""

    uid: str
    resource_version: str


@dataclass(frozen=True, slots=True)
class PutSecret:
    """Create, or replace exactly `replaces`. For content that the plan may know (route documents)."""

    target: OwnedSecret
    data: Mapping[str, bytes] = field(repr=False)
    replaces: Revision | None = None


@dataclass(frozen=True, slots=True)
class MintCA:
    """Make a CA with a new key. `signed_by`: the Secret of the CA that signs it; None for a self-signed root."""

    target: OwnedSecret
    duration: timedelta
    signed_by: NamespacedName | None = None
    replaces: Revision | None = None


@dataclass(frozen=True, slots=True)
class UseCA:
    """Issue leaves from the CA in this Secret from now on."""

    secret: NamespacedName


@dataclass(frozen=True, slots=True)
class IssueLeaf:
    """Issue a certificate with a new key into a `kubernetes.io/tls` Secret."""

    target: OwnedSecret
    request: LeafRequest
    replaces: Revision | None = None


@dataclass(frozen=True, slots=True)
class MintKey:
    """Create a Secret with a new API key under `api-key`, beside `data`. Never replaces anything."""

    target: OwnedSecret
    data: Mapping[str, bytes]


@dataclass(frozen=True, slots=True)
class MergeSecret:
    """Replace these entries of exactly `replaces`; every other entry, the key among them, stays as it is."""

    target: OwnedSecret
    data: Mapping[str, bytes]
    replaces: Revision


@dataclass(frozen=True, slots=True)
class EnsureWorkload:
    """Create or update the model server; never its number of replicas."""

    workload: Workload


@dataclass(frozen=True, slots=True)
class PublishTrust:
    """Let the callers of a namespace find the CA to trust (PEM)."""

    namespace: str
    bundle: bytes


@dataclass(frozen=True, slots=True)
class DeleteSecret:
    """Delete exactly this Secret."""

    key: NamespacedName
    revision: Revision


SecretAction = PutSecret | MintCA | IssueLeaf | MintKey | MergeSecret
Action = SecretAction | UseCA | EnsureWorkload | PublishTrust
Status = EndpointStatus | ClientStatus | IssuerStatus


@dataclass(frozen=True, slots=True)
class Plan:
    """Apply in order, then delete, then write the status (None: it is as it should be).

    scaling: how the autoscaler shall scale the endpoint from now on; None: as before.
    requeue_after: seconds until time alone makes another plan necessary; None when only an event can.
    refusal: why the plan ends before everything is done, fit for a user; applying it ends with this as an error.
    """

    apply: tuple[Action, ...] = ()
    delete: tuple[DeleteSecret, ...] = ()
    scaling: DesiredScaling | None = None
    status: Status | None = None
    requeue_after: float | None = None
    refusal: str = ""
