"""Which keys of a JSON Web Key Set (RFC 7517) verify signatures of an issuer, or why the whole set is refused.

Keys for other purposes are passed over. A set that nobody should sign with is refused whole: a provider that publishes
a private key, or two keys under one name, is not one to believe in the rest.
"""

import base64
import hashlib
import json
import re
from collections.abc import Collection, Mapping
from typing import Any

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from nightlatch.api.conditions import Reason
from nightlatch.wire.issuer_document import PUBLIC_MEMBERS, IssuerKey

MOST_KEYS = 64
SHORTEST_RSA, LONGEST_RSA, LONGEST_EXPONENT = 2048, 8192, 32
_LONGEST_KID = 256
# Members of a private or a symmetric key.
_SECRET = ("d", "p", "q", "dp", "dq", "qi", "oth", "k")
_BASE64URL = re.compile(r"[A-Za-z0-9_-]+")
_BY_CURVE = {"P-256": "ES256", "P-384": "ES384", "P-521": "ES512", "Ed25519": "EdDSA"}
_CURVE_OF: Mapping[str, ec.EllipticCurve] = {"P-256": ec.SECP256R1(), "P-384": ec.SECP384R1(), "P-521": ec.SECP521R1()}
_CURVES = {"EC": ("P-256", "P-384", "P-521"), "OKP": ("Ed25519",), "RSA": ("",)}
_RSA = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")


class KeySetError(ValueError):
    """The set is refused. The message names the key and says what to do, and repeats no key material."""

    def __init__(self, why: Reason, message: str) -> None:
        self.reason = why
        super().__init__(message)


def read_key_set(content: bytes, algorithms: Collection[str]) -> tuple[IssuerKey, ...]:
    """The keys that verify signatures of these algorithms, in the set's order. Raises KeySetError."""
    keys = read_json(content, "the key set").get("keys")
    if not isinstance(keys, list) or not all(isinstance(key, dict) for key in keys):
        raise KeySetError(Reason.ANSWER_REFUSED, "the key set has no list `keys` of JSON Web Keys")
    if len(keys) > MOST_KEYS:
        raise KeySetError(Reason.KEY_INVALID, f"the key set has more than {MOST_KEYS} keys: remove old ones")
    found = [key for raw in keys if (key := _usable(raw, algorithms))]
    kids = [key.kid for key in found if key.kid]
    if repeated := sorted({kid for kid in kids if kids.count(kid) > 1}):
        raise KeySetError(Reason.KEY_ID_REPEATED, f"two keys have the kid {repeated[0]!r}: give each its own")
    if not found:
        raise KeySetError(
            Reason.NO_USABLE_KEY, f"no key verifies signatures of the algorithms {', '.join(sorted(algorithms))}"
        )
    return tuple(found)


def read_json(content: bytes, what: str) -> Mapping[str, Any]:
    """A JSON object without repeated members, of which readers would take different ones. Raises KeySetError."""
    try:
        value = json.loads(content, object_pairs_hook=_once)
    except (ValueError, RecursionError):
        raise KeySetError(Reason.ANSWER_REFUSED, f"{what} is not JSON, or has a member twice") from None
    if not isinstance(value, dict):
        raise KeySetError(Reason.ANSWER_REFUSED, f"{what} is not a JSON object")
    return value


def name_of(key: IssuerKey) -> str:
    """The key's id, or its thumbprint (RFC 7638) where the set gives it none."""
    if key.kid:
        return key.kid
    required = {"kty": key.kty, **({"crv": key.crv} if key.crv else {}), **key.members}
    text = json.dumps(required, sort_keys=True, separators=(",", ":"))
    return _encoded(hashlib.sha256(text.encode()).digest())


def algorithms_of(key: IssuerKey, algorithms: Collection[str]) -> tuple[str, ...]:
    """The issuer's algorithms that the key may be used with."""
    own = (key.alg,) if key.alg else (_BY_CURVE[key.crv],) if key.crv else _RSA
    return tuple(each for each in own if each in algorithms)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a member is there twice")
    return members


def _usable(raw: Mapping[str, Any], algorithms: Collection[str]) -> IssuerKey | None:
    """None: the key is for something else."""
    texts = {name: raw.get(name, "") for name in ("kty", "kid", "alg", "crv", "use")}
    if not all(isinstance(value, str) for value in texts.values()) or len(texts["kid"]) > _LONGEST_KID:
        raise KeySetError(Reason.KEY_INVALID, "a key's kty, kid, alg, crv or use is no text, or its kid is too long")
    kty, kid, alg, crv = (texts[name] for name in ("kty", "kid", "alg", "crv"))
    if secret := next((name for name in _SECRET if name in raw), "k" if kty == "oct" else ""):
        raise KeySetError(
            Reason.KEY_NOT_PUBLIC,
            f"{_called(kid)} is private or symmetric (it has {secret}): whoever read it can sign; replace it",
        )
    operations = raw.get("key_ops")
    verifies = operations is None or (isinstance(operations, list) and "verify" in operations)
    if kty not in PUBLIC_MEMBERS or (crv if kty != "RSA" else "") not in _CURVES[kty]:
        return None
    suitable = _RSA if kty == "RSA" else (_BY_CURVE[crv],)
    wanted = [each for each in suitable if each in algorithms and alg in {"", each}]
    if not verifies or texts["use"] not in {"", "sig"} or not wanted:
        return None
    crv = "" if kty == "RSA" else crv
    return IssuerKey(kty=kty, members=_public(raw), kid=kid, alg=alg, crv=crv)


def _called(kid: str) -> str:
    return f"key {kid!r}" if kid else "a key without a kid"


def _public(raw: Mapping[str, Any]) -> Mapping[str, str]:
    """The key's public numbers, written anew. Raises KeySetError."""
    called = _called(raw.get("kid", ""))
    try:
        numbers = {name: _decoded(raw.get(name)) for name in PUBLIC_MEMBERS[raw["kty"]]}
        match raw["kty"]:
            case "RSA":
                return _rsa(numbers, called)
            case "EC":
                return _curve(raw["crv"], numbers)
            case _:
                key = ed25519.Ed25519PublicKey.from_public_bytes(numbers["x"])
                return {"x": _encoded(key.public_bytes_raw())}
    except KeySetError:
        raise
    except (ValueError, UnsupportedAlgorithm):
        raise KeySetError(Reason.KEY_INVALID, f"{called} is no public key of its type") from None


def _rsa(numbers: Mapping[str, bytes], called: str) -> Mapping[str, str]:
    modulus, exponent = (int.from_bytes(numbers[name], "big") for name in ("n", "e"))
    bits = modulus.bit_length()
    if bits < SHORTEST_RSA:
        message = f"{called} is an RSA key of {bits} bits; {SHORTEST_RSA} are the least"
        raise KeySetError(Reason.KEY_TOO_WEAK, message)
    if bits > LONGEST_RSA:
        raise KeySetError(Reason.KEY_INVALID, f"{called} is an RSA key of {bits} bits; {LONGEST_RSA} are the most")
    if exponent.bit_length() > LONGEST_EXPONENT:
        raise KeySetError(Reason.KEY_INVALID, f"{called} has an RSA exponent of more than {LONGEST_EXPONENT} bits")
    rsa.RSAPublicNumbers(exponent, modulus).public_key()
    return {"n": _number(modulus), "e": _number(exponent)}


def _curve(crv: str, numbers: Mapping[str, bytes]) -> Mapping[str, str]:
    curve = _CURVE_OF[crv]
    size = (curve.key_size + 7) // 8
    if any(len(each) != size for each in numbers.values()):
        raise ValueError("a coordinate has another length than the curve")
    x, y = (int.from_bytes(numbers[name], "big") for name in ("x", "y"))
    ec.EllipticCurvePublicNumbers(x, y, curve).public_key()
    return {"x": _encoded(numbers["x"]), "y": _encoded(numbers["y"])}


def _decoded(value: Any) -> bytes:
    """base64url in its one spelling, without padding. Raises ValueError."""
    if not isinstance(value, str) or not _BASE64URL.fullmatch(value):
        raise ValueError("not base64url")
    found = base64.urlsafe_b64decode(value + "=" * (-len(value) % 4))
    if _encoded(found) != value:
        raise ValueError("bits are left over")
    return found


def _number(value: int) -> str:
    return _encoded(value.to_bytes((value.bit_length() + 7) // 8, "big"))


def _encoded(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode("ascii")
