"""The text of an API key: `nl_<id>_<secret>_<checksum>`, 66 characters of ASCII.

- id: 12 random base62 digits; it names the key in status and audit and is not secret.
- secret: 32 random bytes read as a big-endian number, 43 base62 digits.
- checksum: zlib's CRC-32 (IEEE 802.3, reflected, polynomial 0xEDB88320) over the ASCII bytes of everything
  before the last underscore, `nl_<id>_<secret>`; the unsigned 32-bit number in 6 base62 digits.

Base62 is big-endian, padded with `0` on the left, with the alphabet `0-9A-Za-z` (see `base62`). The checksum
lets secret scanners and the gateway refuse a typo without a look-up; it does not prove who made the key.
We store only the SHA-256 (`digest`) of the whole 66 characters. The secret has 256 random bits, so a slow hash would
not make guessing harder; it would only let callers burn the gateway's CPU.
"""

import hashlib
import re
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field

from nightlatch.api_keys import base62

PREFIX = "nl"
ID_DIGITS = 12
SECRET_BYTES = 32
SECRET_DIGITS = 43
CHECKSUM_DIGITS = 6

_SHAPE = re.compile(
    rf"{PREFIX}_([0-9A-Za-z]{{{ID_DIGITS}}})_[0-9A-Za-z]{{{SECRET_DIGITS}}}_([0-9A-Za-z]{{{CHECKSUM_DIGITS}}})"
)


class MalformedKeyError(ValueError):
    """The text is not a Nightlatch API key. The message never repeats it."""


@dataclass(frozen=True, slots=True)
class ApiKeyText:
    """A new key. `text` is the secret itself and stays out of `repr`."""

    text: str = field(repr=False)
    key_id: str


@dataclass(frozen=True, slots=True)
class ParsedKey:
    """What we keep of a well-formed key: its id and the digest of its text."""

    key_id: str
    sha256: str


def mint(random: Callable[[int], bytes]) -> ApiKeyText:
    """A new key. `random(n)` returns n bytes of cryptographic quality (`secrets.token_bytes`)."""
    # 16 bytes for 71.5 bits: the bias of the remainder is below 2**-56, and the id is not secret.
    key_id = base62.encode(int.from_bytes(random(16)) % 62**ID_DIGITS, ID_DIGITS)
    secret = base62.encode(int.from_bytes(random(SECRET_BYTES)), SECRET_DIGITS)
    body = f"{PREFIX}_{key_id}_{secret}"
    return ApiKeyText(f"{body}_{checksum(body)}", key_id)


def checksum(body: str) -> str:
    """The six digits after `nl_<id>_<secret>_`."""
    return base62.encode(zlib.crc32(body.encode("ascii")), CHECKSUM_DIGITS)


def parse(text: str) -> ParsedKey:
    """The id and digest of a well-formed key. Raises MalformedKeyError."""
    match = _SHAPE.fullmatch(text)
    if match is None:
        raise MalformedKeyError("not an API key of the form nl_<id>_<secret>_<checksum>")
    if checksum(text.rpartition("_")[0]) != match[2]:
        raise MalformedKeyError("the API key's checksum is wrong: it was mistyped or cut short")
    return ParsedKey(match[1], digest(text))


def digest(text: str) -> str:
    """SHA-256 of the whole key text, lower-case hex: the form in which gateways know a key."""
    return hashlib.sha256(text.encode("utf-8")).hexdigest()
