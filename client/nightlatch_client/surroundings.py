"""Time and randomness, handed to everything that needs them."""

import random
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass

from nightlatch_client.instant import Instant


def _now() -> Instant:
    return Instant(time.monotonic(), time.time())


def _unique() -> str:
    return secrets.token_urlsafe(16)


@dataclass(frozen=True, slots=True)
class Surroundings:
    """chance: a number in [0, 1). unique: an identifier that nobody can guess."""

    now: Callable[[], Instant] = _now
    chance: Callable[[], float] = random.random
    unique: Callable[[], str] = _unique
    sleep: Callable[[float], None] = time.sleep
