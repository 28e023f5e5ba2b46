"""The claims of a proof of possession (RFC 9449, 4.2). Pure."""

import base64
import hashlib
from typing import Any
from urllib.parse import urlsplit, urlunsplit


def claims(method: str, url: str, *, at: float, jti: str, nonce: str | None, token: str | None) -> dict[str, Any]:
    """at: the time by the server's clock. token: the access token that the proof goes with."""
    parts = urlsplit(url)
    found: dict[str, Any] = {
        "jti": jti,
        "htm": method.upper(),
        "htu": urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path or "/", "", "")),
        "iat": int(at),
    }
    if nonce is not None:
        found["nonce"] = nonce
    if token is not None:
        found["ath"] = unpadded(hashlib.sha256(token.encode("ascii")).digest())
    return found


def asks_for_nonce(challenge: str) -> bool:
    """Whether `WWW-Authenticate` of a server says that the proof needs its nonce (RFC 9449, 9)."""
    return "use_dpop_nonce" in challenge


def unpadded(raw: bytes) -> str:
    """Base64url without padding."""
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
