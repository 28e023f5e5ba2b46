"""Keys that sign JSON Web Tokens, for assertions of clients and for proofs of possession. Needs the extra `signing`."""

from typing import Any

from nightlatch_client.errors import TokenError

_BY_CURVE = {"P-256": "ES256", "P-384": "ES384", "P-521": "ES512", "Ed25519": "EdDSA"}


class SigningKey:
    """algorithm: what it signs with. public: its JWK, without what is private."""

    def __init__(self, key: Any, algorithm: str | None = None) -> None:
        self._key = key
        self.public: dict[str, Any] = key.as_dict(private=False)
        self.algorithm = algorithm or _BY_CURVE.get(str(self.public.get("crv", "")), "RS256")

    @classmethod
    def generate(cls) -> "SigningKey":
        """A new key for ES256."""
        return cls(_jwk().ECKey.generate_key("P-256"))

    @classmethod
    def of_jwk(cls, jwk: dict[str, str]) -> "SigningKey":
        """Raises TokenError."""
        return cls(_imported(jwk, "the stored key"))

    @classmethod
    def of_pem(cls, pem: str, algorithm: str | None = None) -> "SigningKey":
        """A private key, PKCS#8 or the older forms. Raises TokenError."""
        kind = {"ES": "EC", "RS": "RSA", "PS": "RSA", "Ed": "OKP"}.get((algorithm or "")[:2])
        for each in (kind,) if kind else ("EC", "RSA", "OKP"):
            try:
                return cls(_jwk().import_key(pem, each), algorithm)
            except _broken():
                continue
        raise TokenError("the private key is not a PEM key of RSA, EC or Ed25519 that is free of a passphrase")

    def private(self) -> dict[str, Any]:
        """The whole JWK. Keep it in a file that is yours alone."""
        found: dict[str, Any] = self._key.as_dict(private=True)
        return found

    def thumbprint(self) -> str:
        """RFC 7638, SHA-256: what a token that is bound to this key has in `cnf.jkt`."""
        return str(self._key.thumbprint())

    def sign(self, header: dict[str, Any], claims: dict[str, Any]) -> str:
        """A JWT in compact form."""
        from joserfc import jwt  # noqa: PLC0415 - an extra, looked for when a key is made

        return str(jwt.encode({"alg": self.algorithm, **header}, claims, self._key, algorithms=[self.algorithm]))


def _imported(jwk: dict[str, str], what: str) -> Any:
    try:
        return _jwk().import_key(jwk)
    except _broken():
        raise TokenError(f"{what} is not a JSON Web Key") from None


def _jwk() -> Any:
    try:
        from joserfc import jwk  # noqa: PLC0415 - an extra
    except ImportError:
        raise TokenError("private_key_jwt and DPoP need a package: pip install 'nightlatch-client[signing]'") from None
    return jwk


def _broken() -> tuple[type[Exception], ...]:
    """What importing a key that is none raises."""
    from joserfc.errors import JoseError  # noqa: PLC0415 - an extra, looked for before

    return (JoseError, ValueError, TypeError)
