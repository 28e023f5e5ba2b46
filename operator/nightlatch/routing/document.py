"""The route document: everything the gateways may know of one endpoint, as validated data.

It is a Secret in the gateway's namespace: `document.json` (this type), `tls.crt` and `tls.key` (the certificate callers
see), `upstream-ca.crt` (trust for the model server). The JSON holds no plain-text key, only SHA-256 hashes.
"""

from dataclasses import dataclass, field
from typing import Literal

from nightlatch.api.endpoint import Permission
from nightlatch.api.meta import Key

FORMAT_VERSION = 1
DOCUMENT_JSON = "document.json"
TLS_CRT = "tls.crt"
TLS_KEY = "tls.key"
UPSTREAM_CA = "upstream-ca.crt"


@dataclass(frozen=True, slots=True)
class KeyGrant:
    """One live API key: lower-case hex SHA-256 of the whole key text, whose it is, and what it may do.

    `not_before`/`not_after` are Unix seconds; None means unbounded. `tier` names an entry of `rate_tiers` or is empty.
    """

    sha256: str
    client: Key
    key_id: str
    permissions: tuple[Permission, ...]
    tier: str = ""
    not_before: int | None = None
    not_after: int | None = None


@dataclass(frozen=True, slots=True)
class RateTier:
    """Token bucket of each client: `burst` tokens at most, `requests` refilled every `per_seconds`."""

    requests: int
    per_seconds: float
    burst: int


@dataclass(frozen=True, slots=True)
class Operation:
    """An exact operation: HTTP method and path template; a `{name}` segment matches one segment."""

    permission: Permission
    method: str
    path: str
    protocol: Literal["OpenInference", "OpenAI"]


@dataclass(frozen=True, slots=True)
class RouteDocument:
    """See the module. Times in seconds. `hosts[0]` is the host of the endpoint's URL.

    `denied` is a reason fit for callers when the policy is broken: every call is then answered 503.
    """

    endpoint: Key
    uid: str
    sequence: int
    hosts: tuple[str, ...]
    operations: tuple[Operation, ...]
    upstream_identity: str
    keys: tuple[KeyGrant, ...] = ()
    rate_tiers: dict[str, RateTier] = field(default_factory=dict)
    request_timeout: float = 60.0
    hold_timeout: float = 45.0
    hold_max_requests: int = 256
    denied: str | None = None
    # PEM material; in the Secret beside the JSON, never inside it.
    server_certificate: str = field(default="", repr=False)
    server_private_key: str = field(default="", repr=False)
    upstream_ca: str = field(default="", repr=False)
