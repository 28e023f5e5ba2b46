"""InferenceEndpoint: one model behind one gate. The whole shape of docs' api page; CEL rules ride on the models."""

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from nightlatch.api.meta import Conditions, NamespacedName, ObjectMeta, Shape
from nightlatch.api.rules import exactly_one, matching, rules
from nightlatch.api.scalars import (
    Digest,
    Duration,
    HostName,
    Name,
    Permission,
    Quantity,
    RateLimit,
    SecretKeyName,
    SecretReference,
)


class PvcSource(Shape):
    """A directory on a PersistentVolumeClaim of the endpoint's namespace."""

    claim_name: SecretKeyName
    path: Annotated[str, Field(max_length=1024)] = ""


class ImageSource(Shape):
    """A model package in an OCI image, by digest."""

    reference: Annotated[
        str,
        Field(
            pattern=r"^.+@sha256:[0-9a-f]{64}$",
            max_length=512,
            json_schema_extra=matching(
                "^.+@sha256:[0-9a-f]{64}$",
                "a tag can move: write the image with its digest, REGISTRY/NAME@sha256:DIGEST",
            ),
        ),
    ]


class ModelSource(Shape):
    """Where the model package comes from: exactly one of pvc, uri, image and path."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            (
                exactly_one("pvc", "uri", "image", "path"),
                "write exactly one of pvc, uri, image and path: a model has one source",
            ),
            (
                "!has(self.secretRef) || has(self.uri)",
                "secretRef holds the credentials for uri: write uri as well, or remove secretRef",
            ),
        )
    )

    pvc: PvcSource | None = None
    uri: (
        Annotated[
            str,
            Field(
                pattern=r"^(https|s3)://.+$",
                max_length=2048,
                json_schema_extra=matching("^(https|s3)://.+$", "write a URI that starts with https:// or s3://"),
            ),
        ]
        | None
    ) = None
    """Fetched once, before the first start. https:// or s3://."""
    secret_ref: SecretReference | None = None
    """Credentials for `uri`."""
    image: ImageSource | None = None
    path: Annotated[str, Field(min_length=1, max_length=4096)] | None = None
    """A directory of this machine; for `nightlatch up` only."""


class Model(Shape):
    """What is served, and under which name callers ask for it."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9]([-._A-Za-z0-9]*[A-Za-z0-9])?$", max_length=128)] | None = None
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


class Resources(Shape):
    """Container resources: `cpu`, `memory`, `nvidia.com/gpu`, …"""

    requests: Annotated[dict[str, Quantity], Field(max_length=16)] = Field(default_factory=dict)
    limits: Annotated[dict[str, Quantity], Field(max_length=16)] = Field(default_factory=dict)


class Runtime(Shape):
    """How the model is served. Default: the bundled torch server. An allow-list, no raw pod template."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            (
                "!has(self.image) || has(self.protocol)",
                "an image of your own needs protocol: write protocol: OpenInference or protocol: OpenAI",
            ),
            (
                "has(self.image) || !(has(self.port) || has(self.readinessPath))",
                "port and readinessPath belong to an image of your own: write image as well, or remove them",
            ),
        )
    )

    image: Annotated[str, Field(min_length=1, max_length=512)] | None = None
    protocol: Literal["OpenInference", "OpenAI"] | None = None
    args: Annotated[tuple[Annotated[str, Field(max_length=1024)], ...], Field(max_length=64)] = ()
    env: Annotated[
        tuple[EnvVar, ...],
        Field(
            max_length=64,
            json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
        ),
    ] = ()
    resources: Resources | None = None
    node_selector: Annotated[dict[str, Annotated[str, Field(max_length=63)]], Field(max_length=32)] = Field(
        default_factory=dict
    )
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

    model_config = ConfigDict(
        json_schema_extra=rules(
            (
                "self.minReplicas <= self.maxReplicas",
                "minReplicas is above maxReplicas: lower minReplicas or raise maxReplicas",
            )
        )
    )

    min_replicas: Annotated[int, Field(ge=0, le=100)] = 0
    """Replicas that stay while nobody calls; 0 lets the endpoint sleep."""
    max_replicas: Annotated[int, Field(ge=1, le=100)] = 1
    target_concurrency: Annotated[int, Field(ge=1, le=10000)] = 8
    """Calls in flight and held, for each replica, that the autoscaler aims at."""
    idle_after: Duration = "5m"
    """How long without a call before the endpoint goes to sleep."""
    idle: Literal["Zero", "Standby"] = "Zero"
    """What sleep is: no process (Zero), or one with its weights dropped (Standby; bundled runtime only)."""
    hold: Hold = Hold()
    mode: Literal["Managed", "External"] = "Managed"


class ApiKeyAccess(Shape):
    """API keys of InferenceClients."""


class TokenIssuerReference(Shape):
    """A TokenIssuer of the endpoint's namespace."""

    name: Name


class TokenAccess(Shape):
    """Tokens of the named issuers."""

    issuers: Annotated[tuple[TokenIssuerReference, ...], Field(min_length=1, max_length=16)]


class MtlsAccess(Shape):
    """Client certificates from our CA, or from extra trust."""

    trust: Annotated[tuple["TrustReference", ...], Field(max_length=8)] = ()


class TrustReference(Shape):
    """A Secret with a `ca.crt` bundle."""

    secret_name: SecretKeyName


class RuleWhen(Shape):
    """Every named claim must hold one of the values."""

    claims: Annotated[
        dict[str, Annotated[tuple[Annotated[str, Field(max_length=256)], ...], Field(min_length=1, max_length=64)]],
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
_ACCEPTS_ONLY_ENABLED = (
    "!has(self.accept) || self.accept.all(group, group.all(name, "
    "(name == 'apiKey' && has(self.apiKey)) || (name == 'jwt' && has(self.jwt)) || "
    "(name == 'oauth2' && has(self.oauth2)) || (name == 'mtls' && has(self.mtls))))"
)


class Access(Shape):
    """Who gets in. At least one mechanism; the gate is never open to everyone."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            (
                "has(self.apiKey) || has(self.jwt) || has(self.oauth2) || has(self.mtls)",
                "write at least one of apiKey, jwt, oauth2 and mtls, such as apiKey: {}: no endpoint is open to all",
            ),
            (
                _ACCEPTS_ONLY_ENABLED,
                "accept names a mechanism that is not there: write it beside accept, or remove it from accept",
            ),
        )
    )

    api_key: ApiKeyAccess | None = None
    jwt: TokenAccess | None = None
    oauth2: TokenAccess | None = None
    mtls: MtlsAccess | None = None
    accept: (
        Annotated[
            tuple[Annotated[tuple[Mechanism, ...], Field(min_length=1, max_length=4)], ...],
            Field(min_length=1, max_length=8),
        ]
        | None
    ) = None
    """Any of these lists, all within one. Default: each enabled mechanism alone."""
    rules: Annotated[tuple[Rule, ...], Field(max_length=32)] = ()
    allowed_namespaces: NamespaceSelector | None = None


class CertManagerIssuer(Shape):
    """A cert-manager issuer."""

    name: SecretKeyName
    kind: Annotated[str, Field(max_length=64)] = "Issuer"
    group: Annotated[str, Field(max_length=253)] = "cert-manager.io"


class Tls(Shape):
    """The endpoint's server certificate."""

    dns_names: Annotated[tuple[HostName, ...], Field(max_length=16)] = ()
    issuer_ref: CertManagerIssuer | None = None
    duration: Duration = "24h"
    renew_before: Duration = "8h"


class EndpointSpec(Shape):
    """What is served, who may call it, and when it sleeps."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            (
                "!(has(self.runtime.image) && self.scaling.idle == 'Standby')",
                "idle: Standby is for the bundled runtime: write idle: Zero, or remove runtime.image",
            )
        )
    )

    model: Model
    runtime: Runtime = Runtime()
    request_timeout: Duration = "60s"
    """The longest a call may take once the endpoint is awake."""
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
    """What the operator last saw."""

    observed_generation: int = 0
    url: str = ""
    replicas: int = 0
    selector: str = ""
    state: EndpointState | None = None
    access: str = ""
    """The enabled mechanisms, such as `apiKey,mtls`."""
    conditions: Conditions = ()
    certificates: tuple[CertificateStatus, ...] = ()
    clients: int = 0
    last_wake: LastWake | None = None


class InferenceEndpoint(Shape):
    """One model behind one gate: asleep until a caller proved who it is."""

    # Parsed from a raw object by nightlatch.api.validation.parse.parse_endpoint.
    metadata: ObjectMeta
    spec: EndpointSpec
    status: EndpointStatus = EndpointStatus()

    @property
    def key(self) -> NamespacedName:
        """Namespace and name."""
        return self.metadata.key

    @property
    def model_name(self) -> str:
        """The name callers use: `spec.model.name`, else the object's own."""
        return self.spec.model.name or self.metadata.name
