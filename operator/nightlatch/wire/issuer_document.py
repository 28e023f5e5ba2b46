"""The issuer document: all that the gateways know of one token issuer.

It is one Secret for each issuer in the gateway's namespace, so new keys and denied tokens are one small write for any
number of endpoints. It exists once the issuer has had good keys. There is no secret in it: the keys are public. The
JSON is an envelope that every later format shares, around a body that may change: `{format, issuer, sequence,
critical, body}` (ADR 10).

A document that a gateway cannot read makes the tokens of this issuer unverifiable, and nothing else.
"""

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal, cast, get_args

import orjson

from nightlatch.api.claims import ClaimPath
from nightlatch.api.issuer import Algorithm
from nightlatch.api.meta import NamespacedName
from nightlatch.api.scalars import ALL_PERMISSIONS, Permission
from nightlatch.wire.fields import Fields

FORMAT = 1
ISSUER_JSON = "issuer.json"

SenderConstrained = Literal["Never", "IfBound", "Always"]

_NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_TEXT = re.compile(r".{1,2048}", re.DOTALL)
_ANY_TEXT = re.compile(r".{0,2048}", re.DOTALL)
_ALGORITHM = re.compile("|".join(get_args(Algorithm)))
_PERMISSION = re.compile("|".join(ALL_PERMISSIONS))
_BASE64URL = re.compile(r"[A-Za-z0-9_-]{1,2048}")
_MEMBER = re.compile(r"[a-z_]{1,40}(\.[a-z_]{1,40})*")
_INTEGER_LIMIT = 2**53
_LONGEST = 10 * 366 * 86400.0
# The members of a public key that are texts of base64url, by its type (RFC 7518, RFC 8037).
PUBLIC_MEMBERS: Mapping[str, tuple[str, ...]] = {"RSA": ("n", "e"), "EC": ("x", "y"), "OKP": ("x",)}
_CURVES = ("P-256", "P-384", "P-521", "Ed25519")


class IssuerDocumentError(ValueError):
    """The data is not an issuer document. The message names the member and never repeats its value."""


@dataclass(frozen=True, slots=True)
class IssuerKey:
    """A public key as a JSON Web Key. `kid` and `alg` may be empty: the set does not say. `members`: e.g. `n`, `e`."""

    kty: Literal["RSA", "EC", "OKP"]
    members: Mapping[str, str]
    kid: str = ""
    alg: str = ""
    crv: str = ""

    def jwk(self) -> dict[str, str]:
        """The JSON Web Key, with public members only."""
        named = {"kty": self.kty, "kid": self.kid, "alg": self.alg, "crv": self.crv}
        return {name: value for name, value in named.items() if value} | dict(self.members)


@dataclass(frozen=True, slots=True)
class DeniedTokens:
    """Tokens that are refused before they expire. issued_before: Unix seconds by subject, "" for every subject."""

    jti: tuple[str, ...] = ()
    sub: tuple[str, ...] = ()
    sid: tuple[str, ...] = ()
    issued_before: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class IssuerDocument:
    """`iss`: what a token must say. Durations in seconds. Claims are paths (`api/claims.py`).

    source: a digest of where the keys come from; keys of another source are never kept.
    fetched_at, valid_until: Unix seconds. From `valid_until` on nobody may believe the keys; None: there is no end,
    because they are written in the spec.
    """

    issuer: NamespacedName
    iss: str
    audiences: tuple[str, ...]
    algorithms: tuple[str, ...]
    keys: tuple[IssuerKey, ...]
    source: str
    fetched_at: int
    valid_until: int | None
    max_lifetime: float
    clock_skew: float
    permissions_claim: ClaimPath
    permissions: Mapping[str, tuple[Permission, ...]]
    identity_claim: ClaimPath
    sequence: int = 0
    token_type: str | None = None
    required_claims: tuple[tuple[ClaimPath, str], ...] = ()
    sender_constrained: SenderConstrained = "IfBound"
    denied: DeniedTokens = field(default_factory=DeniedTokens)


def encode_issuer(document: IssuerDocument) -> dict[str, bytes]:
    """The Secret's data. Equal documents give equal bytes."""
    body = asdict(document)
    envelope = {"issuer": body.pop("issuer"), "sequence": body.pop("sequence")}
    body["required_claims"] = [{"claim": claim, "value": value} for claim, value in document.required_claims]
    body["permissions"] = [{"value": value, "permissions": its} for value, its in sorted(document.permissions.items())]
    issued_before = document.denied.issued_before
    body["denied"]["issued_before"] = [{"sub": sub, "time": time} for sub, time in sorted(issued_before.items())]
    members = {"format": FORMAT, **envelope, "critical": [], "body": body}
    return {ISSUER_JSON: orjson.dumps(members, option=orjson.OPT_SORT_KEYS)}


def decode_issuer(data: Mapping[str, bytes], reads: int = FORMAT) -> IssuerDocument:
    """The inverse. `reads`: the newest format that the reader knows. Raises IssuerDocumentError."""
    try:
        members = orjson.loads(data[ISSUER_JSON])
    except KeyError:
        raise IssuerDocumentError(f"the Secret has no {ISSUER_JSON}") from None
    except orjson.JSONDecodeError:
        raise IssuerDocumentError("the Secret holds something that is not JSON") from None
    fields = Fields(members, "issuer", IssuerDocumentError, lenient=True)
    format_ = fields.integer("format", 1, _INTEGER_LIMIT)
    critical = set(fields.texts("critical", _MEMBER, "the path of a member"))
    if format_ > reads or critical:
        raise IssuerDocumentError(f"format {format_} is newer than what this gateway reads ({reads})")
    document = fields.nested("body", _body)
    return replace(
        document,
        issuer=fields.nested("issuer", _namespaced_name),
        sequence=fields.integer("sequence", 0, _INTEGER_LIMIT),
    )


def same_content(one: IssuerDocument, other: IssuerDocument) -> bool:
    """Whether the two say the same, but for sequence and times."""
    return replace(one, sequence=0, fetched_at=0, valid_until=None) == replace(
        other, sequence=0, fetched_at=0, valid_until=None
    )


def _namespaced_name(fields: Fields) -> NamespacedName:
    namespace = fields.text("namespace", _NAME, "a DNS label")
    return fields.close(NamespacedName(namespace, fields.text("name", _NAME, "a DNS label")))


def _body(fields: Fields) -> IssuerDocument:
    sender: Any = fields.one_of("sender_constrained", get_args(SenderConstrained))
    return fields.close(
        IssuerDocument(
            issuer=NamespacedName("", ""),
            iss=fields.text("iss", _TEXT, "a text"),
            audiences=fields.texts("audiences", _TEXT, "a text"),
            algorithms=fields.texts("algorithms", _ALGORITHM, "an algorithm"),
            keys=fields.each("keys", _key),
            source=fields.text("source", _ANY_TEXT, "a text"),
            fetched_at=fields.integer("fetched_at", 0, _INTEGER_LIMIT),
            valid_until=fields.optional("valid_until", lambda name: fields.integer(name, 0, _INTEGER_LIMIT)),
            max_lifetime=fields.seconds("max_lifetime", _LONGEST),
            clock_skew=fields.number("clock_skew"),
            permissions_claim=_path(fields, "permissions_claim"),
            permissions=dict(fields.each("permissions", _permissions)),
            identity_claim=_path(fields, "identity_claim"),
            token_type=fields.optional("token_type", lambda name: fields.text(name, _TEXT, "a text")),
            required_claims=fields.each("required_claims", _required_claim),
            sender_constrained=sender,
            denied=fields.nested("denied", _denied),
        )
    )


def _path(fields: Fields, name: str) -> ClaimPath:
    path = fields.texts(name, _ANY_TEXT, "a text")
    if not path:
        raise IssuerDocumentError(f"issuer.body.{name} must name a claim")
    return path


def _key(fields: Fields) -> IssuerKey:
    kty: Any = fields.one_of("kty", tuple(PUBLIC_MEMBERS))
    members = fields.nested("members", lambda inner: _public_members(inner, PUBLIC_MEMBERS[kty]))
    return fields.close(
        IssuerKey(
            kty=kty,
            members=members,
            kid=fields.text("kid", _ANY_TEXT, "a text"),
            alg=fields.one_of("alg", ("", *get_args(Algorithm))),
            crv=fields.one_of("crv", ("", *_CURVES)),
        )
    )


def _public_members(fields: Fields, names: tuple[str, ...]) -> Mapping[str, str]:
    return {name: fields.text(name, _BASE64URL, "base64url") for name in names}


def _permissions(fields: Fields) -> tuple[str, tuple[Permission, ...]]:
    permissions = fields.texts("permissions", _PERMISSION, "a permission")
    return fields.close((fields.text("value", _ANY_TEXT, "a text"), cast("tuple[Permission, ...]", permissions)))


def _required_claim(fields: Fields) -> tuple[ClaimPath, str]:
    return fields.close((_path(fields, "claim"), fields.text("value", _TEXT, "a text")))


def _denied(fields: Fields) -> DeniedTokens:
    return fields.close(
        DeniedTokens(
            jti=fields.texts("jti", _TEXT, "a text"),
            sub=fields.texts("sub", _TEXT, "a text"),
            sid=fields.texts("sid", _TEXT, "a text"),
            issued_before=dict(fields.each("issued_before", _issued_before)),
        )
    )


def _issued_before(fields: Fields) -> tuple[str, int]:
    return fields.close((fields.text("sub", _ANY_TEXT, "a text"), fields.integer("time", 0, _INTEGER_LIMIT)))
