"""The forms in which a key or its digest can lie somewhere, and the search for them."""

import base64
import functools
import hashlib
from collections.abc import Iterable

# A slice of a key or digest of fewer characters than this is no longer a secret, and would be found by chance.
_SHORTEST = 24


@functools.cache
def traces(key: str) -> dict[str, bytes]:
    """What must not be found, by what it is. The id of the key is no secret and is not among it.

    Base64 depends on where in the encoded text the key begins, so that there are three forms of it.
    """
    text = key.encode()
    digest = hashlib.sha256(text).digest()
    secret = key.split("_")[2].encode()
    standard = base64.b64encode(digest).rstrip(b"=")
    found = {
        "the key": text,
        "its secret part": secret,
        "its secret part, percent-encoded": b"".join(b"%%%02x" % byte for byte in secret),
        "the digest in hex": digest.hex().encode(),
        "the digest in upper-case hex": digest.hex().upper().encode(),
        "the digest in base64": standard,
        "the digest in base64url": standard.translate(bytes.maketrans(b"+/", b"-_")),
        "the digest as bytes": digest,
    }
    for shift in range(3):
        encoded = base64.b64encode(b"\0" * shift + text)
        # The first and the last group may have bits of their neighbours in them.
        found[f"the key in base64, {shift} bytes into it"] = encoded[4:-4]
    assert all(len(form) >= _SHORTEST for form in found.values())
    return found


def found_in(content: bytes, keys: Iterable[str]) -> list[str]:
    """What of these keys the content has."""
    return [
        f"{what} of nl_{key.split('_')[1]}" for key in keys for what, form in traces(key).items() if form in content
    ]
