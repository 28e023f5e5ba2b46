"""InferenceClient: one caller, its credentials, and what it may do on which endpoints.

The docstrings of models and fields are what `kubectl explain` and docs/reference/api.md show.
"""

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from nightlatch.api.duration import parse_duration
from nightlatch.api.meta import Conditions, Generation, NamespacedName, ObjectMeta, Shape, Timestamp
from nightlatch.api.references import CertManagerIssuer
from nightlatch.api.rules import AS_SET, RENEWAL, as_map, matching, rules, shorter
from nightlatch.api.scalars import (
    CertificateDigest,
    Duration,
    Name,
    OwnNamespaceIfEmpty,
    Permission,
    RateLimit,
    SecretKeyName,
    Time,
    within,
)

LONGEST_DEFAULT_OVERLAP = "24h"


class EndpointGrant(Shape):
    """What this client may do on one endpoint. Two entries for it, with its namespace and without, add up."""

    name: Name
    """The InferenceEndpoint's name."""
    namespace: OwnNamespaceIfEmpty = ""
    """The InferenceEndpoint's namespace. Left out or empty: the client's own. An endpoint of another namespace must
    allow clients of this namespace (`access.allowedNamespaces`)."""
    permissions: Annotated[tuple[Permission, ...], Field(min_length=1, max_length=4, json_schema_extra=AS_SET)] = (
        "infer",
        "metadata",
    )
    """What the client may do. `infer`: to use the model. `metadata`: to read about it. `health`: to ask whether it
    works. `metrics`: to read its metrics."""

    def endpoint(self, client_namespace: str) -> NamespacedName:
        """The endpoint that a client in this namespace means."""
        return NamespacedName(self.namespace or client_namespace, self.name)


class ApiKey(Shape):
    """The client's API key and its rotation."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            (
                shorter("overlap", "rotateEvery"),
                "overlap must be shorter than rotateEvery: shorten it, or leave it out for half of rotateEvery",
            )
        )
    )

    rotate_every: Annotated[Duration, within("10m")] | None = None
    """How long a key is used before a new one takes its place, up to a tenth less so that clients do not all rotate at
    once. Left out: until you ask for a new key."""
    overlap: Duration | None = None
    """How long the previous key keeps working after a rotation; `0s` ends it at once. Must be shorter than
    `rotateEvery`. A shorter overlap also ends one under way. Default: 24h, or half of `rotateEvery` if that is less."""
    expires_at: Time | None = None
    """When every key of the client stops working."""
    secret_name: SecretKeyName | None = None
    """The Secret in which Nightlatch puts the key (`api-key`) together with `ca.crt`, the addresses of all endpoints
    (`endpoints.json`) and, if the client names one endpoint, its address (`url`). Default: the client's name with
    `-key` after it. Another name moves the keys, and the Secret of the name before is deleted."""
    revoked_key_ids: Annotated[
        tuple[
            Annotated[
                str,
                Field(
                    max_length=64,
                    json_schema_extra=matching(
                        "^[0-9A-Za-z]{12}$",
                        "not the id of a key: write the 12 characters between the first two underscores, never the key",
                    ),
                ),
            ],
            ...,
        ],
        Field(max_length=256, json_schema_extra=AS_SET),
    ] = ()
    """Ids of keys that are refused from now on, for good. A key that is replaced by no other gets a successor."""

    @property
    def overlap_seconds(self) -> float:
        """How long the previous key keeps working after a rotation: `overlap`, or a default that fits."""
        if self.overlap is not None:
            return parse_duration(self.overlap)
        longest = parse_duration(LONGEST_DEFAULT_OVERLAP)
        return longest if self.rotate_every is None else min(longest, parse_duration(self.rotate_every) / 2)


class ClientCertificate(Shape):
    """A certificate with which the client authenticates."""

    model_config = ConfigDict(json_schema_extra=rules(RENEWAL))

    duration: Annotated[Duration, within("10m")] = "24h"
    """How long a certificate is valid."""
    renew_before: Annotated[Duration, within("1m")] | None = None
    """How long before its end a certificate is renewed. At least a minute shorter than `duration`. Default: a third of
    `duration`."""
    secret_name: SecretKeyName | None = None
    """The Secret in which Nightlatch puts the certificate and its key (`tls.crt`, `tls.key`) together with `ca.crt` and
    the addresses of the endpoints. Default: the client's name with `-certificate` after it."""
    revoked_digests: Annotated[
        tuple[CertificateDigest, ...],
        Field(max_length=64, json_schema_extra=AS_SET),
    ] = ()
    """SHA-256 digests of certificates of this client that are refused from now on, also on open connections. The
    certificate that the client has now is in `status.certificate.sha256`; ask for another with `nightlatch renew`."""
    issuer_ref: CertManagerIssuer | None = None
    """A cert-manager issuer to get the certificate from. Endpoints then take it where their `access.mtls.trust` has the
    issuer's CA. Cluster only, and only if the administrator enabled it. Default: Nightlatch's own CA."""


class ClientSpec(Shape):
    """The caller's credentials, and what it may do on which endpoints."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            (
                "has(self.apiKey) || has(self.certificate)",
                "a client needs a credential: write apiKey: {} (or certificate: {})",
            )
        )
    )

    endpoints: Annotated[
        tuple[EndpointGrant, ...], Field(max_length=128, json_schema_extra=as_map("namespace", "name"))
    ] = ()
    """The endpoints that the client may call."""
    api_key: ApiKey | None = None
    """An API key for this client; `{}` for one with the defaults."""
    certificate: ClientCertificate | None = None
    """A client certificate for this client; `{}` for one with the defaults."""
    rate_limit: RateLimit | None = None
    """How many calls this client may make on each endpoint, over all gateways: each lets through its share. The
    endpoint's own limit applies where it is the stricter one."""
    suspend: bool = False
    """True refuses every credential of this client until it is false again."""


KeyState = Literal["Next", "Current", "Previous", "Revoked"]


class KeyStatus(Shape):
    """One API key of the client. The key itself is only in its Secret."""

    id: str
    """The key's id: the part of the key between the first two underscores."""
    state: KeyState
    """`Current`: the key to use. `Next`: a new key that not every gateway knows yet. `Previous`: still accepted after a
    rotation. `Revoked`: refused, because it was revoked or its time was over."""
    created_at: Timestamp
    """When the key was made."""
    expires_at: Timestamp | None = None
    """When the key stops working; of a revoked key, when it did."""
    rotates_at: Timestamp | None = None
    """When a new key is to take this one's place."""
    last_used_at: Timestamp | None = None
    """When a call with this key was last let through, rounded down to ten minutes."""


class ClientCertificateStatus(Shape):
    """The client's certificate."""

    serial: str
    """Serial number, in hexadecimal digits."""
    not_after: Timestamp
    """When it ends."""
    renew_at: Timestamp
    """When it will be renewed, with a new key."""
    identity: str
    """The SPIFFE id in it, by which gateways know the client."""
    sha256: str = ""
    """SHA-256 of the certificate, by which it can be revoked (`certificate.revokedDigests`)."""


class ClientStatus(Shape):
    """What the operator last observed."""

    observed_generation: Generation = 0
    """The newest `metadata.generation` that the operator has seen. 0: none yet. Each condition has one of its own."""
    conditions: Conditions = ()
    """Whether the client's credentials work, and if not, why."""
    keys: Annotated[
        tuple[KeyStatus, ...],
        Field(
            max_length=128,
            json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["id"]},
        ),
    ] = ()
    """The client's API keys."""
    certificate: ClientCertificateStatus | None = None


class InferenceClient(Shape):
    """One caller, its credentials, and what it may do on which endpoints."""

    # Parsed from a raw object by nightlatch.api.validation.parse.parse_client.
    metadata: ObjectMeta
    spec: ClientSpec
    status: ClientStatus = ClientStatus()

    @property
    def key(self) -> NamespacedName:
        return self.metadata.key
