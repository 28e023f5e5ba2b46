"""Token issuers and tokens for the benchmarks: for our gateway, and for Envoy's own filter for JSON Web Tokens."""

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from cryptography import x509
from cryptography.hazmat.primitives import hashes

from nightlatch.api.meta import NamespacedName
from nightlatch.api.scalars import Permission
from nightlatch.routing.ir import GateIR, IssuerIR
from nightlatch.wire.route_document import CertificateGrant, TrustedIssuer
from tests.attack.certificates import Leaf, Pki, Presented
from tests.attack.tokens import Signer, claims, encoded

ALGORITHMS = ("RS256", "PS256", "ES256", "EdDSA")
ISSUER = NamespacedName("bench", "corp")
ISS, AUDIENCE = "https://id.example", "minilm"
# The identity in the callers' certificate.
CALLER = "spiffe://corp.example/caller"
# How many tokens of an issuer the gate remembers (`gate/src/jwt/verified.rs`).
REMEMBERED = 2048
# Longer than any run.
_LIFETIME_S = 12 * 3600


@dataclass(frozen=True, slots=True)
class Signers:
    """One key for each algorithm, and a CA of callers."""

    by_algorithm: Mapping[str, Signer]
    pki: Pki

    @property
    def gate(self) -> GateIR:
        """What our gateway knows of the issuer."""
        keys = tuple(each.jwk for each in self.by_algorithm.values())
        permissions: dict[str, tuple[Permission, ...]] = {"ml:infer": ("infer", "metadata")}
        lifetime = float(_LIFETIME_S)
        issuer = IssuerIR(str(ISSUER), ISS, (AUDIENCE,), ALGORITHMS, keys, permissions, max_lifetime=lifetime)
        return GateIR(issuers=(issuer,))

    def jwt_authn(self, *, remembers: bool) -> dict[str, Any]:
        """The same issuer for Envoy's filter, as its configuration. remembers: with its cache, as large as ours."""
        keys = json.dumps({"keys": [each.jwk for each in self.by_algorithm.values()]})
        cache = {"jwt_cache_config": {"jwt_cache_size": REMEMBERED}} if remembers else {}
        provider = {
            **cache,
            "issuer": ISS,
            "audiences": [AUDIENCE],
            "local_jwks": {"inline_string": keys},
            "from_headers": [{"name": "authorization", "value_prefix": "Bearer "}],
        }
        rule = {"match": {"prefix": "/"}, "requires": {"provider_name": "corp"}}
        return {"providers": {"corp": provider}, "rules": [rule]}

    def caller(self) -> Presented:
        """A client certificate."""
        return self.pki.present(Leaf(uris=(CALLER,)))

    def tokens(self, algorithm: str, count: int, **more: Any) -> tuple[str, ...]:
        """Good ones, each of another subject."""
        signer = self.by_algorithm[algorithm]
        made = (claims(ISS, AUDIENCE, sub=f"caller-{index}", **more) for index in range(count))
        return tuple(signer.sign({**each, "exp": each["iat"] + _LIFETIME_S}) for each in made)


def certificate_digest(shown: Presented) -> str:
    """As a token that is bound to the certificate has it (RFC 8705)."""
    return encoded(x509.load_pem_x509_certificate(shown.chain.encode()).fingerprint(hashes.SHA256()))


def signers() -> Signers:
    """Fresh keys."""
    return Signers({algorithm: Signer(algorithm) for algorithm in ALGORITHMS}, Pki("callers"))


def document_members(accept: tuple[tuple[str, ...], ...], client_ca: str = "") -> dict[str, Any]:
    """The members of a route document that takes tokens."""
    granted = (CertificateGrant(CALLER, None, ("infer",)),) if client_ca else ()
    issuers = (TrustedIssuer(ISSUER, ISS),)
    return {"accept": accept, "issuers": issuers, "client_ca": client_ca, "certificates": granted}
