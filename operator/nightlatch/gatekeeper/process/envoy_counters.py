"""Counters of this gateway's Envoy that its metrics repeat, read from Envoy's admin socket at each scrape."""

import re
from pathlib import Path

import aiohttp

from nightlatch.gatekeeper.stats import Unlogged

PATIENCE = 1.0
# By reason: the counters whose sum it is.
_COUNTERS: dict[Unlogged, re.Pattern[str]] = {
    "rate": re.compile(r"(listener\..+\.)?dynamicmodulescustom\.audit_dropped"),
    "overload": re.compile(
        r"http\..+\.rq_overload_local_reply|listener\..+\.downstream_cx_overload_reject"
        r"|overload\.envoy\.load_shed_points\..+\.shed_load_count"
    ),
    "accept_rate": re.compile(r"listener_local_ratelimit\..+\.rate_limited"),
    "handshake": re.compile(r"listener\..+\.ssl\.connection_error"),
    "http2": re.compile(r"http2\.(rx_messaging_error|header_overflow)"),
}
_FILTER = "|".join(f"^({pattern.pattern})$" for pattern in _COUNTERS.values())


def admin_socket(socket: Path) -> Path:
    """Envoy's admin socket lies in the gateway's run directory, where the gatekeeper's is."""
    return socket.with_name("admin.sock")


async def unlogged(admin: Path) -> dict[Unlogged, int]:
    """How many refusals have no line in the audit log, by reason; empty if Envoy does not answer."""
    try:
        connector = aiohttp.UnixConnector(path=str(admin))
        timeout = aiohttp.ClientTimeout(total=PATIENCE)
        async with (
            aiohttp.ClientSession(connector=connector, base_url="http://envoy", timeout=timeout) as session,
            session.get("/stats", params={"filter": _FILTER}) as response,
        ):
            text = await response.text()
    except (TimeoutError, aiohttp.ClientError, OSError):
        return {}
    counted = [line.rsplit(": ", 1) for line in text.splitlines() if ": " in line]
    return {
        reason: sum(int(value) for name, value in counted if pattern.fullmatch(name))
        for reason, pattern in _COUNTERS.items()
    }
