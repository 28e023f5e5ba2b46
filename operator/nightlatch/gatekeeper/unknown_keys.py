"""How many tokens came with a key that is not known, by issuer: asked of the gate every second, told to the leader.

A number that grows makes the leader fetch the issuer's keys again. What callers send stays in the gate.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping
from pathlib import Path

import orjson

from nightlatch.gatekeeper.key_uses import ask

_log = logging.getLogger(__name__)

# Seconds between two questions.
POLL_S = 1.0


async def follow(socket: Path, wanted: Callable[[], bool], note: Callable[[Mapping[str, int]], None]) -> None:
    """Hand over the numbers, until cancelled. `wanted`: whether there is any issuer to ask about."""
    while True:
        await asyncio.sleep(POLL_S)
        if not wanted():
            continue
        try:
            note(numbers(await ask(socket)))
        except (OSError, ValueError, LookupError) as error:
            _log.debug("the gate does not say which keys are unknown", extra={"error": type(error).__name__})


def numbers(report: bytes) -> dict[str, int]:
    """The tokens by unknown keys in the gate's report, by NAMESPACE/NAME of the issuer. Raises ValueError or
    LookupError."""
    found = orjson.loads(report)["unknownKeys"]
    return {str(issuer): int(number) for issuer, number in found.items()}
