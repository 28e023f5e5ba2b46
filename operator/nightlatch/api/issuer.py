"""TokenIssuer: an identity provider whose tokens are accepted, and what they permit. Nothing acts on it yet.

The docstrings of models and fields are what `kubectl explain` and docs/reference/api.md show.
"""

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field

from nightlatch.api.meta import Conditions, Generation, NamespacedName, ObjectMeta, Shape, Timestamp
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
    """Public keys, written here."""

    keys: Annotated[tuple[dict[str, Any], ...], Field(min_length=1, max_length=32)]
    """The public keys as JSON Web Keys (RFC 7517)."""


class KubernetesKeys(Shape):
    """The keys with which this cluster signs ServiceAccount tokens. It has no fields; write kubernetes: {}."""


class IssuerKeys(Shape):
    """Where the keys that verify tokens come from. Write exactly one of discovery, jwksUri, inline and kubernetes."""

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
    """Find the keys by OpenID Connect discovery at `issuer`."""
    jwks_uri: HttpsUrl | None = None
    """The URL of the issuer's JSON Web Key Set."""
    inline: InlineKeys | None = None
    kubernetes: KubernetesKeys | None = None


class PermissionsFrom(Shape):
    """Which values of a claim give which permissions."""

    claim: ShortText = "scope"
    """The claim. A text is split at blanks; a list is taken as it is."""
    map: Annotated[
        dict[str, Annotated[tuple[Permission, ...], Field(min_length=1, max_length=4)]], Field(max_length=64)
    ] = Field(default_factory=dict)
    """Permissions by value of the claim."""


class IdentityFrom(Shape):
    """Which claim names the caller."""

    claim: ShortText = "sub"
    """The claim."""


class ClientAuth(Shape):
    """How Nightlatch authenticates at the introspection endpoint."""

    method: Literal["private_key_jwt", "tls_client_auth", "client_secret_basic"]
    """The method, by its name in OAuth 2.0."""
    secret_ref: SecretReference
    """A Secret with the credentials."""


class Introspection(Shape):
    """Token introspection (RFC 7662), for opaque tokens."""

    endpoint: HttpsUrl
    """The URL of the introspection endpoint."""
    client_auth: ClientAuth
    cache: Duration = "60s"
    """How long an answer is kept, at most."""


class Denied(Shape):
    """Tokens that are refused before they expire."""

    jti: Annotated[tuple[ShortText, ...], Field(max_length=1024)] = ()
    """Ids of tokens."""
    sub: Annotated[tuple[ShortText, ...], Field(max_length=1024)] = ()
    """Subjects of tokens."""


class IssuerSpec(Shape):
    """An identity provider whose tokens are accepted, and what they permit."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            (
                "has(self.keys) || has(self.introspection)",
                "write keys (such as keys: {discovery: true}), or introspection for opaque tokens",
            )
        )
    )

    issuer: HttpsUrl
    """The issuer. A token's `iss` must be exactly this."""
    audiences: Annotated[tuple[ShortText, ...], Field(min_length=1, max_length=16)]
    """A token's `aud` must contain one of these."""
    keys: IssuerKeys | None = None
    algorithms: Annotated[
        tuple[
            Literal["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"],
            ...,
        ],
        Field(min_length=1, max_length=10),
    ] = ("RS256", "PS256", "ES256", "EdDSA")
    """The signature algorithms that are accepted. `RS256`, `RS384`, `RS512`: RSA (PKCS #1 v1.5) with SHA-256, SHA-384
    or SHA-512. `PS256`, `PS384`, `PS512`: RSA-PSS with the same. `ES256`, `ES384`, `ES512`: ECDSA on the curve P-256,
    P-384 or P-521. `EdDSA`: the curve Ed25519."""
    required_claims: Annotated[dict[str, ShortText], Field(max_length=16)] = Field(default_factory=dict)
    """Claims that a token must have, with these values."""
    token_type: ShortText | None = None
    """A token's `typ` must be this, such as at+jwt. Left out: any."""
    max_lifetime: Duration = "24h"
    """Tokens that are valid for longer are refused."""
    clock_skew: Duration = "30s"
    """How far the issuer's clock may be off. Must be shorter than `maxLifetime`."""
    permissions_from: PermissionsFrom = PermissionsFrom()
    identity_from: IdentityFrom = IdentityFrom()
    sender_constrained: Literal["Never", "IfBound", "Always"] = "IfBound"
    """Whether a token only counts together with a proof that its holder presents it: `Never`, only for tokens that are
    bound to a key (`IfBound`), or `Always`."""
    introspection: Introspection | None = None
    refresh: Duration = "5m"
    """How often the keys are fetched. Must be shorter than `maxStale`."""
    max_stale: Duration = "1h"
    """How long the last keys are used while the issuer cannot be reached."""
    denied: Denied = Denied()


class IssuerKeyStatus(Shape):
    """One key that verifies tokens."""

    kid: str
    """The key's id."""
    alg: str
    """The key's signature algorithm."""
    fetched_at: Timestamp
    """When the key was fetched."""


class IssuerStatus(Shape):
    """What the operator last observed."""

    observed_generation: Generation = 0
    """The newest `metadata.generation` that the operator has seen. 0: none yet. Each condition has one of its own."""
    conditions: Conditions = ()
    """Whether the issuer's tokens can be verified, and if not, why."""
    keys: Annotated[
        tuple[IssuerKeyStatus, ...],
        Field(
            max_length=64,
            json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["kid"]},
        ),
    ] = ()
    """The keys in use."""


class TokenIssuer(Shape):
    """An identity provider whose tokens are accepted, and what they permit. Not supported yet."""

    # Parsed from a raw object by nightlatch.api.validation.parse.parse_issuer.
    metadata: ObjectMeta
    spec: IssuerSpec
    status: IssuerStatus = IssuerStatus()

    @property
    def key(self) -> NamespacedName:
        return self.metadata.key
