"""TokenIssuer: whose tokens are believed, and what they permit. Behaviour comes later; the shape is whole."""

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field

from nightlatch.api.meta import Conditions, NamespacedName, ObjectMeta, Shape
from nightlatch.api.rules import exactly_one, matching, rules
from nightlatch.api.scalars import Duration, Permission, SecretReference

HttpsUrl = Annotated[
    str,
    Field(
        pattern=r"^https://.+$",
        max_length=2048,
        json_schema_extra=matching("^https://.+$", "write a URL that starts with https://"),
    ),
]
ShortText = Annotated[str, Field(min_length=1, max_length=256)]


class InlineKeys(Shape):
    """A JWKS written in place."""

    keys: Annotated[tuple[dict[str, Any], ...], Field(min_length=1, max_length=32)]


class KubernetesKeys(Shape):
    """The cluster's own ServiceAccount keys."""


class IssuerKeys(Shape):
    """Where the verification keys come from: exactly one of discovery, jwksUri, inline and kubernetes."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            (
                exactly_one("discovery", "jwksUri", "inline", "kubernetes"),
                "write exactly one of discovery: true, jwksUri, inline and kubernetes: {}",
            )
        )
    )

    discovery: (
        Annotated[
            Literal[True],
            Field(json_schema_extra=rules(("self", "write discovery: true, or another way to find the keys"))),
        ]
        | None
    ) = None
    jwks_uri: HttpsUrl | None = None
    inline: InlineKeys | None = None
    kubernetes: KubernetesKeys | None = None


class PermissionsFrom(Shape):
    """Which claim values give which permissions."""

    claim: ShortText = "scope"
    map: Annotated[
        dict[str, Annotated[tuple[Permission, ...], Field(min_length=1, max_length=4)]], Field(max_length=64)
    ] = Field(default_factory=dict)


class IdentityFrom(Shape):
    """Which claim names the caller."""

    claim: ShortText = "sub"


class ClientAuth(Shape):
    """How we authenticate at the introspection endpoint."""

    method: Literal["private_key_jwt", "tls_client_auth", "client_secret_basic"]
    secret_ref: SecretReference


class Introspection(Shape):
    """RFC 7662 for opaque tokens."""

    endpoint: HttpsUrl
    client_auth: ClientAuth
    cache: Duration = "60s"


class Denied(Shape):
    """Tokens refused before they expire."""

    jti: Annotated[tuple[ShortText, ...], Field(max_length=1024)] = ()
    sub: Annotated[tuple[ShortText, ...], Field(max_length=1024)] = ()


class IssuerSpec(Shape):
    """Whose tokens are believed, and what they permit."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            (
                "has(self.keys) || has(self.introspection)",
                "write keys (such as keys: {discovery: true}), or introspection for opaque tokens",
            )
        )
    )

    issuer: HttpsUrl
    audiences: Annotated[tuple[ShortText, ...], Field(min_length=1, max_length=16)]
    keys: IssuerKeys | None = None
    algorithms: Annotated[
        tuple[
            Literal["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"],
            ...,
        ],
        Field(min_length=1, max_length=10),
    ] = ("RS256", "PS256", "ES256", "EdDSA")
    required_claims: Annotated[dict[str, ShortText], Field(max_length=16)] = Field(default_factory=dict)
    token_type: ShortText | None = None
    max_lifetime: Duration = "24h"
    clock_skew: Duration = "30s"
    permissions_from: PermissionsFrom = PermissionsFrom()
    identity_from: IdentityFrom = IdentityFrom()
    sender_constrained: Literal["Never", "IfBound", "Always"] = "IfBound"
    introspection: Introspection | None = None
    refresh: Duration = "5m"
    max_stale: Duration = "1h"
    denied: Denied = Denied()


class IssuerKeyStatus(Shape):
    """One verification key in use."""

    kid: str
    alg: str
    fetched_at: str


class IssuerStatus(Shape):
    """What the operator last saw."""

    observed_generation: int = 0
    conditions: Conditions = ()
    keys: tuple[IssuerKeyStatus, ...] = ()


class TokenIssuer(Shape):
    """An issuer of tokens, and what its tokens permit."""

    # Parsed from a raw object by nightlatch.api.validation.parse.parse_issuer.
    metadata: ObjectMeta
    spec: IssuerSpec
    status: IssuerStatus = IssuerStatus()

    @property
    def key(self) -> NamespacedName:
        """Namespace and name."""
        return self.metadata.key
