"""When a leaf is renewed: after two thirds of its life or `renew_before` its end, minus a jitter from its serial."""

import hashlib
from datetime import datetime, timedelta

from nightlatch.pki.material import Leaf

# Renew earlier by at most this part of the time, so that leaves issued together are not renewed together.
JITTER = 0.05


def renew_at(leaf: Leaf, renew_before: timedelta | None = None) -> datetime:
    """The time depends on the leaf alone, so every operator computes the same one, also after a restart.

    A `renew_before` that is not shorter than the leaf's life is ignored: the leaf is renewed with a third of its life
    left. Whatever `renew_before` says, a third of the life passes first, so that no leaf is due when it is issued.
    """
    lifetime = leaf.not_after - leaf.not_before
    if renew_before is None or renew_before >= lifetime:
        renew_before = lifetime / 3
    age = max(lifetime - renew_before, lifetime / 3)
    return leaf.not_before + age * (1 - JITTER * _fraction(leaf.serial))


def reissue_at(leaf: Leaf, since: datetime, over: timedelta) -> datetime:
    """When a leaf of the CA before is replaced by one of the CA that signs since then: spread evenly by its serial."""
    return since + over * _fraction(leaf.serial)


def _fraction(serial: str) -> float:
    """A number in [0, 1), evenly distributed over serials."""
    return int.from_bytes(hashlib.sha256(serial.encode()).digest()[:4]) / 2**32
