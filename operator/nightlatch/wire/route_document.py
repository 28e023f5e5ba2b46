"""The route document: all that the gateways know of one endpoint, as validated data.

It is a Secret in the gateway's namespace: `document.json` (this type), `tls.crt` and `tls.key` (the certificate that
callers see), `upstream-ca.crt` (trust for the model server). The JSON has no API key, only SHA-256 hashes of keys.
"""

import hashlib
import re
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, cast, get_args

import orjson

from nightlatch.api.meta import NamespacedName
from nightlatch.api.operations import Operation, Protocol
from nightlatch.api.scalars import Permission
from nightlatch.wire.fields import Fields

__all__ = [
    "DEFAULT_IN_FLIGHT",
    "DOCUMENT_JSON",
    "FORMAT_VERSION",
    "MAX_HOLD_SECONDS",
    "MAX_REQUEST_SECONDS",
    "TLS_CRT",
    "TLS_KEY",
    "UPSTREAM_CA",
    "DocumentError",
    "KeyGrant",
    "Operation",
    "RateTier",
    "RouteDocument",
    "content_hash",
    "decode",
    "encode",
]

FORMAT_VERSION = 1
DOCUMENT_JSON = "document.json"
TLS_CRT = "tls.crt"
TLS_KEY = "tls.key"
UPSTREAM_CA = "upstream-ca.crt"
MAX_HOLD_SECONDS = 3600.0
MAX_REQUEST_SECONDS = 86400.0
# For a document that does not say how many calls may be in flight.
DEFAULT_IN_FLIGHT = 1024
_MOST_IN_FLIGHT = 10_000_000


class DocumentError(ValueError):
    """The data is not a route document. The message names the member and never repeats its value."""


@dataclass(frozen=True, slots=True)
class KeyGrant:
    """One valid API key: the SHA-256 of its whole text in lower-case hex, its client, and what the client may do.

    `not_before` and `not_after` are Unix seconds or None. `tier` names an entry of `rate_tiers` or is empty.
    """

    sha256: str
    client: NamespacedName
    key_id: str
    permissions: tuple[Permission, ...]
    tier: str = ""
    not_before: int | None = None
    not_after: int | None = None


@dataclass(frozen=True, slots=True)
class RateTier:
    """The token bucket of each client: at most `burst` tokens; `requests` are added every `per_seconds`."""

    requests: int
    per_seconds: float
    burst: int


@dataclass(frozen=True, slots=True)
class RouteDocument:
    """Times are in seconds. `hosts[0]` is the host of the endpoint's URL.

    `max_in_flight`: how many calls each gateway sends to the model servers at the same time; more get a 429.

    `denied` is the code (of `caller_errors.yaml`) with which every call is refused, because the policy is broken.
    `created`: Unix seconds of the endpoint's creation; of two that claim one host, the older keeps it.
    """

    endpoint: NamespacedName
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
    max_in_flight: int = DEFAULT_IN_FLIGHT
    denied: str | None = None
    created: int = 0
    # PEM material; in the Secret beside the JSON, never inside it.
    server_certificate: str = field(default="", repr=False)
    server_private_key: str = field(default="", repr=False)
    upstream_ca: str = field(default="", repr=False)


_PEM_FIELDS = {"server_certificate": TLS_CRT, "server_private_key": TLS_KEY, "upstream_ca": UPSTREAM_CA}

_NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_NAME_EXPECTED = "a DNS label"
_HOST = re.compile(r"(?=.{1,253}\Z)[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_TOKEN = re.compile(r"[A-Za-z0-9][-._A-Za-z0-9]{0,127}")
_TIER = re.compile(r"([A-Za-z0-9][-._A-Za-z0-9]{0,127})?")
_METHOD = re.compile(r"[A-Z]{1,16}")
_PATH = re.compile(r"(/([-._A-Za-z0-9]+|\{[a-z]+\}))+")
_SPIFFE = re.compile(r"spiffe://[-._/a-z0-9]{1,255}")
_PERMISSION = re.compile("|".join(get_args(Permission)))
_PROTOCOL = re.compile("|".join(get_args(Protocol)))
_TIMESTAMP_LIMIT = 2**53


def encode(document: RouteDocument) -> dict[str, bytes]:
    """The Secret's data. Equal documents give equal bytes."""
    members = asdict(document)
    pem = {name: members.pop(field_name).encode("ascii") for field_name, name in _PEM_FIELDS.items()}
    members["version"] = FORMAT_VERSION
    return {DOCUMENT_JSON: orjson.dumps(members, option=orjson.OPT_SORT_KEYS), **pem}


def decode(data: Mapping[str, bytes]) -> RouteDocument:
    """The inverse of encode. It is strict: a decoded document is safe to put into Envoy's configuration.

    Raises DocumentError.
    """
    try:
        members = orjson.loads(data[DOCUMENT_JSON])
        # Interned, because the trust bundle is the same in a thousand documents.
        pem = {field_name: sys.intern(data[name].decode("ascii")) for field_name, name in _PEM_FIELDS.items()}
    except KeyError as error:
        raise DocumentError(f"the Secret has no {error.args[0]}") from None
    except ValueError:
        raise DocumentError("the Secret holds something that is neither JSON nor PEM") from None
    return _document(Fields(members, "document", DocumentError), pem)


def content_hash(document: RouteDocument) -> str:
    """SHA-256 in hex of everything but the sequence. Documents with equal hashes need no push."""
    digest = hashlib.sha256()
    for name, value in sorted(encode(document).items()):
        body = value if name != DOCUMENT_JSON else _without_sequence(value)
        digest.update(f"{name}:{len(body)}:".encode() + body)
    return digest.hexdigest()


def _without_sequence(document_json: bytes) -> bytes:
    members = orjson.loads(document_json)
    del members["sequence"]
    return orjson.dumps(members, option=orjson.OPT_SORT_KEYS)


def _document(fields: Fields, pem: Mapping[str, str]) -> RouteDocument:
    fields.integer("version", FORMAT_VERSION, FORMAT_VERSION)
    fields.default("max_in_flight", DEFAULT_IN_FLIGHT)
    document = fields.close(
        RouteDocument(
            endpoint=fields.nested("endpoint", _namespaced_name),
            uid=fields.text("uid", _TIER, "a uid"),
            sequence=fields.integer("sequence", 0, _TIMESTAMP_LIMIT),
            hosts=fields.texts("hosts", _HOST, "a lower-case host name"),
            operations=fields.each("operations", _operation),
            upstream_identity=fields.text("upstream_identity", _SPIFFE, "a SPIFFE id"),
            keys=fields.each("keys", _grant),
            rate_tiers=fields.mapping("rate_tiers", _tier),
            request_timeout=fields.seconds("request_timeout", MAX_REQUEST_SECONDS),
            hold_timeout=fields.seconds("hold_timeout", MAX_HOLD_SECONDS),
            hold_max_requests=fields.integer("hold_max_requests", 0, 1_000_000),
            max_in_flight=fields.integer("max_in_flight", 1, _MOST_IN_FLIGHT),
            denied=fields.optional("denied", lambda name: fields.text(name, _TOKEN, "the code of an error")),
            created=fields.integer("created", 0, _TIMESTAMP_LIMIT),
            **pem,
        )
    )
    _check_whole(document)
    return document


def _check_whole(document: RouteDocument) -> None:
    """Check the rules that concern more than one member."""
    if not all(_TOKEN.fullmatch(tier) for tier in document.rate_tiers):
        raise DocumentError("document.rate_tiers has a name that is not a plain word")
    if any(grant.tier and grant.tier not in document.rate_tiers for grant in document.keys):
        raise DocumentError("document.keys names a rate tier that document.rate_tiers lacks")
    if len({grant.sha256 for grant in document.keys}) != len(document.keys):
        raise DocumentError("document.keys holds one digest twice")
    if document.denied is None and not _is_pem(document):
        raise DocumentError("tls.crt, tls.key and upstream-ca.crt must hold PEM")


def _is_pem(document: RouteDocument) -> bool:
    return all(getattr(document, name).startswith("-----BEGIN ") for name in _PEM_FIELDS)


def _namespaced_name(fields: Fields) -> NamespacedName:
    namespace = fields.text("namespace", _NAME, _NAME_EXPECTED)
    return fields.close(NamespacedName(namespace, fields.text("name", _NAME, _NAME_EXPECTED)))


def _permission(text: str) -> Permission:
    return cast("Permission", text)


def _operation(fields: Fields) -> Operation:
    protocol: Any = fields.text("protocol", _PROTOCOL, "a protocol")
    return fields.close(
        Operation(
            permission=_permission(fields.text("permission", _PERMISSION, "a permission")),
            method=fields.text("method", _METHOD, "an HTTP method"),
            path=fields.text("path", _PATH, "a path template"),
            protocol=protocol,
        )
    )


def _grant(fields: Fields) -> KeyGrant:
    permissions = fields.texts("permissions", _PERMISSION, "a permission")
    return fields.close(
        KeyGrant(
            sha256=fields.text("sha256", _SHA256, "64 lower-case hex digits"),
            client=fields.nested("client", _namespaced_name),
            key_id=fields.text("key_id", _TOKEN, "a key id"),
            permissions=tuple(map(_permission, permissions)),
            tier=fields.text("tier", _TIER, "a plain word"),
            not_before=fields.optional("not_before", _timestamp(fields)),
            not_after=fields.optional("not_after", _timestamp(fields)),
        )
    )


def _timestamp(fields: Fields) -> Any:
    return lambda name: fields.integer(name, 0, _TIMESTAMP_LIMIT)


def _tier(fields: Fields) -> RateTier:
    return fields.close(
        RateTier(
            requests=fields.integer("requests", 1, 1_000_000),
            per_seconds=fields.seconds("per_seconds", MAX_REQUEST_SECONDS),
            burst=fields.integer("burst", 1, 1_000_000),
        )
    )
