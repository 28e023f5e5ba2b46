"""InferenceClient: one caller, its credentials and what it may do where."""

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from nightlatch.api.meta import Conditions, NamespacedName, ObjectMeta, Shape
from nightlatch.api.rules import matching, rules
from nightlatch.api.scalars import Duration, Name, Permission, RateLimit, SecretKeyName

_TIME = "^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}([.][0-9]+)?(Z|[+-][0-9]{2}:[0-9]{2})$"
# `namespace` is a reserved word of CEL, which the API server escapes so.
_SAME_ENDPOINT = (
    "a.name == b.name && (has(a.__namespace__) ? a.__namespace__ : '') == (has(b.__namespace__) ? b.__namespace__ : '')"
)


class EndpointGrant(Shape):
    """Permissions of this client on one endpoint. `namespace` defaults to the client's own."""

    name: Name
    namespace: Name | None = None
    permissions: Annotated[tuple[Permission, ...], Field(min_length=1, max_length=4)] = ("infer", "metadata")

    def endpoint(self, client_namespace: str) -> NamespacedName:
        """The endpoint that a client in this namespace means."""
        return NamespacedName(self.namespace or client_namespace, self.name)


class ApiKey(Shape):
    """The client's API key and its rotation."""

    rotate_every: Duration | None = None
    overlap: Duration = "24h"
    """How long the previous key still works after a rotation."""
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
    secret_name: SecretKeyName | None = None
    """Where the key is written, with url and ca.crt. Default: NAME-key."""
    revoked_key_ids: Annotated[tuple[Annotated[str, Field(max_length=64)], ...], Field(max_length=64)] = ()


class ClientCertificate(Shape):
    """The client's certificate from our CA."""

    duration: Duration = "24h"
    renew_before: Duration = "8h"
    secret_name: SecretKeyName | None = None


class ClientSpec(Shape):
    """Which credentials the caller has, and what it may do where."""

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
    api_key: ApiKey | None = None
    certificate: ClientCertificate | None = None
    rate_limit: RateLimit | None = None
    suspended: bool = False
    """True: every credential of this client is refused at once."""


class KeyStatus(Shape):
    """One key: its id and state, never its text."""

    id: str
    state: Literal["Next", "Current", "Previous", "Revoked"]
    created_at: str
    expires_at: str | None = None


class ClientCertificateStatus(Shape):
    """The leaf in force."""

    serial: str
    not_after: str


class ClientStatus(Shape):
    """What the operator last saw."""

    observed_generation: int = 0
    conditions: Conditions = ()
    keys: tuple[KeyStatus, ...] = ()
    certificate: ClientCertificateStatus | None = None


class InferenceClient(Shape):
    """One caller, its credentials, and what it may do where."""

    # Parsed from a raw object by nightlatch.api.validation.parse.parse_client.
    metadata: ObjectMeta
    spec: ClientSpec
    status: ClientStatus = ClientStatus()

    @property
    def key(self) -> NamespacedName:
        """Namespace and name."""
        return self.metadata.key

    def endpoint_keys(self) -> tuple[NamespacedName, ...]:
        """The endpoints it names, in the order of the spec."""
        return tuple(grant.endpoint(self.metadata.namespace) for grant in self.spec.endpoints)
