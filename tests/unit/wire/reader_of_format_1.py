"""The reader of route documents in the last release that knew format 1 alone, as it was (from the history of the tree).

It is kept as data: it is what a gateway of the release before does with what this operator writes. Do not mend it. Only
the words for permissions and protocols are written out, because the types that they came from have grown since.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from nightlatch.api.meta import NamespacedName
from nightlatch.api.operations import Operation
from nightlatch.wire.fields import Fields

FORMAT_VERSION = 1
DOCUMENT_JSON = "document.json"
TLS_CRT = "tls.crt"
TLS_KEY = "tls.key"
UPSTREAM_CA = "upstream-ca.crt"
MAX_HOLD_SECONDS = 3600.0
MAX_REQUEST_SECONDS = 86400.0


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
    permissions: tuple[str, ...]
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
_PERMISSION = re.compile("infer|metadata|health|metrics")
_PROTOCOL = re.compile("OpenInference|OpenAI")
_TIMESTAMP_LIMIT = 2**53


def decode(data: Mapping[str, bytes]) -> RouteDocument:
    """The inverse of encode. It is strict: a decoded document is safe to put into Envoy's configuration.

    Raises DocumentError.
    """
    try:
        members = orjson.loads(data[DOCUMENT_JSON])
        pem = {field_name: data[name].decode("ascii") for field_name, name in _PEM_FIELDS.items()}
    except KeyError as error:
        raise DocumentError(f"the Secret has no {error.args[0]}") from None
    except ValueError:
        raise DocumentError("the Secret holds something that is neither JSON nor PEM") from None
    return _document(Fields(members, "document", DocumentError), pem)


def _document(fields: Fields, pem: Mapping[str, str]) -> RouteDocument:
    fields.integer("version", FORMAT_VERSION, FORMAT_VERSION)
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


def _operation(fields: Fields) -> Operation:
    protocol: Any = fields.text("protocol", _PROTOCOL, "a protocol")
    permission: Any = fields.text("permission", _PERMISSION, "a permission")
    return fields.close(
        Operation(
            permission=permission,
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
            permissions=permissions,
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
