"""InferenceEndpoint: one model behind one gate. The whole shape of docs' api page; CEL rules ride on the models."""

from typing import Annotated, Literal

from pydantic import Field

from nightlatch.api import duration
from nightlatch.api.meta import Condition, ObjectMeta, Shape

Duration = Annotated[str, Field(pattern=duration.PATTERN, max_length=32)]
Name = Annotated[str, Field(pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", max_length=63)]
SecretKeyName = Annotated[str, Field(pattern=r"^[a-z0-9]([-.a-z0-9]*[a-z0-9])?$", max_length=253)]
Digest = Annotated[str, Field(pattern=r"^sha256:[0-9a-f]{64}$", max_length=71)]
Permission = Literal["infer", "metadata", "health", "metrics"]
ALL_PERMISSIONS: tuple[Permission, ...] = ("infer", "metadata", "health", "metrics")
HostName = Annotated[
    str, Field(pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$", max_length=253)
]


class SecretReference(Shape):
    """A Secret in the object's own namespace; it must carry our label to be read."""

    name: SecretKeyName


class PvcSource(Shape):
    """A directory on a PersistentVolumeClaim of the endpoint's namespace."""

    claim_name: SecretKeyName
    path: Annotated[str, Field(max_length=1024)] = ""


class ImageSource(Shape):
    """A model package in an OCI image, by digest."""

    reference: Annotated[str, Field(pattern=r"^.+@sha256:[0-9a-f]{64}$", max_length=512)]


class ModelSource(Shape):
    """Exactly one of the four."""

    pvc: PvcSource | None = None
    uri: Annotated[str, Field(pattern=r"^(https|s3)://.+$", max_length=2048)] | None = None
    secret_ref: SecretReference | None = None
    image: ImageSource | None = None
    path: Annotated[str, Field(min_length=1, max_length=4096)] | None = None


class Model(Shape):
    """What is served, and under which name callers ask for it."""

    name: (
        Annotated[str, Field(pattern=r"^[A-Za-z0-9]([-._A-Za-z0-9]*[A-Za-z0-9])?$", max_length=128)] | None
    ) = None
    source: ModelSource
    digest: Digest | None = None


class EnvVar(Shape):
    """Plain values only: a Secret belongs in a file."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$", max_length=128)]
    value: Annotated[str, Field(max_length=4096)] = ""


class Toleration(Shape):
    """As in a PodSpec."""

    key: Annotated[str, Field(max_length=317)] | None = None
    operator: Literal["Exists", "Equal"] | None = None
    value: Annotated[str, Field(max_length=63)] | None = None
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = None
    toleration_seconds: int | None = None


Quantity = Annotated[str, Field(pattern=r"^[0-9]+(\.[0-9]+)?(m|k|Ki|M|Mi|G|Gi|T|Ti)?$", max_length=32)]


class Resources(Shape):
    """Container resources: `cpu`, `memory`, `nvidia.com/gpu`, …"""

    requests: Annotated[dict[str, Quantity], Field(max_length=16)] = Field(default_factory=dict)
    limits: Annotated[dict[str, Quantity], Field(max_length=16)] = Field(default_factory=dict)


class Runtime(Shape):
    """How the model is served. Default: the bundled torch server. An allow-list, no raw pod template."""

    image: Annotated[str, Field(min_length=1, max_length=512)] | None = None
    protocol: Literal["OpenInference", "OpenAI"] | None = None
    args: Annotated[tuple[Annotated[str, Field(max_length=1024)], ...], Field(max_length=64)] = ()
    env: Annotated[tuple[EnvVar, ...], Field(max_length=64)] = ()
    resources: Resources | None = None
    node_selector: Annotated[dict[str, str], Field(max_length=32)] = Field(default_factory=dict)
    tolerations: Annotated[tuple[Toleration, ...], Field(max_length=16)] = ()
    image_pull_secrets: Annotated[tuple[SecretReference, ...], Field(max_length=8)] = ()
    runtime_class_name: Name | None = None
    shared_memory: Quantity | None = None
    port: Annotated[int, Field(ge=1, le=65535)] | None = None
    readiness_path: Annotated[str, Field(pattern=r"^/[-A-Za-z0-9._~/]*$", max_length=256)] | None = None


class Hold(Shape):
    """Bounds on calls held while the endpoint wakes, per gateway."""

    timeout: Duration = "45s"
    max_requests: Annotated[int, Field(ge=1, le=10000)] = 256


class Scaling(Shape):
    """When replicas come and go."""

    min_replicas: Annotated[int, Field(ge=0, le=100)] = 0
    max_replicas: Annotated[int, Field(ge=1, le=100)] = 1
    target_concurrency: Annotated[int, Field(ge=1, le=10000)] = 8
    idle_after: Duration = "5m"
    idle: Literal["Zero", "Standby"] = "Zero"
    hold: Hold = Hold()
    mode: Literal["Managed", "External"] = "Managed"


class ApiKeyAccess(Shape):
    """API keys of InferenceClients."""


class IssuerReference(Shape):
    """A TokenIssuer of the endpoint's namespace."""

    name: Name


class TokenAccess(Shape):
    """Tokens of the named issuers."""

    issuers: Annotated[tuple[IssuerReference, ...], Field(min_length=1, max_length=16)]


class MtlsAccess(Shape):
    """Client certificates from our CA, or from extra trust."""

    trust: Annotated[tuple["TrustReference", ...], Field(max_length=8)] = ()


class TrustReference(Shape):
    """A Secret with a `ca.crt` bundle."""

    secret_name: SecretKeyName


class RuleWhen(Shape):
    """Every named claim must hold one of the values."""

    claims: Annotated[
        dict[str, Annotated[tuple[Annotated[str, Field(max_length=256)], ...], Field(max_length=64)]],
        Field(max_length=16),
    ] = Field(default_factory=dict)
    clients: Annotated[tuple[Annotated[str, Field(max_length=127)], ...], Field(max_length=64)] = ()


class Rule(Shape):
    """Permissions for a credential without scopes of its own."""

    permissions: Annotated[tuple[Permission, ...], Field(min_length=1, max_length=4)]
    when: RuleWhen | None = None


class NamespaceSelector(Shape):
    """Whose InferenceClients may name this endpoint, besides its own namespace."""

    names: Annotated[tuple[Name, ...], Field(max_length=64)] = ()


Mechanism = Literal["apiKey", "jwt", "oauth2", "mtls"]


class Access(Shape):
    """Who gets in. At least one mechanism."""

    api_key: ApiKeyAccess | None = None
    jwt: TokenAccess | None = None
    oauth2: TokenAccess | None = None
    mtls: MtlsAccess | None = None
    accept: (
        Annotated[
            tuple[Annotated[tuple[Mechanism, ...], Field(min_length=1, max_length=4)], ...],
            Field(max_length=8),
        ]
        | None
    ) = None
    rules: Annotated[tuple[Rule, ...], Field(max_length=32)] = ()
    allowed_namespaces: NamespaceSelector | None = None


class RateLimit(Shape):
    """A token bucket for each client identity, on each gateway."""

    requests: Annotated[int, Field(ge=1, le=1_000_000)]
    per: Duration = "1s"
    burst: Annotated[int, Field(ge=1, le=1_000_000)] | None = None


class IssuerRef(Shape):
    """A cert-manager issuer."""

    name: SecretKeyName
    kind: Annotated[str, Field(max_length=64)] = "Issuer"
    group: Annotated[str, Field(max_length=253)] = "cert-manager.io"


class Tls(Shape):
    """The endpoint's server certificate."""

    dns_names: Annotated[tuple[HostName, ...], Field(max_length=16)] = ()
    issuer_ref: IssuerRef | None = None
    duration: Duration = "24h"
    renew_before: Duration = "8h"


class EndpointSpec(Shape):
    """`spec` of an InferenceEndpoint."""

    model: Model
    runtime: Runtime = Runtime()
    request_timeout: Duration = "60s"
    scaling: Scaling = Scaling()
    access: Access
    rate_limit: RateLimit | None = None
    tls: Tls = Tls()


EndpointState = Literal["Asleep", "Waking", "Awake", "Draining"]


class CertificateStatus(Shape):
    """One leaf in force."""

    role: str
    serial: str
    not_after: str
    renew_at: str


class LastWake(Shape):
    """The newest finished wake; `phases` are milliseconds by phase name."""

    at: str
    duration: str
    phases: dict[str, int] = Field(default_factory=dict)


class EndpointStatus(Shape):
    """`status` of an InferenceEndpoint."""

    observed_generation: int = 0
    url: str = ""
    replicas: int = 0
    selector: str = ""
    state: EndpointState | None = None
    conditions: tuple[Condition, ...] = ()
    certificates: tuple[CertificateStatus, ...] = ()
    clients: int = 0
    last_wake: LastWake | None = None


class InferenceEndpoint(Shape):
    """The resource, parsed. Make one with `nightlatch.api.parse.parse_endpoint`."""

    metadata: ObjectMeta
    spec: EndpointSpec
    status: EndpointStatus = EndpointStatus()

    @property
    def model_name(self) -> str:
        """The name callers use: `spec.model.name`, else the object's own."""
        return self.spec.model.name or self.metadata.name
