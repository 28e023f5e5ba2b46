"""Token issuers made for one test, and tokens of theirs: good ones, and ones with one thing wrong."""

import base64
import hmac
import json
import secrets
import time
from collections.abc import Mapping
from typing import Any

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

# Seconds by which the clocks of the attacked issuers may be off: tokens are made before the rows that try them.
SKEW = 3600


def encoded(content: Any) -> str:
    """base64url of bytes, or of JSON."""
    content = content if isinstance(content, bytes) else json.dumps(content).encode()
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def _number(value: int) -> str:
    return encoded(value.to_bytes((value.bit_length() + 7) // 8, "big"))


class Signer:
    """An issuer's key of one algorithm. Its kid is the algorithm's name."""

    def __init__(self, algorithm: str, kid: str = "", *, bits: int = 2048) -> None:
        self.algorithm = algorithm
        self.kid = kid or algorithm
        self.key: Any
        if algorithm == "EdDSA":
            self.key = ed25519.Ed25519PrivateKey.generate()
        elif algorithm == "ES256":
            self.key = ec.generate_private_key(ec.SECP256R1())
        else:
            self.key = rsa.generate_private_key(65537, bits)

    @property
    def jwk(self) -> dict[str, str]:
        """The public key."""
        public = self.key.public_key()
        named = {"kid": self.kid, "alg": self.algorithm}
        if self.algorithm == "EdDSA":
            return {"kty": "OKP", "crv": "Ed25519", "x": encoded(public.public_bytes_raw()), **named}
        numbers = public.public_numbers()
        if self.algorithm == "ES256":
            x, y = (encoded(each.to_bytes(32, "big")) for each in (numbers.x, numbers.y))
            return {"kty": "EC", "crv": "P-256", "x": x, "y": y, **named}
        return {"kty": "RSA", "n": _number(numbers.n), "e": _number(numbers.e), **named}

    @property
    def pem(self) -> bytes:
        """The public key."""
        return bytes(
            self.key.public_key().public_bytes(
                serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
            )
        )

    def sign(self, claims: Any, **header: Any) -> str:
        """A token. `claims` may be bytes, which need not be JSON; members of the header that are None are left out."""
        members = {"alg": self.algorithm, "kid": self.kid, **header}
        return self.sign_parts(json.dumps({name: it for name, it in members.items() if it is not None}), claims)

    def sign_parts(self, header: str, claims: Any) -> str:
        """A token with this text as its header."""
        payload = claims if isinstance(claims, bytes) else json.dumps(claims).encode()
        signed = f"{encoded(header.encode())}.{encoded(payload)}"
        return f"{signed}.{encoded(self.signature(signed.encode()))}"

    def signature(self, signed: bytes) -> bytes:
        """The signature alone."""
        match self.algorithm:
            case "EdDSA":
                return bytes(self.key.sign(signed))
            case "ES256":
                r, s = decode_dss_signature(self.key.sign(signed, ec.ECDSA(hashes.SHA256())))
                return r.to_bytes(32, "big") + s.to_bytes(32, "big")
            case "PS256":
                return bytes(self.key.sign(signed, padding.PSS(padding.MGF1(hashes.SHA256()), 32), hashes.SHA256()))
            case _:
                return bytes(self.key.sign(signed, padding.PKCS1v15(), hashes.SHA256()))


def claims(iss: str, aud: str, /, **changes: Any) -> dict[str, Any]:
    """Those of a good token that is valid for ten minutes; None leaves a claim out."""
    now = int(time.time())
    claimed = {"iss": iss, "aud": aud, "sub": "alice", "scope": "ml:infer ml:read", "iat": now, "exp": now + 600}
    claimed["jti"] = secrets.token_hex(8)
    return {name: value for name, value in {**claimed, **changes}.items() if value is not None}


def hs256(key: bytes, claimed: Mapping[str, Any], **header: Any) -> str:
    """Signed with a shared secret, such as the text of a public key."""
    signed = f"{encoded({'alg': 'HS256', **header})}.{encoded(dict(claimed))}"
    return f"{signed}.{encoded(hmac.digest(key, signed.encode(), 'sha256'))}"


def defects(signer: Signer, other: Signer, iss: str, other_iss: str, aud: str) -> dict[str, str]:
    """Tokens that are good (their names begin with `token`), and ones with one thing wrong, by what that is.

    signer: the issuer's RSA key. other: a key of the issuer `other_iss`, with the same kid.
    """
    now = int(time.time())
    # Not new, because the key of a new one might be on its way; and good for as long as the rows are tried.
    aged = claims(iss, aud, iat=now - 60, exp=now + SKEW)
    good = signer.sign(aged)
    head, payload, signature = good.split(".")

    def made(**changes: Any) -> str:
        return signer.sign({name: value for name, value in {**aged, **changes}.items() if value is not None})

    def said(text: str) -> str:
        return signer.sign(text.encode())

    def headed(**header: Any) -> str:
        return signer.sign(aged, **header)

    plain = json.dumps(aged)
    return {
        "token": good,
        "token_aud_list": made(aud=["other", aud]),
        "token_within_skew": made(exp=now - 60, iat=now - 120),
        "token_of_reader": made(scope="ml:read"),
        "token_scope_list": made(scope=["ml:infer", "ml:read"]),
        "token_of_ml": made(scope="ml:read", groups=["ml"]),
        "token_of_others": made(scope="ml:read", groups=["ml2"]),
        "token_of_namesake": made(scope="ml:read", sub="search/ruled"),
        "unsigned_of_ml": other.sign({**aged, "scope": "ml:read", "groups": ["ml"]}),
        "token_long": made(more="x" * 10_000),
        "none": f"{encoded({'alg': 'none', 'kid': signer.kid})}.{payload}.",
        "none_in_other_case": f"{encoded({'alg': 'nOnE', 'kid': signer.kid})}.{payload}.",
        "none_with_signature": f"{encoded({'alg': 'none', 'kid': signer.kid})}.{payload}.{signature}",
        "empty_signature": f"{head}.{payload}.",
        "hs256_pem": hs256(signer.pem, aged, kid=signer.kid),
        "hs256_jwk": hs256(json.dumps(signer.jwk).encode(), aged, kid=signer.kid),
        "alg_lower_case": headed(alg="rs256"),
        "alg_of_another_kind": headed(alg="ES256"),
        "alg_pss": headed(alg="PS256"),
        "alg_missing": headed(alg=None),
        "jku": headed(jku="https://evil.example/keys"),
        "x5u": headed(x5u="https://evil.example/chain"),
        "jwk": other.sign(aged, jwk=other.jwk),
        "x5c": headed(x5c=["MIIB"]),
        "kid_path": headed(kid="../../../../dev/null"),
        "kid_sql": headed(kid="' OR 1=1 --"),
        "kid_url": headed(kid="https://evil.example/key"),
        "kid_array": headed(kid=[signer.kid]),
        "kid_unknown": headed(kid=secrets.token_hex(8)),
        "jwe": f"{encoded({'alg': 'RSA-OAEP', 'enc': 'A256GCM'})}.{encoded(b'k')}.{encoded(b'v')}.{encoded(b'c')}.AAAA",
        "nested": signer.sign(good.encode(), cty="JWT"),
        "zip": headed(zip="DEF"),
        "crit": headed(crit=["exp"]),
        "crit_empty": headed(crit=[]),
        "b64": headed(b64=False, crit=["b64"]),
        "exp_missing": made(exp=None),
        "exp_text": made(exp=str(now + SKEW)),
        "exp_nan": said(plain.replace(str(aged["exp"]), "NaN")),
        "exp_1e400": said(plain.replace(str(aged["exp"]), "1e400")),
        "exp_over": made(exp=now - SKEW - 60, iat=now - SKEW - 120),
        "iat_missing": made(iat=None),
        "iat_future": made(iat=now + 2 * SKEW, exp=now + 3 * SKEW),
        "nbf_future": made(nbf=now + 2 * SKEW, exp=now + 3 * SKEW),
        "nbf_text": made(nbf="0"),
        "lifetime_too_long": made(exp=now + 48 * 3600),
        "aud_missing": made(aud=None),
        "aud_prefix": made(aud=aud[:-1]),
        "aud_longer": made(aud=f"{aud}2"),
        "aud_within": made(aud=f"a {aud} b"),
        "aud_list_of_others": made(aud=["other", f"{aud}2"]),
        "iss_slash": made(iss=f"{iss}/"),
        "iss_other_case": made(iss=iss.upper()),
        "iss_unknown": made(iss="https://nobody.example"),
        "iss_list": made(iss=[iss]),
        "other_issuer_by_our_key": made(iss=other_iss),
        "by_key_of_other_issuer": other.sign(aged),
        "changed_payload": f"{head}.{encoded({**aged, 'sub': 'bob'})}.{signature}",
        "changed_signature": f"{head}.{payload}.{encoded(other.signature(f'{head}.{payload}'.encode()))}",
        "member_twice": said('{"sub": "bob", ' + plain[1:]),
        "header_member_twice": signer.sign_parts(f'{{"alg": "RS256", "alg": "RS256", "kid": "{signer.kid}"}}', aged),
        "padding": f"{good}==",
        "alphabet": f"{head}.{payload}.+{signature[1:]}",
        "four_segments": f"{good}.AAAA",
        "not_json": said("alice"),
        "json_list": said(json.dumps([aged])),
        "byte_order_mark": signer.sign(b"\xef\xbb\xbf" + plain.encode()),
        "sub_missing": made(sub=None),
        "sub_number": made(sub=7),
        "bound_to_a_key": made(cnf={"jkt": "A" * 43}),
        "bound_to_a_certificate": made(cnf={"x5t#S256": "A" * 43}),
        "scope_longer": made(scope="ml:infer2"),
        "scope_other_case": made(scope="ML:INFER"),
        "scope_missing": made(scope=None),
        "denied_jti": made(jti="leaked"),
        "denied_sub": made(sub="mallory"),
        "denied_sid": made(sid="stolen"),
        "issued_before": made(sub="trudy"),
        "too_large": made(more="x" * 12_500),
    }
