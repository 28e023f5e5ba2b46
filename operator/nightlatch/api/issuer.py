"""TokenIssuer: an identity provider whose tokens are accepted, and what they permit.

The docstrings of models and fields are what `kubectl explain` and docs/reference/api.md show.
"""

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field

from nightlatch.api.meta import Conditions, Generation, NamespacedName, ObjectMeta, Shape, Timestamp
from nightlatch.api.references import AllowedNamespaces
from nightlatch.api.rules import AS_SET, as_map, exactly_one, rules, shorter, shorter_or_equal, worded
from nightlatch.api.scalars import Duration, Permission, SecretReference, Time, within

HttpsUrl = Annotated[
    str,
    worded(
        "^https://[^/?#@ ]+([/?][!-~]*)?$",
        "write a URL that starts with https:// and a host, without blanks and without a user's name",
        2048,
    ),
]
ShortText = Annotated[str, Field(min_length=1, max_length=256)]
Algorithm = Literal["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"]


class InlineKeys(Shape):
    """Public keys, written here."""

    keys: Annotated[tuple[dict[str, Any], ...], Field(min_length=1, max_length=32)]
    """The public keys as JSON Web Keys (RFC 7517)."""


class KubernetesKeys(Shape):
    """This cluster's keys for ServiceAccount tokens, read from its API server. No fields: write kubernetes: {}."""


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
    """The claim. A text is split at blanks; a list is taken as it is. Dots lead to claims inside others, such as
    realm_access.roles; a claim whose name is a URL is taken whole, and so is kubernetes.io."""
    map: Annotated[
        dict[str, Annotated[tuple[Permission, ...], Field(min_length=1, max_length=4, json_schema_extra=AS_SET)]],
        Field(max_length=64),
    ] = Field(default_factory=dict)
    """Permissions by value of the claim."""


class IdentityFrom(Shape):
    """Which claim names the caller."""

    claim: ShortText = "sub"
    """The claim, which must be a text. Dots lead to claims inside others."""


class ClientAuth(Shape):
    """How Nightlatch authenticates at the introspection endpoint."""

    method: Literal["client_secret_basic", "client_secret_post", "private_key_jwt", "tls_client_auth"]
    """The method, by its name in OAuth 2.0. `client_secret_basic`: id and secret in the Authorization header.
    `client_secret_post`: both in the form. `private_key_jwt`: a JWT signed with a private key (RFC 7523).
    `tls_client_auth`: a client certificate (RFC 8705)."""
    secret_ref: SecretReference
    """A Secret with the credentials: `client-id`, and `client-secret`, or `tls.crt` and `tls.key`. It needs the label
    `nightlatch.dev/use: credentials`."""


class Introspection(Shape):
    """Token introspection (RFC 7662), for opaque tokens."""

    endpoint: HttpsUrl
    """The URL of the introspection endpoint."""
    client_auth: ClientAuth
    cache: Annotated[Duration, within("1s")] = "60s"
    """How long an answer is kept, at most, and so how long a token works after the provider revoked it."""


class IssuedBefore(Shape):
    """Refuses tokens that were issued before a time, such as the time of a theft."""

    sub: Annotated[str, Field(max_length=256)] = ""
    """The subject of the tokens. Left out or empty: every subject."""
    time: Time
    """Tokens whose `iat` is earlier are refused, and tokens without `iat`."""


_DENIED = Field(max_length=1024, json_schema_extra=AS_SET)


class Denied(Shape):
    """Tokens that are refused before they expire."""

    jti: Annotated[tuple[ShortText, ...], _DENIED] = ()
    """Ids of tokens."""
    sub: Annotated[tuple[ShortText, ...], _DENIED] = ()
    """Subjects of tokens."""
    sid: Annotated[tuple[ShortText, ...], _DENIED] = ()
    """Ids of sessions at the provider."""
    issued_before: Annotated[tuple[IssuedBefore, ...], Field(max_length=1024, json_schema_extra=as_map("sub"))] = ()
    """Tokens that are too old, by subject."""


class TokenEndpoint(Shape):
    """A token endpoint of Nightlatch's own (RFC 6749) on the gateways, for teams without an identity provider."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            (
                "self.dpop != 'Required' || !self.certificateBound",
                "a token is bound to one key: write dpop: Optional, or certificateBound: false",
            )
        )
    )

    grant_types: Annotated[
        tuple[Literal["client_credentials", "token_exchange"], ...],
        Field(min_length=1, max_length=2, json_schema_extra=AS_SET),
    ] = ("client_credentials", "token_exchange")
    """How callers get a token. `client_credentials`: for the credential of an InferenceClient (RFC 6749, 4.4).
    `token_exchange`: for a token of this issuer, with fewer permissions or a shorter life (RFC 8693)."""
    mechanisms: Annotated[
        tuple[Literal["apiKey", "mtls"], ...], Field(min_length=1, max_length=2, json_schema_extra=AS_SET)
    ] = ("apiKey", "mtls")
    """The credentials that `client_credentials` takes. `apiKey`: the client's API key. `mtls`: the client's certificate
    (RFC 8705)."""
    token_lifetime: Annotated[Duration, within("1m", "24h")] = "10m"  # noqa: S105 - a duration
    """How long a token is valid. At most `maxLifetime`."""
    audience: ShortText | None = None
    """The `aud` of a token for which the caller asks for none. One of `audiences`; may be left out if there is only
    one."""
    algorithm: Literal["ES256", "EdDSA", "PS256"] = "ES256"
    """How tokens are signed. One of `algorithms`. `ES256` is understood everywhere. `EdDSA` is Ed25519. `PS256` is RSA,
    whose tokens are longer."""
    rotate_every: Annotated[Duration, within("1h")] = "24h"
    """How long a key signs before a new one takes its place. The old one is known until its last token has expired."""
    dpop: Literal["Optional", "Required"] = "Optional"
    """Whether callers prove that they hold a key (RFC 9449). `Optional`: a caller that sends a proof gets a token that
    is bound to its key. `Required`: a caller without a proof gets none."""
    certificate_bound: bool = False
    """True binds a token to the certificate with which the caller asked for it (RFC 8705). Endpoints that take it must
    enable `access.mtls`."""


_AUDIENCE_OF_OUR_TOKENS = (
    "!has(self.tokenEndpoint) || (has(self.tokenEndpoint.audience) ? "
    "self.tokenEndpoint.audience in self.audiences : self.audiences.size() == 1)"
)
_LIFETIME_OF_OUR_TOKENS = (
    f"!has(self.tokenEndpoint) || {shorter_or_equal('self.tokenEndpoint.tokenLifetime', 'self.maxLifetime')}"
)


class IssuerSpec(Shape):
    """An identity provider whose tokens are accepted, and what they permit."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            (
                "has(self.keys) || has(self.introspection) || has(self.tokenEndpoint)",
                "write keys (such as keys: {discovery: true}), or introspection for opaque tokens, or tokenEndpoint",
            ),
            (
                "has(self.issuer) || has(self.tokenEndpoint) || (has(self.keys) && has(self.keys.kubernetes))",
                "write issuer, the exact `iss` of the tokens, such as https://id.example/realms/ml",
            ),
            (
                "!has(self.tokenEndpoint) || !(has(self.keys) || has(self.introspection) || has(self.caSecretRef))",
                "tokenEndpoint has its own keys: remove keys, introspection and caSecretRef, or remove tokenEndpoint",
            ),
            (
                "!has(self.caSecretRef) || !has(self.keys) || !has(self.keys.kubernetes)",
                "keys.kubernetes needs no CA, because the operator trusts the API server already: remove caSecretRef",
            ),
            (
                "!has(self.caSecretRef) || has(self.introspection) || !has(self.keys) || !has(self.keys.inline)",
                "keys.inline are not fetched, so there is no certificate to check: remove caSecretRef",
            ),
            (_AUDIENCE_OF_OUR_TOKENS, "write tokenEndpoint.audience, and make it one of audiences"),
            (
                "!has(self.tokenEndpoint) || self.tokenEndpoint.algorithm in self.algorithms",
                "tokenEndpoint.algorithm is not in algorithms, so its tokens would be refused: add it there",
            ),
            (
                _LIFETIME_OF_OUR_TOKENS,
                "tokenEndpoint.tokenLifetime is above maxLifetime, so its tokens would be refused: shorten it",
            ),
            (
                shorter("refresh", "maxStale"),
                "refresh (5m if left out) must be shorter than maxStale (1h): shorten refresh, or raise maxStale",
            ),
            (
                shorter("clockSkew", "maxLifetime"),
                "clockSkew (30s if left out) must be shorter than maxLifetime (24h): shorten it, or raise maxLifetime",
            ),
        )
    )

    issuer: HttpsUrl | None = None
    """The issuer. A token's `iss` must be exactly this. Required, except with `tokenEndpoint`, where the default is the
    address at which the gateways serve it, and with `keys.kubernetes`, where it is what the cluster calls itself."""
    audiences: Annotated[tuple[ShortText, ...], Field(min_length=1, max_length=16, json_schema_extra=AS_SET)]
    """A token's `aud` must contain one of these."""
    keys: IssuerKeys | None = None
    algorithms: Annotated[tuple[Algorithm, ...], Field(min_length=1, max_length=10, json_schema_extra=AS_SET)] = (
        "RS256",
        "PS256",
        "ES256",
        "EdDSA",
    )
    """The signature algorithms that are accepted, and never a shared secret (HS256). `RS256`, `RS384`, `RS512`: RSA
    (PKCS #1 v1.5) with SHA-256, SHA-384 or SHA-512. `PS256`, `PS384`, `PS512`: RSA-PSS with the same. `ES256`, `ES384`,
    `ES512`: ECDSA on the curve P-256, P-384 or P-521. `EdDSA`: the curve Ed25519."""
    required_claims: Annotated[dict[str, ShortText], Field(max_length=16)] = Field(default_factory=dict)
    """Claims that a token must have, with these values. Dots lead to claims inside others."""
    token_type: ShortText | None = None
    """A token's `typ` must be this, such as at+jwt. Left out: any."""
    max_lifetime: Annotated[Duration, within("1m")] = "24h"
    """Tokens that are valid for longer are refused."""
    clock_skew: Annotated[Duration, within("0s", "10m")] = "30s"
    """How far the issuer's clock may be off. Must be shorter than `maxLifetime`."""
    permissions_from: PermissionsFrom = PermissionsFrom()
    identity_from: IdentityFrom = IdentityFrom()
    sender_constrained: Literal["Never", "IfBound", "Always"] = "IfBound"
    """Whether a token only counts together with a proof that its holder presents it (RFC 8705, RFC 9449). `Never`: a
    proof is not asked for. `IfBound`: it is asked for if the token is bound to a key. `Always`: a token that is bound
    to no key is refused."""
    introspection: Introspection | None = None
    refresh: Annotated[Duration, within("30s")] = "5m"
    """How often the keys are fetched. Must be shorter than `maxStale`."""
    max_stale: Annotated[Duration, within("1m")] = "1h"
    """How long the last keys are used while the issuer cannot be reached."""
    ca_secret_ref: SecretReference | None = None
    """A Secret whose `ca.crt` holds the CA certificates of the identity provider. It needs the label
    `nightlatch.dev/use: trust`. Default: the CAs that the operator's image knows. Refused where nothing is asked of a
    provider, as with `keys.inline` alone."""
    denied: Denied = Denied()
    allowed_namespaces: AllowedNamespaces = AllowedNamespaces()
    token_endpoint: TokenEndpoint | None = None


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
    issuer: str | None = None
    """What the `iss` of a token must be."""
    keys: Annotated[
        tuple[IssuerKeyStatus, ...],
        Field(
            max_length=64,
            json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["kid"]},
        ),
    ] = ()
    """The keys in use."""


class TokenIssuer(Shape):
    """An identity provider whose tokens are accepted, and what they permit."""

    # Parsed from a raw object by nightlatch.api.validation.parse.parse_issuer.
    metadata: ObjectMeta
    spec: IssuerSpec
    status: IssuerStatus = IssuerStatus()

    @property
    def key(self) -> NamespacedName:
        return self.metadata.key
