"""Durations as users write them: `250ms`, `45s`, `5m`, `1h30m`, `30d`."""

import re

# One or more numbers with a unit, in any order, as in Go's time.ParseDuration, and days.
PATTERN = r"^([0-9]+(ms|s|m|h|d))+$"
ADVICE = "is not a duration: write a number and a unit (ms, s, m, h, d), such as 45s or 1h30m"
# The schema refuses a longer text. The limit also bounds the work that a hostile text can cause here.
MAX_LENGTH = 32

_PART = re.compile(r"([0-9]+)(ms|s|m|h|d)")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def parse_duration(text: str) -> float:
    """The duration in seconds. Raises ValueError, with a message for users, if `text` is not a duration."""
    if len(text) > MAX_LENGTH or not re.fullmatch(PATTERN, text):
        raise ValueError(f"{text[:MAX_LENGTH]!r} {ADVICE}")
    return sum(int(number) * _SECONDS[unit] for number, unit in _PART.findall(text))
