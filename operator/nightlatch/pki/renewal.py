"""When a leaf is renewed: at two thirds of its life or `renew_before` its end, a little earlier by its serial."""

import hashlib
from datetime import datetime, timedelta

from nightlatch.pki.material import Leaf

# At most this part of the time until then earlier, so that leaves issued together are not renewed together.
JITTER = 0.05


def renew_at(leaf: Leaf, renew_before: timedelta | None = None) -> datetime:
    """A pure function of the leaf: every operator, and the same one after a restart, comes to the same time.

    `renew_before` counts where it is shorter than the leaf's life; else a third of it is left. Never before a third
    of the life has passed, whatever is asked for: a leaf must not be due on the day that it is issued.
    """
    lifetime = leaf.not_after - leaf.not_before
    if renew_before is None or renew_before >= lifetime:
        renew_before = lifetime / 3
    age = max(lifetime - renew_before, lifetime / 3)
    return leaf.not_before + age * (1 - JITTER * _fraction(leaf.serial))


def _fraction(serial: str) -> float:
    """Evenly spread over [0, 1)."""
    return int.from_bytes(hashlib.sha256(serial.encode()).digest()[:4]) / 2**32
