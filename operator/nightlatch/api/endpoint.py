"""InferenceEndpoint: one model that is served, who may call it, and when it sleeps.

The docstrings of models and fields are what `kubectl explain` and docs/reference/api.md show.
"""

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from nightlatch.api.meta import GROUP, Conditions, Generation, NamespacedName, ObjectMeta, Shape, Timestamp
from nightlatch.api.references import AllowedNamespaces, CertManagerIssuer, IssuerReference
from nightlatch.api.rules import AS_SET, RENEWAL, as_map, exactly_one, matching, rules, worded
from nightlatch.api.scalars import (
    LABEL_KEYS,
    CertificateDigest,
    Digest,
    Duration,
    HostName,
    LabelKey,
    LabelValue,
    Permission,
    Quantity,
    RateLimit,
    SecretKeyName,
    SecretReference,
    within,
)

_METRIC = "^[a-zA-Z_:][a-zA-Z0-9_:]*$"
_METRIC_NAME = worded(
    _METRIC, "write a metric's name of letters, digits, ':' and '_', such as vllm:num_requests_waiting", 256
)
_REPOSITORY = "([A-Za-z0-9][-A-Za-z0-9.]*(:[0-9]+)?/)?[a-z0-9]+([-._]+[a-z0-9]+)*(/[a-z0-9]+([-._]+[a-z0-9]+)*)*"
_TAG = "(:[A-Za-z0-9_][-A-Za-z0-9_.]*)?"
_DIGEST = "@sha256:[0-9a-f]{64}"
# Others than these are of a domain.
_RESOURCES = (
    (
        "self.all(key, key in ['cpu', 'memory', 'ephemeral-storage'] || key.startsWith('hugepages-') || "
        "key.matches('^[a-z0-9][-a-z0-9.]*/[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$'))"
    ),
    "not a resource: write cpu, memory, ephemeral-storage, hugepages-SIZE, or one with its domain as nvidia.com/gpu",
)


def _cron_field(value: str) -> str:
    part = f"([*]|{value}(-{value})?)(/[1-9][0-9]?)?"
    return f"{part}(,{part})*"


_CRON = " ".join(
    map(
        _cron_field,
        (
            "[0-5]?[0-9]",
            "([01]?[0-9]|2[0-3])",
            "(0?[1-9]|[12][0-9]|3[01])",
            "(0?[1-9]|1[0-2]|JAN|FEB|MAR|APR|MAY|JUN|JUL|AUG|SEP|OCT|NOV|DEC)",
            "([0-6]|SUN|MON|TUE|WED|THU|FRI|SAT)",
        ),
    )
)
_OF_OURS = f"key.startsWith('{GROUP}/') || key.contains('.{GROUP}/')"
_NOT_OUR_LABELS = (
    (
        f"self.all(key, !({_OF_OURS} || "
        "key in ['app.kubernetes.io/name', 'app.kubernetes.io/instance', 'app.kubernetes.io/managed-by']))"
    ),
    f"Nightlatch sets the labels under {GROUP}/ and app.kubernetes.io/name, instance and managed-by: use other keys",
)
_NOT_OUR_ANNOTATIONS = (
    f"self.all(key, !({_OF_OURS} || key.startsWith('container.apparmor.security.beta.kubernetes.io/')))",
    f"annotations under {GROUP}/ and those that turn AppArmor off are not for pods of an endpoint: use other keys",
)


class PvcSource(Shape):
    """A directory on a PersistentVolumeClaim."""

    claim_name: SecretKeyName
    """A PersistentVolumeClaim in the endpoint's namespace."""
    path: Annotated[str, Field(max_length=1024)] = ""
    """Directory of the model package on the volume. Default: the root of the volume."""


class ImageSource(Shape):
    """A model package in an OCI image."""

    reference: Annotated[
        str,
        worded(
            f"^{_REPOSITORY}{_TAG}{_DIGEST}$",
            "a tag can move: write the image with its digest, REGISTRY/NAME@sha256:DIGEST",
            512,
        ),
    ]
    """The image with its digest, REGISTRY/NAME@sha256:DIGEST."""


class Storage(Shape):
    """The volume that keeps a downloaded model package."""

    size: Quantity = "10Gi"
    """The size of the PersistentVolumeClaim."""
    storage_class_name: SecretKeyName | None = None
    """The StorageClass of the PersistentVolumeClaim. Default: the cluster's default class."""


class ModelSource(Shape):
    """Where the model package comes from. Write exactly one of pvc, uri, image and path."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            (
                exactly_one("pvc", "uri", "image", "path"),
                "write exactly one of pvc, uri, image and path: a model has one source",
            ),
            (
                (
                    "has(self.uri) || !(has(self.secretRef) || has(self.caSecretRef) || has(self.storage)"
                    " || has(self.sizeLimit))"
                ),
                "secretRef, caSecretRef, storage and sizeLimit are about uri: write uri as well, or remove them",
            ),
        )
    )

    pvc: PvcSource | None = None
    """A directory on a PersistentVolumeClaim. For clusters; with `nightlatch up`, `--claim NAME=DIR` names a directory
    that stands in for the volume."""
    uri: (
        Annotated[
            str,
            worded(
                "^(https|s3)://[^/?#@ ]+([/?][!-~]*)?$",
                "write a URI that starts with https:// or s3:// and a host or bucket, without blanks or a user's name",
                2048,
            ),
        ]
        | None
    ) = None
    """Address to download the model package from, https:// or s3://. Not supported yet."""
    secret_ref: SecretReference | None = None
    """A Secret with the credentials for `uri`. It needs the label `nightlatch.dev/use: credentials`."""
    ca_secret_ref: SecretReference | None = None
    """A Secret whose `ca.crt` holds the CA certificates of the server at `uri`. It needs the label
    `nightlatch.dev/use: trust`. Default: the CAs that the operating system trusts."""
    storage: Storage | None = None
    """The volume that keeps the downloaded package. Default: 10Gi of the cluster's default StorageClass."""
    size_limit: Quantity | None = None
    """The most that is downloaded. Default: the size of the volume."""
    image: ImageSource | None = None
    """A model package in an OCI image. Not supported yet."""
    path: Annotated[str, Field(min_length=1, max_length=4096)] | None = None
    """A directory on this machine, relative to the manifest. For `nightlatch up` only."""


class Model(Shape):
    """The model that is served."""

    name: (
        Annotated[
            str,
            worded(
                "^[A-Za-z0-9]([-._A-Za-z0-9]*[A-Za-z0-9])?$",
                "write a model's name of letters, digits, '-', '_' and '.', with a letter or digit first and last",
                128,
            ),
        ]
        | None
    ) = None
    """The name that callers use: in /v2/models/NAME and as `model` in OpenAI requests. Default: the endpoint's name."""
    source: ModelSource
    digest: Digest | None = None
    """The digest of the model package, as `nightlatch package` prints it. The model server refuses to load a package
    that has another one."""


class EnvVar(Shape):
    """An environment variable with a plain value. Do not put secrets here."""

    name: Annotated[
        str,
        worded(
            "^[A-Za-z_][A-Za-z0-9_]*$", "write a variable's name of letters, digits and '_', with no digit first", 128
        ),
    ]
    """The variable's name."""
    value: Annotated[str, Field(max_length=4096)] = ""
    """The variable's value."""


class Toleration(Shape):
    """A toleration, as in a PodSpec."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            (
                "has(self.key) || (has(self.operator) && self.operator == 'Exists')",
                "a toleration without key is for every taint: write operator: Exists, or a key",
            ),
            (
                "!has(self.value) || !has(self.operator) || self.operator == 'Equal'",
                "Exists ignores the value: remove value, or write operator: Equal",
            ),
            (
                "!has(self.tolerationSeconds) || (has(self.effect) && self.effect == 'NoExecute')",
                "tolerationSeconds is about NoExecute: write effect: NoExecute, or remove it",
            ),
        )
    )

    key: LabelKey | None = None
    """The taint's key. Left out: every taint."""
    operator: Literal["Exists", "Equal"] | None = None
    """`Exists` ignores the taint's value, `Equal` compares it. Left out: `Equal`."""
    value: LabelValue | None = None
    """The taint's value, for `Equal`."""
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = None
    """The taint's effect. `NoSchedule`: no new pods on the node. `PreferNoSchedule`: none if it can be helped.
    `NoExecute`: pods that run there leave as well. Left out: every effect."""
    toleration_seconds: Annotated[int, Field(json_schema_extra={"format": "int64"})] | None = None
    """How long the pod stays on a node with a NoExecute taint. Left out: forever."""


class Resources(Shape):
    """Requests and limits of the container, such as cpu, memory and nvidia.com/gpu."""

    requests: Annotated[dict[str, Quantity], Field(max_length=16, json_schema_extra=rules(_RESOURCES))] = Field(
        default_factory=dict
    )
    """What the scheduler reserves for the container, by resource name."""
    limits: Annotated[dict[str, Quantity], Field(max_length=16, json_schema_extra=rules(_RESOURCES))] = Field(
        default_factory=dict
    )
    """The most that the container may use, by resource name."""


class TopologySpread(Shape):
    """How the pods of the endpoint are spread over nodes, zones or other places."""

    topology_key: LabelKey
    """The label of nodes whose values are the places, such as `topology.kubernetes.io/zone`."""
    max_skew: Annotated[int, Field(ge=1, le=100)] = 1
    """By how many pods two places may differ."""
    when_unsatisfiable: Literal["ScheduleAnyway", "DoNotSchedule"] = "ScheduleAnyway"
    """`ScheduleAnyway`: prefer places with fewer pods. `DoNotSchedule`: leave a pod pending rather than break
    `maxSkew`."""


class RuntimeOperation(Shape):
    """An operation of your own runtime, beyond those of its protocol."""

    method: Literal["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]
    """The HTTP method: `GET`, `HEAD`, `POST`, `PUT`, `PATCH` or `DELETE`."""
    path: Annotated[
        str,
        Field(
            max_length=256,
            json_schema_extra=matching(
                "^(/([-A-Za-z0-9._~]+|[{][a-z]+[}]))+$",
                "write a path such as /v1/rerank; a segment of the form {name} stands for any one segment",
            ),
        ),
    ]
    """The path, such as /v1/rerank. A segment of the form {name} stands for any one segment."""
    permission: Permission
    """The permission that a caller needs for it. `infer`: to use the model, which also wakes it. `metadata`: to read
    about it. `health`: to ask whether it works. `metrics`: to read its metrics."""


class RuntimeGauges(Shape):
    """The gauges in which your own runtime says how busy it is."""

    waiting: Annotated[str, _METRIC_NAME] | None = None
    """The gauge of calls that wait in the runtime, such as vllm:num_requests_waiting."""
    running: Annotated[str, _METRIC_NAME] | None = None
    """The gauge of calls that the runtime works on, such as vllm:num_requests_running."""


class Runtime(Shape):
    """How the model is served. Default: the bundled model server."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            (
                "!(has(self.image) && has(self.command))",
                "image is for clusters and command for `nightlatch up`: write one of them",
            ),
            (
                "has(self.protocol) || !(has(self.image) || has(self.command))",
                "a runtime of your own needs protocol: write protocol: OpenInference or protocol: OpenAI",
            ),
            (
                (
                    "has(self.image) || has(self.command) || !(has(self.port) || has(self.readinessPath)"
                    " || has(self.operations) || has(self.gauges))"
                ),
                (
                    "port, readinessPath, operations and gauges are of a runtime of your own: write image as well, or "
                    "remove them"
                ),
            ),
        )
    )

    image: (
        Annotated[
            str,
            worded(
                f"^{_REPOSITORY}{_TAG}({_DIGEST})?$",
                "not an image: write REGISTRY/NAME:TAG or REGISTRY/NAME@sha256:DIGEST, the name in lower case",
                512,
            ),
        ]
        | None
    ) = None
    """A container image of your own in place of the bundled model server. Not supported yet."""
    command: (
        Annotated[tuple[Annotated[str, Field(min_length=1, max_length=1024)], ...], Field(min_length=1, max_length=64)]
        | None
    ) = None
    """A program of your own in place of the bundled model server, with its arguments. For `nightlatch up` only. Not
    supported yet."""
    protocol: Literal["OpenInference", "OpenAI"] | None = None
    """The API that the model server speaks. Required with `image` and `command`. The bundled model server speaks both;
    naming one leaves only the operations of that API open. `OpenInference`: the Open Inference Protocol v2. `OpenAI`:
    the OpenAI API."""
    args: Annotated[tuple[Annotated[str, Field(max_length=1024)], ...], Field(max_length=64)] = ()
    """More arguments for the model server."""
    env: Annotated[tuple[EnvVar, ...], Field(max_length=64, json_schema_extra=as_map("name"))] = ()
    """More environment variables for the model server."""
    resources: Resources | None = None
    """Requests and limits of the container, such as cpu, memory and nvidia.com/gpu. Cluster only."""
    node_selector: Annotated[
        dict[str, LabelValue],
        Field(max_length=32, json_schema_extra=rules(LABEL_KEYS)),
    ] = Field(default_factory=dict)
    """Labels that a node must have to run the pods. Cluster only."""
    tolerations: Annotated[tuple[Toleration, ...], Field(max_length=16)] = ()
    """Taints that the pods tolerate. The administrator decides which are allowed
    (`modelServer.allowedTolerations` of the chart). Cluster only."""
    image_pull_secrets: Annotated[
        tuple[SecretReference, ...], Field(max_length=8, json_schema_extra=as_map("name"))
    ] = ()
    """Secrets with which the image is pulled. Cluster only."""
    runtime_class_name: SecretKeyName | None = None
    """The RuntimeClass of the pods. The administrator decides which are allowed (`modelServer.allowedRuntimeClasses` of
    the chart). Cluster only."""
    priority_class_name: SecretKeyName | None = None
    """The PriorityClass of the pods. The administrator decides which are allowed (`modelServer.allowedPriorityClasses`
    of the chart; none by default). Cluster only."""
    pod_labels: Annotated[
        dict[str, LabelValue],
        Field(max_length=32, json_schema_extra=rules(LABEL_KEYS, _NOT_OUR_LABELS)),
    ] = Field(default_factory=dict)
    """More labels of the pods. Cluster only."""
    pod_annotations: Annotated[
        dict[str, Annotated[str, Field(max_length=4096)]],
        Field(max_length=32, json_schema_extra=rules(LABEL_KEYS, _NOT_OUR_ANNOTATIONS)),
    ] = Field(default_factory=dict)
    """Annotations of the pods. Cluster only."""
    topology_spread: Annotated[
        tuple[TopologySpread, ...], Field(max_length=8, json_schema_extra=as_map("topologyKey"))
    ] = ()
    """How the pods are spread. Default: over nodes, where possible. Cluster only."""
    shared_memory: Quantity | None = None
    """Size of /dev/shm. Cluster only."""
    port: Annotated[int, Field(ge=1, le=65535)] | None = None
    """The port on which your own image listens. Needs `image`. Not supported yet."""
    readiness_path: (
        Annotated[str, worded("^/[-A-Za-z0-9._~/]*$", "write a path that begins with '/', such as /health", 256)] | None
    ) = None
    """The path on which your own image says that it is ready. Needs `image`. Not supported yet."""
    operations: (
        Annotated[
            tuple[RuntimeOperation, ...], Field(min_length=1, max_length=64, json_schema_extra=as_map("method", "path"))
        ]
        | None
    ) = None
    """Operations of your own runtime, beyond those of its protocol. Needs `image` or `command`. Not supported yet."""
    gauges: RuntimeGauges | None = None
    """The gauges in which your own runtime says how busy it is. Those of vLLM, Triton and TEI are known. Needs `image`
    or `command`. Not supported yet."""


class Hold(Shape):
    """Limits for calls that wait while the endpoint wakes. Every gateway counts for itself."""

    timeout: Annotated[Duration, within("1ms", "1h")] = "45s"
    """How long a call waits for the endpoint to wake before it is answered 503."""
    max_requests: Annotated[int, Field(ge=1, le=10000)] = 256
    """How many calls may wait at the same time. One more is answered 429."""


class Schedule(Shape):
    """A time at which replicas run before anybody calls."""

    cron: Annotated[
        str,
        worded(
            f"^{_CRON}$",
            "write the five fields of cron with one blank between them, such as 0 8 * * 1-5, each within its range",
            64,
        ),
    ]
    """When it begins, as in a CronJob, in UTC: minute, hour, day of the month, month, day of the week."""
    duration: Annotated[Duration, within("1m")]
    """How long it lasts."""
    min_replicas: Annotated[int, Field(ge=1, le=100)] = 1
    """Replicas that run meanwhile, also without calls."""


class Scaling(Shape):
    """When the endpoint wakes and sleeps, and how many replicas it runs."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            (
                "self.minReplicas <= self.maxReplicas",
                "minReplicas is above maxReplicas: lower minReplicas or raise maxReplicas",
            ),
            (
                "!has(self.schedule) || self.schedule.all(each, each.minReplicas <= self.maxReplicas)",
                "minReplicas of a schedule is above maxReplicas: lower it or raise maxReplicas",
            ),
        )
    )

    min_replicas: Annotated[int, Field(ge=0, le=100)] = 0
    """Replicas that keep running when there are no calls. 0 lets the endpoint sleep."""
    max_replicas: Annotated[int, Field(ge=1, le=100)] = 1
    """The most replicas. Values above 1 are accepted, but one replica runs until autoscaling is supported; the
    condition `ReplicasCapped` says so."""
    target_concurrency: Annotated[int, Field(ge=1, le=10000)] = 8
    """How many calls, in flight or waiting, the autoscaler plans for each replica."""
    max_concurrency: Annotated[int, Field(ge=1, le=10000)] | None = None
    """The most calls that one replica works on at the same time. More wait in the gateway. Default: no such limit. Not
    supported yet."""
    idle_after: Annotated[Duration, within("1s")] = "5m"
    """How long the endpoint stays awake after its last call."""
    scale_down_delay: Annotated[Duration, within("1s")] = "60s"
    """How long fewer replicas must have been enough before one is stopped. `idleAfter` decides about the last one.
    Other values are not supported yet."""
    start_deadline: Annotated[Duration, within("10s")] = "15m"
    """How long a start may take before it has failed. Not supported yet: a start that hangs may go on for longer, and
    other values than the default are refused. `hold.timeout` bounds how long a call waits for it."""
    schedule: Annotated[tuple[Schedule, ...], Field(max_length=16, json_schema_extra=as_map("cron"))] = ()
    """Times at which replicas run before anybody calls. Not supported yet."""
    idle: Literal["Zero", "Standby"] = "Zero"
    """What sleeping means. `Zero` stops the model server. `Standby` keeps it running without the model's weights; it is
    for the bundled model server. Standby is not supported yet."""
    hold: Hold = Hold()
    mode: Literal["Managed", "External"] = "Managed"
    """Who sets the number of replicas. `Managed`: Nightlatch. `External`: a scaler of your own; not supported yet."""


class ApiKeyAccess(Shape):
    """Accept the API keys of InferenceClients. It has no fields; write apiKey: {}."""


_ISSUER_KEYS = as_map("kind", "namespace", "name")


class JwtAccess(Shape):
    """Accept the JWTs of these issuers."""

    issuers: Annotated[tuple[IssuerReference, ...], Field(min_length=1, max_length=16, json_schema_extra=_ISSUER_KEYS)]
    """The TokenIssuers whose tokens are accepted."""


class OAuth2Access(Shape):
    """Accept opaque tokens of this issuer."""

    issuers: Annotated[
        tuple[IssuerReference, ...],
        Field(
            min_length=1,
            max_length=16,
            json_schema_extra={
                **_ISSUER_KEYS,
                **rules(
                    (
                        "self.size() <= 1",
                        "write one issuer: a second one would be shown the tokens of the first; use jwt for the others",
                    )
                ),
            },
        ),
    ]
    """The TokenIssuer that is asked whether a token is valid. At most one."""


class TrustReference(Shape):
    """A Secret with a CA bundle."""

    secret_name: SecretKeyName
    """A Secret in the endpoint's namespace whose `ca.crt` holds the CA certificates. It needs the label
    `nightlatch.dev/use: trust`. With `nightlatch up`, `--trust NAMESPACE/NAME=FILE` names a file that stands in for
    it."""


class MtlsAccess(Shape):
    """Accept client certificates: those of Nightlatch's own CA, or with `trust` those of other CAs."""

    trust: Annotated[tuple[TrustReference, ...], Field(max_length=8, json_schema_extra=as_map("secretName"))] = ()
    """The CAs whose client certificates are accepted, instead of Nightlatch's own. Callers are then those that a rule
    names in `when.certificates`, and InferenceClients whose `certificate.issuerRef` is set. Left out: Nightlatch's own
    CA, and callers are the InferenceClients with a certificate that name this endpoint."""
    revoked_digests: Annotated[
        tuple[CertificateDigest, ...],
        Field(max_length=64, json_schema_extra=AS_SET),
    ] = ()
    """SHA-256 digests of certificates that this endpoint refuses from now on, also on open connections, such as those
    of other CAs. A client's own are revoked everywhere with `certificate.revokedDigests`."""


_RULE_NAMES_SOMETHING = (
    "(has(self.claims) && self.claims.size() > 0) || (has(self.clients) && self.clients.size() > 0) || "
    "(has(self.certificates) && self.certificates.size() > 0)"
)


class RuleWhen(Shape):
    """Which calls a rule is about. Everything that is written here must hold; at least one of them is required."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            (
                _RULE_NAMES_SOMETHING,
                "write claims, clients or certificates, or leave when out for all that carry no permission themselves",
            )
        )
    )

    claims: Annotated[
        dict[
            str,
            Annotated[
                tuple[Annotated[str, Field(max_length=256)], ...],
                Field(min_length=1, max_length=64, json_schema_extra=AS_SET),
            ],
        ],
        Field(max_length=16),
    ] = Field(default_factory=dict)
    """Claims of a token. Every claim named here must have one of the listed values, whole and in this case; a list has
    each of its entries, and `scope` each of its words. Dots lead to claims inside others, such as
    realm_access.roles; a claim whose name is a URL is taken whole, and so is kubernetes.io."""
    clients: Annotated[
        tuple[
            Annotated[
                str,
                Field(
                    max_length=127,
                    json_schema_extra=matching(
                        "^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?/[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$",
                        "write an InferenceClient as NAMESPACE/NAME",
                    ),
                ),
            ],
            ...,
        ],
        Field(max_length=64, json_schema_extra=AS_SET),
    ] = ()
    """InferenceClients as NAMESPACE/NAME. The caller must have an API key or a certificate of one of them. The
    InferenceClient must name this endpoint itself; the rule gives it more than its own `permissions`."""
    certificates: Annotated[
        tuple[
            Annotated[
                str,
                Field(
                    max_length=512,
                    json_schema_extra=matching(
                        "^([a-z][-+.a-z0-9]*:[!-+--~]+|[a-z0-9]([-.a-z0-9]*[a-z0-9])?)$",
                        "write the URI in the certificate's subjectAltName, such as spiffe://corp.example/ml/trainer, "
                        "or a DNS name in lower case",
                    ),
                ),
            ],
            ...,
        ],
        Field(max_length=64, json_schema_extra=AS_SET),
    ] = ()
    """The names of client certificates of other CAs (`mtls.trust`). The one URI in the subjectAltName of the caller's
    certificate, or the one DNS name of a certificate without a URI, must be one of them. The common name never
    counts."""


class Rule(Shape):
    """Permissions for credentials, beside those that they carry themselves."""

    permissions: Annotated[tuple[Permission, ...], Field(min_length=1, max_length=4, json_schema_extra=AS_SET)]
    """What the rule permits."""
    when: RuleWhen | None = None
    """Which credentials the rule is about. Left out: all tokens and certificates that carry no permission
    themselves."""


Mechanism = Literal["apiKey", "jwt", "oauth2", "mtls"]
_ACCEPTS_ONLY_ENABLED = (
    "!has(self.accept) || self.accept.all(group, group.all(name, "
    "(name == 'apiKey' && has(self.apiKey)) || (name == 'jwt' && has(self.jwt)) || "
    "(name == 'oauth2' && has(self.oauth2)) || (name == 'mtls' && has(self.mtls))))"
)


_NO_MECHANISM_TWICE = (
    "!has(self.accept) || self.accept.all(group, group.all(name, group.exists_one(other, other == name)))"
)
_NO_COMBINATION_TWICE = (
    "!has(self.accept) || self.accept.all(group, "
    "self.accept.exists_one(other, other.size() == group.size() && other.all(name, name in group)))"
)
_RULES = "!has(self.rules) || self.rules.all(rule, !has(rule.when) || "
_CLAIMS_NEED_TOKENS = f"{_RULES}!has(rule.when.claims) || has(self.jwt) || has(self.oauth2))"
_CERTIFICATES_NEED_TRUST = f"{_RULES}!has(rule.when.certificates) || (has(self.mtls) && has(self.mtls.trust)))"
_CLIENTS_NEED_CREDENTIALS = f"{_RULES}!has(rule.when.clients) || has(self.apiKey) || has(self.mtls))"
# A rule that asks for several proofs in one call holds only where a list of `accept` does. The certificate of another
# CA is no client's, so beside such a one a client has an API key.
_SEVERAL_NEED_ALL = (
    f"{_RULES}"
    "[has(rule.when.claims), has(rule.when.certificates), has(rule.when.clients)].filter(asked, asked).size() < 2 || "
    "(has(self.accept) && self.accept.exists(group, "
    "(!has(rule.when.claims) || 'jwt' in group || 'oauth2' in group) && "
    "(!has(rule.when.certificates) || 'mtls' in group) && "
    "(!has(rule.when.clients) || 'apiKey' in group || ('mtls' in group && !has(rule.when.certificates))))))"
)


class Access(Shape):
    """Who may call the endpoint. At least one mechanism is required: no endpoint is open to everyone."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            (
                "has(self.apiKey) || has(self.jwt) || has(self.oauth2) || has(self.mtls)",
                "write at least one of apiKey, jwt, oauth2 and mtls, such as apiKey: {}: no endpoint is open to all",
            ),
            (
                _ACCEPTS_ONLY_ENABLED,
                "accept names a mechanism that is not enabled: enable it beside accept, or remove it from accept",
            ),
            (_NO_MECHANISM_TWICE, "a list of accept names a mechanism twice: write it once"),
            (
                _NO_COMBINATION_TWICE,
                "accept has two lists of the same mechanisms: keep one; its first mechanism says who the caller is",
            ),
            (_CLAIMS_NEED_TOKENS, "a rule asks for claims, which only tokens have: write jwt or oauth2 as well"),
            (
                _CERTIFICATES_NEED_TRUST,
                "a rule names certificates of another CA: write that CA in mtls.trust, or use clients for our own",
            ),
            (
                _CLIENTS_NEED_CREDENTIALS,
                "a rule names clients, whose credentials are API keys and certificates: write apiKey or mtls as well",
            ),
            (
                _SEVERAL_NEED_ALL,
                "a rule asks for several proofs in one call: write accept with a list of all of them, as [[mtls, jwt]]",
            ),
        )
    )

    api_key: ApiKeyAccess | None = None
    """Accept the API keys of InferenceClients that name this endpoint. It has no fields; write apiKey: {}."""
    jwt: JwtAccess | None = None
    """Accept JSON Web Tokens of these issuers. They are signed, not encrypted: whoever has one can read it."""
    oauth2: OAuth2Access | None = None
    """Accept opaque OAuth 2.0 tokens of one issuer, which checks them by introspection. Not supported yet."""
    mtls: MtlsAccess | None = None
    """Accept client certificates. A caller with a certificate that cannot be verified gets no answer at all, not even
    with another credential that is good."""
    accept: (
        Annotated[
            tuple[Annotated[tuple[Mechanism, ...], Field(min_length=1, max_length=4)], ...],
            Field(min_length=1, max_length=8),
        ]
        | None
    ) = None
    """Combinations of mechanisms. A call is let in when all mechanisms of one list succeed; the one named first says
    who the caller is. Default: each mechanism that is written here is enough alone. `apiKey`, `jwt`, `oauth2` and
    `mtls`: the mechanism of that name, which must be enabled."""
    rules: Annotated[tuple[Rule, ...], Field(max_length=32)] = ()
    """Permissions beside those that a credential carries itself: for tokens by their claims, for InferenceClients by
    their names, and for certificates of other CAs. Rules about tokens of an `oauth2` issuer are not supported yet."""
    allowed_namespaces: AllowedNamespaces = AllowedNamespaces()
    """The namespaces whose InferenceClients may name this endpoint. Those of its own namespace always may."""


class Tls(Shape):
    """The certificate that callers see."""

    model_config = ConfigDict(json_schema_extra=rules(RENEWAL))

    dns_names: Annotated[tuple[HostName, ...], Field(max_length=16, json_schema_extra=AS_SET)] = ()
    """More host names under which callers reach the endpoint. Not supported yet."""
    issuer_ref: CertManagerIssuer | None = None
    """A cert-manager issuer to get the certificate from. Cluster only, and only if the administrator enabled it. The
    certificate and its key then lie in the endpoint's namespace, in the Secret of the endpoint's name with
    `-serving-cert` after it. Default: Nightlatch's own CA."""
    duration: Annotated[Duration, within("10m")] = "24h"
    """How long a certificate is valid."""
    renew_before: Annotated[Duration, within("1m")] | None = None
    """How long before its end a certificate is renewed. At least a minute shorter than `duration`. Default: a third of
    `duration`."""


class EndpointSpec(Shape):
    """What is served, who may call it, and when it sleeps."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            (
                "self.scaling.idle != 'Standby' || !(has(self.runtime.image) || has(self.runtime.command))",
                "idle: Standby is for the bundled runtime: write idle: Zero, or remove runtime.image or command",
            )
        )
    )

    model: Model
    runtime: Runtime = Runtime()
    request_timeout: Annotated[Duration, within("1ms", "24h")] = "60s"
    """How long a call may take once the endpoint is awake. The time for waking is not counted."""
    scaling: Scaling = Scaling()
    access: Access
    rate_limit: RateLimit | None = None
    """How many calls each client may make, over all gateways: each lets through its share. A client's own limit applies
    where it is the stricter one."""
    tls: Tls = Tls()


EndpointState = Literal["Asleep", "Waking", "Awake", "Draining"]


class CertificateStatus(Shape):
    """One certificate of the endpoint."""

    role: str
    """`server-tls`: the certificate that callers see. `upstream-tls`: the certificate of the model server, which the
    gateway checks."""
    serial: str
    """Serial number, in hexadecimal digits."""
    not_after: Timestamp
    """When it ends."""
    renew_at: Timestamp
    """When it will be renewed."""


class LastWake(Shape):
    """The last wake that finished."""

    at: Timestamp
    """When it finished."""
    duration: str
    """How long it took, from the first waiting call until calls were let through."""
    phases: dict[str, int] = Field(default_factory=dict)
    """The parts of that time, in milliseconds by name."""


class GatewaysStatus(Shape):
    """The gateways of the installation, counted."""

    members: int
    """How many there are."""
    applied: int
    """How many serve the endpoint as its newest configuration says."""
    disconnected: int
    """How many do not report, so that revocations may not reach them."""


class TensorStatus(Shape):
    """One input or output of the model."""

    name: Annotated[str, Field(max_length=128)]
    """The tensor's name."""
    datatype: Annotated[str, Field(max_length=16)]
    """The type of its elements, as the Open Inference Protocol names it, such as FP32."""
    shape: Annotated[tuple[Annotated[int, Field(json_schema_extra={"format": "int64"})], ...], Field(max_length=16)]
    """Its sizes; -1 stands for any."""


_TENSORS = Field(
    max_length=64,
    json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
)


class ModelSignature(Shape):
    """What the model takes and gives."""

    inputs: Annotated[tuple[TensorStatus, ...], _TENSORS]
    """The model's inputs."""
    outputs: Annotated[tuple[TensorStatus, ...], _TENSORS]
    """The model's outputs."""


class ModelStatus(Shape):
    """The model as its server described it when it last started."""

    signature: ModelSignature
    digest: Annotated[str, Field(max_length=128)] | None = None
    """The digest of the model package that was loaded. Left out: the model server does not say."""


class EndpointStatus(Shape):
    """What the operator last observed."""

    observed_generation: Generation = 0
    """The newest `metadata.generation` that the operator has seen. 0: none yet. Each condition has one of its own."""
    url: str = ""
    """Where callers reach the endpoint."""
    replicas: int = 0
    """Model servers that run now."""
    state: EndpointState | None = None
    """`Asleep`: no model server runs. `Waking`: one is starting. `Awake`: calls are answered. `Draining`: the endpoint
    is about to sleep and finishes its last calls."""
    access: str = ""
    """The mechanisms that are enabled, such as `apiKey,mtls`."""
    conditions: Conditions = ()
    """Whether the endpoint works, and if not, why. `Ready` sums up the others and stays True while the endpoint
    sleeps."""
    gateways: GatewaysStatus | None = None
    model: ModelStatus | None = None
    certificates: Annotated[
        tuple[CertificateStatus, ...],
        Field(
            max_length=8,
            json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["role"]},
        ),
    ] = ()
    """The endpoint's certificates."""
    clients: int = 0
    """How many InferenceClients may call the endpoint."""
    last_wake: LastWake | None = None


class InferenceEndpoint(Shape):
    """A model that is served to authenticated callers, and sleeps when there are no calls."""

    # Parsed from a raw object by nightlatch.api.validation.parse.parse_endpoint.
    metadata: ObjectMeta
    spec: EndpointSpec
    status: EndpointStatus = EndpointStatus()

    @property
    def key(self) -> NamespacedName:
        return self.metadata.key

    @property
    def model_name(self) -> str:
        """The name that callers use: `spec.model.name`, or the endpoint's own name."""
        return self.spec.model.name or self.metadata.name
