"""How a client proves to the provider who it is (RFC 6749, 2.3; RFC 7523; RFC 8705). Pure but for reading secrets."""

import base64
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote_plus

from nightlatch_client.secret import Secret, reveal
from nightlatch_client.signing import SigningKey

_ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_ASSERTION_LIVES_S = 60


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What a method may need. at: the time by the provider's clock. unique: makes an identifier that nobody had."""

    client_id: str
    issuer: str
    at: float
    unique: Callable[[], str]


@dataclass(frozen=True, slots=True)
class Proven:
    """What goes into the request. secrets: what must not come out of it again."""

    form: dict[str, str]
    headers: dict[str, str] = field(default_factory=dict)
    secrets: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ClientSecretBasic:
    """The secret in the header Authorization."""

    secret: Secret = field(repr=False)
    method = "client_secret_basic"

    def prove(self, given: Circumstances) -> Proven:
        secret = reveal(self.secret)
        pair = f"{quote_plus(given.client_id)}:{quote_plus(secret)}"
        encoded = base64.b64encode(pair.encode()).decode()
        return Proven({}, {"Authorization": f"Basic {encoded}"}, (secret, quote_plus(secret), encoded))


@dataclass(frozen=True, slots=True)
class ClientSecretPost:
    """The secret in the form."""

    secret: Secret = field(repr=False)
    method = "client_secret_post"

    def prove(self, given: Circumstances) -> Proven:
        secret = reveal(self.secret)
        return Proven({"client_id": given.client_id, "client_secret": secret}, secrets=(secret,))


@dataclass(frozen=True, slots=True)
class PrivateKeyJwt:
    """An assertion that the client signs. key: PEM. audience: the issuer, unless the provider wants another."""

    key: Secret = field(repr=False)
    algorithm: str | None = None
    key_id: str | None = None
    audience: str | None = None
    method = "private_key_jwt"

    def prove(self, given: Circumstances) -> Proven:
        key = SigningKey.of_pem(reveal(self.key), self.algorithm)
        header: dict[str, Any] = {"typ": "JWT"} | ({"kid": self.key_id} if self.key_id else {})
        issued = int(given.at)
        claims = {
            "iss": given.client_id,
            "sub": given.client_id,
            "aud": self.audience or given.issuer,
            "jti": given.unique(),
            "iat": issued,
            "exp": issued + _ASSERTION_LIVES_S,
        }
        assertion = key.sign(header, claims)
        form = {"client_id": given.client_id, "client_assertion_type": _ASSERTION, "client_assertion": assertion}
        return Proven(form, secrets=(assertion,))


@dataclass(frozen=True, slots=True)
class TlsClientAuth:
    """The certificate of the connection: the client needs one."""

    method = "tls_client_auth"

    def prove(self, given: Circumstances) -> Proven:
        return Proven({"client_id": given.client_id})


@dataclass(frozen=True, slots=True)
class PublicClient:
    """No proof: an app on somebody's machine, which cannot keep a secret."""

    method = "none"

    def prove(self, given: Circumstances) -> Proven:
        return Proven({"client_id": given.client_id})


Authentication = ClientSecretBasic | ClientSecretPost | PrivateKeyJwt | TlsClientAuth | PublicClient
