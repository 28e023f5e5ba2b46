"""Durations as users write them: `250ms`, `45s`, `5m`, `1h30m`, `720h`."""

import re

# The format of Gateway API (GEP-2257): a subset of Go's time.ParseDuration without fractions, days and signs. Both CEL
# engines read each text that matches, and none of them overflows.
PATTERN = "^([0-9]{1,5}(h|m|s|ms)){1,4}$"
ADVICE = (
    "is not a duration: write a number and a unit (ms, s, m, h), such as 45s or 1h30m, with at most 5 digits for each "
    "unit; write days in hours, 30d as 720h"
)
# The schema refuses a longer text. The limit also bounds the work that a hostile text can cause here.
MAX_LENGTH = 28

_PART = re.compile(r"([0-9]+)(ms|s|m|h)")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


def parse_duration(text: str) -> float:
    """The duration in seconds. Raises ValueError, with a message for users, if `text` is not a duration."""
    if len(text) > MAX_LENGTH or not re.fullmatch(PATTERN, text):
        raise ValueError(f"{text[:MAX_LENGTH]!r} {ADVICE}")
    return sum(int(number) * _SECONDS[unit] for number, unit in _PART.findall(text))


def renewal_window(lifetime: str, renew_before: str | None) -> float:
    """How many seconds before its end a certificate is renewed: `renew_before`, or a third of its lifetime."""
    return parse_duration(lifetime) / 3 if renew_before is None else parse_duration(renew_before)
