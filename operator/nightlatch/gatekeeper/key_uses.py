"""When each API key was last used on this gateway: asked of the gate now and then, told to the leader."""

import asyncio
import logging
from collections.abc import Callable, Mapping
from pathlib import Path

import orjson

from nightlatch.wire.report import LAST_USE_STEP

_log = logging.getLogger(__name__)

# Seconds between two questions.
POLL_S = 15.0
_TIMEOUT_S = 5.0
_REQUEST = b"GET / HTTP/1.1\r\nHost: gate\r\nConnection: close\r\n\r\n"


async def follow(socket: Path, note: Callable[[Mapping[str, int]], None]) -> None:
    """Hand over the last uses by the id of the key, in Unix seconds and coarse, until cancelled."""
    while True:
        await asyncio.sleep(POLL_S)
        try:
            note(coarse(await ask(socket)))
        except (OSError, ValueError, LookupError) as error:
            _log.debug("the gate does not say which keys are used", extra={"error": type(error).__name__})


def coarse(report: bytes) -> dict[str, int]:
    """The last uses in the gate's report, each rounded down. Raises ValueError or LookupError."""
    uses = orjson.loads(report)["lastUses"]
    return {key: time - time % LAST_USE_STEP for key, time in uses.items()}


async def ask(socket: Path) -> bytes:
    """The gate's report, as JSON. Raises OSError."""
    async with asyncio.timeout(_TIMEOUT_S):
        reader, writer = await asyncio.open_unix_connection(str(socket))
        try:
            writer.write(_REQUEST)
            answer = await reader.read(-1)
        finally:
            writer.close()
    return answer.partition(b"\r\n\r\n")[2]
