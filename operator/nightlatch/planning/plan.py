"""What a plan asks for.

A plan never holds private keys of certificates: it asks for them, and `controller/apply.py` creates them. API keys are
made where the key ledger is decided, so that ledger and key are one write.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from nightlatch.api.client import ClientStatus
from nightlatch.api.endpoint import EndpointStatus
from nightlatch.api.issuer import IssuerStatus
from nightlatch.api.meta import NamespacedName, ObjectRef
from nightlatch.api.references import CertManagerIssuer
from nightlatch.pki import LeafRequest
from nightlatch.planning.workload import Workload
from nightlatch.scaling.endpoint_scaling import DesiredScaling


@dataclass(frozen=True, slots=True)
class Owner:
    """The owner of an object. `api_version` and `uid` form the owner reference if both are in one namespace."""

    ref: ObjectRef
    uid: str
    api_version: str


@dataclass(frozen=True, slots=True)
class OwnedSecret:
    """A Secret of ours: its name, what it is for, who owns it, and labels and annotations besides role and owner."""

    key: NamespacedName
    role: str
    owner: Owner
    type: str = "Opaque"
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Revision:
    """The object that a replacement expects to find. Any other object is a conflict and is never overwritten."""

    uid: str
    resource_version: str


@dataclass(frozen=True, slots=True)
class PutSecret:
    """Create the Secret, or replace exactly `replaces`. For content that a plan may know."""

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
class CopyCA:
    """Take over the CA with this key id from a user's Secret, so that it can sign until the next one is trusted."""

    target: OwnedSecret
    source: NamespacedName
    key_id: str
    replaces: Revision | None = None


@dataclass(frozen=True, slots=True)
class UseCA:
    """Issue leaves from the CA in this Secret from now on.

    bundle: PEM of all CAs that verifiers must trust now; empty: that CA's own. since, reissue_over: as in CAView.
    """

    secret: NamespacedName
    bundle: bytes = b""
    since: float = 0.0
    reissue_over: float = 0.0


@dataclass(frozen=True, slots=True)
class IssueLeaf:
    """Issue a certificate with a new key into a `kubernetes.io/tls` Secret. `beside`: more entries of the Secret."""

    target: OwnedSecret
    request: LeafRequest
    replaces: Revision | None = None
    beside: Mapping[str, bytes] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class EnsureCertificate:
    """Have cert-manager keep a certificate in the Secret `target`, which gets these labels and annotations.

    The Certificate has the name of its Secret. annotations: its own. renew: ask for a new certificate now.
    """

    target: OwnedSecret
    request: LeafRequest
    issuer: CertManagerIssuer
    renew_before: timedelta
    annotations: Mapping[str, str] = field(default_factory=dict)
    renew: bool = False


@dataclass(frozen=True, slots=True)
class DeleteCertificate:
    """Delete exactly this Certificate of cert-manager. Its Secret stays, and is not renewed any more."""

    key: NamespacedName
    uid: str


@dataclass(frozen=True, slots=True)
class MergeSecret:
    """Replace these entries of exactly `replaces` and remove those that are None; all other entries stay as they are.

    The Secret becomes the target's owner's if it was an earlier one's.
    """

    target: OwnedSecret
    data: Mapping[str, bytes | None] = field(repr=False)
    replaces: Revision


@dataclass(frozen=True, slots=True)
class EnsureWorkload:
    """Create or update the model server, but never its number of replicas."""

    workload: Workload


@dataclass(frozen=True, slots=True)
class PublishTrust:
    """Publish the CA (PEM) to the callers of a namespace."""

    namespace: str
    bundle: bytes


@dataclass(frozen=True, slots=True)
class DeleteSecret:
    """Delete exactly this Secret."""

    key: NamespacedName
    revision: Revision


@dataclass(frozen=True, slots=True)
class DocumentSequence:
    """A document for the gateways by the name of its Secret, and its newest sequence; 0 once it is deleted."""

    secret: str
    sequence: int


SecretAction = PutSecret | MintCA | CopyCA | IssueLeaf | MergeSecret
CertificateAction = EnsureCertificate | DeleteCertificate
Action = SecretAction | CertificateAction | UseCA | EnsureWorkload | PublishTrust
Status = EndpointStatus | ClientStatus | IssuerStatus


@dataclass(frozen=True, slots=True)
class Plan:
    """Apply in order, then delete, then write the status (None: it is already right).

    document: what gateways should have once the plan is applied; None if there is no document.
    scaling: how the autoscaler must scale the endpoint from now on; None: as before.
    requeue_after: seconds until the passing of time alone requires a new plan; None if only an event can.
    told: what people may know of it. It is public.
    refusal: why the plan ends before everything is done, fit for a user; applying it ends with this as an error.
    warning: what an administrator should do although everything works.
    """

    apply: tuple[Action, ...] = ()
    delete: tuple[DeleteSecret, ...] = ()
    document: DocumentSequence | None = None
    scaling: DesiredScaling | None = None
    status: Status | None = None
    requeue_after: float | None = None
    told: Mapping[str, str] = field(default_factory=dict)
    refusal: str = ""
    warning: str = ""
