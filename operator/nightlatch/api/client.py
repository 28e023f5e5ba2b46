"""InferenceClient: one caller, its credentials and what it may do where."""

from typing import Annotated, Literal

from pydantic import Field

from nightlatch.api.endpoint import Duration, Name, Permission, RateLimit, SecretKeyName
from nightlatch.api.meta import Condition, Key, ObjectMeta, Shape


class EndpointGrant(Shape):
    """Permissions of this client on one endpoint. `namespace` defaults to the client's own."""

    name: Name
    namespace: Name | None = None
    permissions: Annotated[tuple[Permission, ...], Field(min_length=1, max_length=4)] = ("infer", "metadata")


class ApiKey(Shape):
    """The client's API key and its rotation."""

    rotate_every: Duration | None = None
    overlap: Duration = "24h"
    expires_at: Annotated[str, Field(max_length=64)] | None = None
    secret_name: SecretKeyName | None = None
    revoked_key_ids: Annotated[tuple[Annotated[str, Field(max_length=64)], ...], Field(max_length=64)] = ()


class ClientCertificate(Shape):
    """The client's certificate from our CA."""

    duration: Duration = "24h"
    renew_before: Duration = "8h"
    secret_name: SecretKeyName | None = None


class ClientSpec(Shape):
    """`spec` of an InferenceClient."""

    endpoints: Annotated[tuple[EndpointGrant, ...], Field(max_length=256)] = ()
    api_key: ApiKey | None = None
    certificate: ClientCertificate | None = None
    rate_limit: RateLimit | None = None
    suspended: bool = False


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
    """`status` of an InferenceClient."""

    observed_generation: int = 0
    conditions: tuple[Condition, ...] = ()
    keys: tuple[KeyStatus, ...] = ()
    certificate: ClientCertificateStatus | None = None


class InferenceClient(Shape):
    """The resource, parsed. Make one with `nightlatch.api.parse.parse_client`."""

    metadata: ObjectMeta
    spec: ClientSpec
    status: ClientStatus = ClientStatus()

    def endpoint_keys(self) -> tuple[Key, ...]:
        """The endpoints it names, in the order of the spec."""
        return tuple(
            Key(grant.namespace or self.metadata.namespace, grant.name) for grant in self.spec.endpoints
        )
