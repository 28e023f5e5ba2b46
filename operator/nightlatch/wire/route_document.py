"""The route document: all that the gateways know of one endpoint, as validated data.

It is a Secret in the gateway's namespace: `document.json` (this type), `tls.crt` and `tls.key` (the certificate that
callers see), `upstream-ca.crt` (trust for the model server). The JSON has no API key, only SHA-256 hashes of keys.

From format 2 on, the JSON is an envelope that every later format shares, around a body that may change:
`{format, endpoint, sequence, takesAwaySince, hosts, created, critical, body}`. ADR 10 says why.
"""

import hashlib
import re
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, cast, get_args

import orjson

from nightlatch.api.claims import ClaimPath
from nightlatch.api.meta import NamespacedName
from nightlatch.api.operations import Operation, Protocol
from nightlatch.api.scalars import ALL_PERMISSIONS, Permission
from nightlatch.wire.fields import Fields

__all__ = [
    "CLIENT_CA",
    "DEFAULT_IN_FLIGHT",
    "DOCUMENT_JSON",
    "FORMAT",
    "MAX_HOLD_SECONDS",
    "MAX_REQUEST_SECONDS",
    "OLDEST_FORMAT",
    "TLS_CRT",
    "TLS_KEY",
    "UPSTREAM_CA",
    "CertificateGrant",
    "ClientRule",
    "DocumentError",
    "Envelope",
    "KeyGrant",
    "Operation",
    "RateTier",
    "RouteDocument",
    "TokenRule",
    "TooNewError",
    "TrustedIssuer",
    "accepts_certificates",
    "content_hash",
    "decode",
    "encode",
    "needed_format",
    "read_envelope",
]

# The newest format, and the oldest that is still read and written.
FORMAT = 5
OLDEST_FORMAT = 1
DOCUMENT_JSON = "document.json"
TLS_CRT = "tls.crt"
TLS_KEY = "tls.key"
UPSTREAM_CA = "upstream-ca.crt"
CLIENT_CA = "client-ca.crt"
MAX_HOLD_SECONDS = 3600.0
MAX_REQUEST_SECONDS = 86400.0
# For a document that does not say how many calls may be in flight.
DEFAULT_IN_FLIGHT = 1024
_MOST_IN_FLIGHT = 10_000_000


class DocumentError(ValueError):
    """The data is not a route document. The message names the member and never repeats its value."""


@dataclass(frozen=True, slots=True)
class Envelope:
    """What every reader can read of a document of format 2 or later, whatever the body is.

    takes_away_since: the sequence of the newest document that took anything away (`narrowing.takes_away`). Whoever has
    a document of this sequence or a later one has missed additions alone.
    critical: members of the body that a reader must know, as paths such as `keys.tier`; others may be ignored.
    """

    format: int
    endpoint: NamespacedName
    sequence: int
    takes_away_since: int
    hosts: tuple[str, ...]
    created: int
    critical: tuple[str, ...] = ()


class TooNewError(DocumentError):
    """The document is well formed, but of a format, or with a critical member, that came after this reader."""

    def __init__(self, message: str, envelope: Envelope) -> None:
        super().__init__(message)
        self.envelope = envelope


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
class CertificateGrant:
    """Whose client certificates are accepted, by the identity in them, and what their holder may do.

    `identity` is the URI in the subjectAltName, or a DNS name in lower case for certificates without a URI. `client` is
    the InferenceClient that it belongs to; None for an identity of another CA, which stands for itself. `tier` as in
    KeyGrant.
    """

    identity: str
    client: NamespacedName | None
    permissions: tuple[Permission, ...]
    tier: str = ""


@dataclass(frozen=True, slots=True)
class TrustedIssuer:
    """A token issuer whose tokens are accepted, by its TokenIssuer and by the exact `iss` of its tokens. The issuer's
    own document has the rest."""

    issuer: NamespacedName
    iss: str


@dataclass(frozen=True, slots=True)
class TokenRule:
    """Permissions for tokens whose claims, each a path (`api/claims.py`), all have one of their values. Without claims:
    for tokens that carry no permission."""

    name: str
    permissions: tuple[Permission, ...]
    claims: tuple[tuple[ClaimPath, tuple[str, ...]], ...] = ()


@dataclass(frozen=True, slots=True)
class ClientRule:
    """Permissions for calls with a proof of one of `clients`, with a certificate of one of `certificates` (by identity,
    as in CertificateGrant) and with a token whose claims all have one of their values. What is empty is not asked for.
    One of clients and certificates is not empty, or the rule would be a TokenRule."""

    name: str
    permissions: tuple[Permission, ...]
    clients: tuple[NamespacedName, ...] = ()
    certificates: tuple[str, ...] = ()
    claims: tuple[tuple[ClaimPath, tuple[str, ...]], ...] = ()


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

    `accept`: which mechanisms (`apiKey`, `jwt`, `mtls`) together suffice, any one of several lists; empty for API keys
    alone. `revoked_certificates`: SHA-256 of client certificates that are refused there, lower-case hex. `issuers`,
    `token_rules`: whose tokens count, and what they permit beside their own claim. `token_tier`: the limit of each
    subject, as in KeyGrant. `client_rules`: what rules give to clients and certificates by their names.
    `client_ca`: the CAs, PEM, from which a client certificate must come; empty where none is accepted.

    `denied` is the code (of `caller_errors.yaml`) with which every call is refused, because the policy is broken.
    `created`: Unix seconds of the endpoint's creation; of two that claim one host, the older keeps it.
    `takes_away_since`: as in Envelope.

    A member that comes with a later format has a default and the metadata `{"format": N}`. `optional` there says that a
    gateway without the member is safe.
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
    max_in_flight: int = field(default=DEFAULT_IN_FLIGHT, metadata={"format": 2, "optional": True})
    certificates: tuple[CertificateGrant, ...] = field(default=(), metadata={"format": 3})
    accept: tuple[tuple[str, ...], ...] = field(default=(), metadata={"format": 3})
    revoked_certificates: tuple[str, ...] = field(default=(), metadata={"format": 3})
    issuers: tuple[TrustedIssuer, ...] = field(default=(), metadata={"format": 4})
    token_rules: tuple[TokenRule, ...] = field(default=(), metadata={"format": 4})
    token_tier: str = field(default="", metadata={"format": 4})
    client_rules: tuple[ClientRule, ...] = field(default=(), metadata={"format": 5})
    denied: str | None = None
    created: int = 0
    takes_away_since: int = 0
    # PEM material; in the Secret beside the JSON, never inside it.
    server_certificate: str = field(default="", repr=False)
    server_private_key: str = field(default="", repr=False)
    upstream_ca: str = field(default="", repr=False)
    client_ca: str = field(default="", repr=False, metadata={"format": 3})


_PEM_FIELDS = {"server_certificate": TLS_CRT, "server_private_key": TLS_KEY, "upstream_ca": UPSTREAM_CA}
# Those that a document may lack.
_OPTIONAL_PEM_FIELDS = {"client_ca": CLIENT_CA}
_MECHANISMS = ("apiKey", "jwt", "mtls")
# The format in which a document can name a mechanism that came later than `accept` itself.
_FORMAT_OF_MECHANISM = {"jwt": 4}

_BEGIN = "-----BEGIN "
_NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_NAME_EXPECTED = "a DNS label"
_HOST = re.compile(r"(?=.{1,253}\Z)[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_TOKEN = re.compile(r"[A-Za-z0-9][-._A-Za-z0-9]{0,127}")
_TIER = re.compile(r"([A-Za-z0-9][-._A-Za-z0-9]{0,127})?")
_METHOD = re.compile(r"[A-Z]{1,16}")
_PATH = re.compile(r"(/([-._A-Za-z0-9]+|\{[a-z]+\}))+")
_SPIFFE = re.compile(r"spiffe://[-._/a-z0-9]{1,255}")
_PERMISSION = re.compile("|".join(ALL_PERMISSIONS))
_PROTOCOL = re.compile("|".join(get_args(Protocol)))
_MECHANISM = re.compile("|".join(_MECHANISMS))
# The URI of a certificate, or a DNS name. Neither has a comma, because several names are told apart by one.
_IDENTITY = re.compile(r"(?=.{1,512}\Z)([a-z][-+.a-z0-9]*:[!-+\--~]+|[*a-z0-9]([-.a-z0-9]*[a-z0-9])?)")
_ISS = re.compile(r"[!-~]{1,2048}")
_RULE_NAME = re.compile(r"rules\[[0-9]{1,3}\]")
_CLAIM_TEXT = re.compile(r".{0,256}", re.DOTALL)
_TIMESTAMP_LIMIT = 2**53


# Envelope members by their name in the JSON; all others are in the body.
_ENVELOPE = {
    "endpoint": "endpoint",
    "sequence": "sequence",
    "takesAwaySince": "takes_away_since",
    "hosts": "hosts",
    "created": "created",
}
_PATH_OF_MEMBER = re.compile(r"[a-zA-Z_]{1,40}(\.[a-zA-Z_]{1,40})*")


def encode(document: RouteDocument, format_: int = FORMAT) -> dict[str, bytes]:
    """The Secret's data in this format. Equal documents give equal bytes."""
    members = _members(document, format_)
    pem = {name: members.pop(field_name).encode("ascii") for field_name, name in _PEM_FIELDS.items()}
    for field_name, name in _OPTIONAL_PEM_FIELDS.items():
        if text := members.pop(field_name, ""):
            pem[name] = text.encode("ascii")
    if format_ == 1:
        del members["takes_away_since"]
        json = {**members, "version": 1}
    else:
        envelope = {name: members.pop(member) for name, member in _ENVELOPE.items()}
        json = {"format": format_, **envelope, "critical": [], "body": members}
    return {DOCUMENT_JSON: orjson.dumps(json, option=orjson.OPT_SORT_KEYS), **pem}


def decode(data: Mapping[str, bytes], reads: int = FORMAT) -> RouteDocument:
    """The inverse of encode. It is strict: a decoded document is safe to put into Envoy's configuration.

    reads: the newest format that the reader knows. Raises TooNewError for a later one, and DocumentError.
    """
    members = _json(data)
    pem = _pem(data)
    if "format" not in members:
        return _first_format(Fields(members, "document", DocumentError), pem)
    envelope = _envelope(members)
    if envelope.format > reads:
        raise TooNewError(
            f"format {envelope.format} is newer than {reads}, the newest that this gateway reads", envelope
        )
    if unknown := sorted(set(envelope.critical) - _known_members()):
        raise TooNewError(f"this gateway does not know the critical members {', '.join(unknown)}", envelope)
    body = Fields(members.get("body"), "document.body", DocumentError, lenient=True)
    return _document(body, envelope, pem)


def read_envelope(data: Mapping[str, bytes]) -> Envelope:
    """The envelope of a document of any format. Raises DocumentError."""
    members = _json(data)
    if "format" in members:
        return _envelope(members)
    document = _first_format(Fields(members, "document", DocumentError), _pem(data))
    return Envelope(
        1, document.endpoint, document.sequence, document.takes_away_since, document.hosts, document.created
    )


def needed_format(document: RouteDocument) -> int:
    """The oldest format that can say all that the document says."""
    used = (
        each
        for each in fields(document)
        if getattr(document, each.name) != each.default and not each.metadata.get("optional")
    )
    named = (_FORMAT_OF_MECHANISM.get(name, OLDEST_FORMAT) for group in document.accept for name in group)
    return max((*(each.metadata.get("format", OLDEST_FORMAT) for each in used), *named), default=OLDEST_FORMAT)


def content_hash(document: RouteDocument, format_: int = FORMAT) -> str:
    """SHA-256 in hex of all that the format can say, but the sequences. Documents with equal hashes need no push."""
    members = _members(document, format_)
    del members["sequence"], members["takes_away_since"]
    return hashlib.sha256(orjson.dumps(members, option=orjson.OPT_SORT_KEYS)).hexdigest()


def _members(document: RouteDocument, format_: int) -> dict[str, Any]:
    """Those that the format has."""
    later = {each.name for each in fields(document) if each.metadata.get("format", OLDEST_FORMAT) > format_}
    members = {name: value for name, value in asdict(document).items() if name not in later}
    for rule in (*members.get("token_rules", ()), *members.get("client_rules", ())):
        rule["claims"] = [{"claim": claim, "values": values} for claim, values in rule["claims"]]
    return members


def _json(data: Mapping[str, bytes]) -> dict[str, Any]:
    try:
        members = orjson.loads(data[DOCUMENT_JSON])
    except KeyError:
        raise DocumentError(f"the Secret has no {DOCUMENT_JSON}") from None
    except orjson.JSONDecodeError:
        raise DocumentError("the Secret holds something that is neither JSON nor PEM") from None
    if not isinstance(members, dict):
        raise DocumentError("document must be an object")
    return members


def _pem(data: Mapping[str, bytes]) -> dict[str, str]:
    try:
        # Interned, because the trust bundle is the same in a thousand documents.
        found = {field_name: sys.intern(data[name].decode("ascii")) for field_name, name in _PEM_FIELDS.items()}
        optional = {
            each: sys.intern(data.get(name, b"").decode("ascii")) for each, name in _OPTIONAL_PEM_FIELDS.items()
        }
        return found | optional
    except KeyError as error:
        raise DocumentError(f"the Secret has no {error.args[0]}") from None
    except UnicodeDecodeError:
        raise DocumentError("the Secret holds something that is neither JSON nor PEM") from None


def _envelope(members: Mapping[str, Any]) -> Envelope:
    fields_ = Fields(members, "document", DocumentError, lenient=True)
    return Envelope(
        format=fields_.integer("format", 2, _TIMESTAMP_LIMIT),
        endpoint=fields_.nested("endpoint", _namespaced_name),
        sequence=fields_.integer("sequence", 0, _TIMESTAMP_LIMIT),
        takes_away_since=fields_.integer("takesAwaySince", 0, _TIMESTAMP_LIMIT),
        hosts=fields_.texts("hosts", _HOST, "a lower-case host name"),
        created=fields_.integer("created", 0, _TIMESTAMP_LIMIT),
        critical=fields_.texts("critical", _PATH_OF_MEMBER, "the path of a member"),
    )


def _known_members() -> frozenset[str]:
    inside = {
        "keys": KeyGrant,
        "certificates": CertificateGrant,
        "rate_tiers": RateTier,
        "operations": Operation,
        "issuers": TrustedIssuer,
        "token_rules": TokenRule,
        "client_rules": ClientRule,
    }
    nested = {f"{member}.{each.name}" for member, kind in inside.items() for each in fields(kind)}
    return frozenset(each.name for each in fields(RouteDocument)) | nested


def _first_format(members: Fields, pem: Mapping[str, str]) -> RouteDocument:
    """Format 1 has no envelope. What it took away is not said, so it counts as having taken something away."""
    members.integer("version", 1, 1)
    sequence = members.integer("sequence", 0, _TIMESTAMP_LIMIT)
    envelope = Envelope(
        format=1,
        endpoint=members.nested("endpoint", _namespaced_name),
        sequence=sequence,
        takes_away_since=sequence,
        hosts=members.texts("hosts", _HOST, "a lower-case host name"),
        created=members.integer("created", 0, _TIMESTAMP_LIMIT),
    )
    return _document(members, envelope, pem)


def _document(fields_: Fields, envelope: Envelope, pem: Mapping[str, str]) -> RouteDocument:
    fields_.default("max_in_flight", DEFAULT_IN_FLIGHT)
    fields_.default("certificates", [])
    fields_.default("accept", [])
    fields_.default("revoked_certificates", [])
    fields_.default("issuers", [])
    fields_.default("token_rules", [])
    fields_.default("token_tier", "")
    fields_.default("client_rules", [])
    document = fields_.close(
        RouteDocument(
            endpoint=envelope.endpoint,
            uid=fields_.text("uid", _TIER, "a uid"),
            sequence=envelope.sequence,
            hosts=envelope.hosts,
            operations=fields_.each("operations", _operation),
            upstream_identity=fields_.text("upstream_identity", _SPIFFE, "a SPIFFE id"),
            keys=fields_.each("keys", _grant),
            rate_tiers=fields_.mapping("rate_tiers", _tier),
            request_timeout=fields_.seconds("request_timeout", MAX_REQUEST_SECONDS),
            hold_timeout=fields_.seconds("hold_timeout", MAX_HOLD_SECONDS),
            hold_max_requests=fields_.integer("hold_max_requests", 0, 1_000_000),
            max_in_flight=fields_.integer("max_in_flight", 1, _MOST_IN_FLIGHT),
            certificates=fields_.each("certificates", _certificate),
            accept=fields_.lists("accept", _MECHANISM, "a mechanism"),
            revoked_certificates=fields_.texts("revoked_certificates", _SHA256, "64 lower-case hex digits"),
            issuers=fields_.each("issuers", _trusted_issuer),
            token_rules=fields_.each("token_rules", _token_rule),
            token_tier=fields_.text("token_tier", _TIER, "a plain word"),
            client_rules=fields_.each("client_rules", _client_rule),
            denied=fields_.optional("denied", lambda name: fields_.text(name, _TOKEN, "the code of an error")),
            created=envelope.created,
            takes_away_since=envelope.takes_away_since,
            **pem,
        )
    )
    _check_whole(document)
    return document


def _check_whole(document: RouteDocument) -> None:
    """Check the rules that concern more than one member."""
    if not all(_TOKEN.fullmatch(tier) for tier in document.rate_tiers):
        raise DocumentError("document.rate_tiers has a name that is not a plain word")
    for member, tiers in (
        ("keys", {grant.tier for grant in document.keys}),
        ("certificates", {grant.tier for grant in document.certificates}),
        ("token_tier", {document.token_tier}),
    ):
        if tiers - document.rate_tiers.keys() - {""}:
            raise DocumentError(f"document.{member} names a rate tier that document.rate_tiers lacks")
    for once, listed in (
        ("keys holds one digest", [grant.sha256 for grant in document.keys]),
        ("certificates holds one identity", [grant.identity for grant in document.certificates]),
        ("issuers holds one issuer", [str(each.issuer) for each in document.issuers]),
    ):
        if len(set(listed)) != len(listed):
            raise DocumentError(f"document.{once} twice")
    if any(not group or len(set(group)) != len(group) for group in document.accept):
        raise DocumentError("document.accept has a list that is empty or names a mechanism twice")
    if document.denied is None and accepts_certificates(document) and not document.client_ca.startswith(_BEGIN):
        raise DocumentError("client-ca.crt must hold PEM where document.accept names mtls")
    if document.denied is None and not _is_pem(document):
        raise DocumentError("tls.crt, tls.key and upstream-ca.crt must hold PEM")


def _is_pem(document: RouteDocument) -> bool:
    return all(getattr(document, name).startswith(_BEGIN) for name in _PEM_FIELDS)


def accepts_certificates(document: RouteDocument) -> bool:
    """Whether a client certificate counts for anything there, so that callers are asked for one."""
    return any("mtls" in group for group in document.accept)


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


def _certificate(fields: Fields) -> CertificateGrant:
    permissions = fields.texts("permissions", _PERMISSION, "a permission")
    return fields.close(
        CertificateGrant(
            identity=fields.text("identity", _IDENTITY, "a URI or a DNS name in lower case"),
            client=fields.optional("client", lambda name: fields.nested(name, _namespaced_name)),
            permissions=tuple(map(_permission, permissions)),
            tier=fields.text("tier", _TIER, "a plain word"),
        )
    )


def _trusted_issuer(fields: Fields) -> TrustedIssuer:
    return fields.close(
        TrustedIssuer(fields.nested("issuer", _namespaced_name), fields.text("iss", _ISS, "a text of visible ASCII"))
    )


def _token_rule(fields: Fields) -> TokenRule:
    permissions = fields.texts("permissions", _PERMISSION, "a permission")
    name = fields.text("name", _RULE_NAME, "the place of a rule")
    return fields.close(TokenRule(name, tuple(map(_permission, permissions)), fields.each("claims", _claim)))


def _client_rule(fields: Fields) -> ClientRule:
    permissions = fields.texts("permissions", _PERMISSION, "a permission")
    rule = ClientRule(
        name=fields.text("name", _RULE_NAME, "the place of a rule"),
        permissions=tuple(map(_permission, permissions)),
        clients=fields.each("clients", _namespaced_name),
        certificates=fields.texts("certificates", _IDENTITY, "a URI or a DNS name in lower case"),
        claims=fields.each("claims", _claim),
    )
    if not (rule.clients or rule.certificates):
        raise DocumentError("document.client_rules has a rule that names neither clients nor certificates")
    return fields.close(rule)


def _claim(fields: Fields) -> tuple[ClaimPath, tuple[str, ...]]:
    path, values = (fields.texts(each, _CLAIM_TEXT, "a text") for each in ("claim", "values"))
    if not path or not values:
        raise DocumentError("a rule of the document has a claim without a name or without a value")
    return fields.close((path, values))


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
