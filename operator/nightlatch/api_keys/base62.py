"""Base62, big-endian, of a fixed width: digits `0-9`, then `A-Z`, then `a-z`."""

ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


def encode(number: int, width: int) -> str:
    """`number` in exactly `width` digits, padded with `0` on the left. Raises ValueError if it is too large."""
    if not 0 <= number < 62**width:
        raise ValueError(f"the number does not fit into {width} base62 digits")
    digits = []
    for _ in range(width):
        number, remainder = divmod(number, 62)
        digits.append(ALPHABET[remainder])
    return "".join(reversed(digits))
