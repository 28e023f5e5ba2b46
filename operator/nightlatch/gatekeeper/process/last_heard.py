"""When the store last answered, kept in a file, so that a restart does not begin to count anew.

The time is that of the wall clock, because the monotonic clock of an earlier process, or of one before a reboot, means
nothing to this one.
"""

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path

import orjson

from nightlatch.files import replace_file

_log = logging.getLogger(__name__)

LONGEST_PAUSE = 5.0


def path_beside(socket: Path) -> Path:
    """The file in the gateway's run directory, where the socket is."""
    return socket.with_name("last-heard.json")


def remaining_staleness(path: Path, max_staleness: float, now: float) -> float:
    """How long Envoy may go on with what it has, in seconds. `now`: Unix seconds.

    Without a readable file there is no earlier process, and so no Envoy that has anything. A time in the future is that
    of a clock that was put back since; how long ago it was is unknown, so it counts as now.
    """
    try:
        heard = float(orjson.loads(path.read_bytes())["unix_seconds"])
    except (OSError, ValueError, TypeError, KeyError):
        return max_staleness
    return min(max_staleness, max(0.0, heard + max_staleness - now))


async def keep(path: Path, last_heard: Callable[[], float], max_staleness: float) -> None:
    """Write the time when it changed, without end."""
    written = 0.0
    while True:
        heard = last_heard()
        if abs(heard - written) >= 1.0:
            try:
                await asyncio.to_thread(replace_file, path, orjson.dumps({"unix_seconds": heard}))
                written = heard
            except OSError as error:
                _log.warning("cannot write when the store last answered", extra={"error": str(error)})
        await asyncio.sleep(min(LONGEST_PAUSE, max_staleness / 8))
