"""InferenceClient: one caller, its credentials, and what it may do on which endpoints.

The docstrings of models and fields are what `kubectl explain` and docs/reference/api.md show.
"""

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from nightlatch.api.meta import Conditions, NamespacedName, ObjectMeta, Shape
from nightlatch.api.rules import matching, rules
from nightlatch.api.scalars import Duration, Name, Permission, RateLimit, SecretKeyName

_TIME = "^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}([.][0-9]+)?(Z|[+-][0-9]{2}:[0-9]{2})$"
# `namespace` is a reserved word in CEL; the API server escapes it to `__namespace__`.
_SAME_ENDPOINT = (
    "a.name == b.name && (has(a.__namespace__) ? a.__namespace__ : '') == (has(b.__namespace__) ? b.__namespace__ : '')"
)


class EndpointGrant(Shape):
    """What this client may do on one endpoint."""

    name: Name
    """The InferenceEndpoint's name."""
    namespace: Name | None = None
    """The InferenceEndpoint's namespace. Default: the client's own. The endpoint must allow clients of this namespace
    (`access.allowedNamespaces`)."""
    permissions: Annotated[tuple[Permission, ...], Field(min_length=1, max_length=4)] = ("infer", "metadata")
    """The operations that the client may call."""

    def endpoint(self, client_namespace: str) -> NamespacedName:
        """The endpoint that a client in this namespace means."""
        return NamespacedName(self.namespace or client_namespace, self.name)


class ApiKey(Shape):
    """The client's API key and its rotation."""

    rotate_every: Duration | None = None
    """How long a key is used before a new one takes its place, up to a tenth less so that clients do not all rotate at
    once. Default: never."""
    overlap: Duration = "24h"
    """How long the previous key keeps working after a rotation. Must be shorter than `rotateEvery`. A shorter overlap
    also ends one under way; `0s` ends it at once."""
    expires_at: (
        Annotated[
            str,
            Field(
                pattern=_TIME,
                max_length=64,
                json_schema_extra=matching(_TIME, "write an RFC 3339 time, such as 2027-01-31T00:00:00Z"),
            ),
        ]
        | None
    ) = None
    """When every key of the client stops working."""
    secret_name: SecretKeyName | None = None
    """The Secret in which Nightlatch puts the key (`api-key`) together with `url` and `ca.crt`. Default: the client's
    name with `-key` after it. Another name moves the keys; the Secret of the name before is deleted."""
    revoked_key_ids: Annotated[tuple[Annotated[str, Field(max_length=64)], ...], Field(max_length=64)] = ()
    """Ids of keys that are refused from now on, for good. A key that is replaced by no other gets a successor."""


class ClientCertificate(Shape):
    """The client's certificate, from Nightlatch's own CA."""

    duration: Duration = "24h"
    """How long a certificate is valid."""
    renew_before: Duration = "8h"
    """How long before its end a certificate is renewed. Must be shorter than `duration`."""
    secret_name: SecretKeyName | None = None
    """The Secret in which Nightlatch puts the certificate and its key."""


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
        tuple[EndpointGrant, ...],
        Field(
            max_length=128,
            json_schema_extra=rules(
                (
                    f"self.all(a, self.exists_one(b, {_SAME_ENDPOINT}))",
                    "an endpoint is named twice: write it once, with all its permissions",
                )
            ),
        ),
    ] = ()
    """The endpoints that the client may call."""
    api_key: ApiKey | None = None
    """An API key for this client; `{}` for one with the defaults."""
    certificate: ClientCertificate | None = None
    """A client certificate for this client. Not supported yet."""
    rate_limit: RateLimit | None = None
    """How many calls this client may make on each endpoint. Every gateway counts for itself. The endpoint's own limit
    applies where it is the stricter one."""
    suspended: bool = False
    """True refuses every credential of this client until it is false again."""


KeyState = Literal["Next", "Current", "Previous", "Revoked"]


class KeyStatus(Shape):
    """One API key of the client. The key itself is only in its Secret."""

    id: str
    """The key's id: the part of the key between the first two underscores."""
    state: KeyState
    """`Current`: the key to use. `Next`: a new key that not every gateway knows yet. `Previous`: still accepted after a
    rotation. `Revoked`: refused, because it was revoked or its time was over."""
    created_at: str
    """When the key was made."""
    expires_at: str | None = None
    """When the key stops working; of a revoked key, when it did."""
    rotates_at: str | None = None
    """When a new key is to take this one's place."""


class ClientCertificateStatus(Shape):
    """The client's certificate."""

    serial: str
    """Serial number, in hexadecimal digits."""
    not_after: str
    """When it ends."""


class ClientStatus(Shape):
    """What the operator last observed."""

    observed_generation: int = 0
    """The `metadata.generation` of the spec that this status is about."""
    conditions: Conditions = ()
    """Whether the client's credentials work, and if not, why."""
    keys: tuple[KeyStatus, ...] = ()
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
