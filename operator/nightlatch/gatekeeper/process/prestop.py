"""`python -m nightlatch.gatekeeper.process.prestop`: a gateway pod's preStop hook, so that no call in flight is lost.

First Kubernetes removes the pod from the Service, while the hook waits. Then Envoy accepts no new connections and asks
the clients of the others to close them: each gets that with the answer to its next call. Then the calls in flight
finish. The gatekeeper's container runs the hook with
`--wait-only`, because held calls need the gatekeeper until the end.
"""

import argparse
import asyncio
import sys
import time
from pathlib import Path

import aiohttp

# Time for the changed EndpointSlice to reach every kube-proxy.
LEAVE_SECONDS = 5.0
# Time for the next call on each kept connection. A connection that is still idle then is closed without a word.
GOODBYE_SECONDS = 5.0
POLL_SECONDS = 0.5


async def drain(admin: Path, deadline: float, *, wait_only: bool) -> None:
    """Wait until Envoy has ended, or has neither calls in flight nor connections that may bring one.

    At most until `deadline` (monotonic seconds).
    """
    await asyncio.sleep(LEAVE_SECONDS)
    connector = aiohttp.UnixConnector(path=str(admin))
    async with aiohttp.ClientSession(connector=connector, base_url="http://envoy") as session:
        if not wait_only:
            await _ask(session, "POST", "/drain_listeners?graceful&skip_exit")
        goodbye = time.monotonic() + GOODBYE_SECONDS
        while (now := time.monotonic()) < deadline:
            idle = await _active(session, "rq") == 0
            if idle and (now >= goodbye or await _active(session, "cx") == 0):
                return
            await asyncio.sleep(POLL_SECONDS)


async def _active(session: aiohttp.ClientSession, what: str) -> int:
    """How many requests (`rq`) or connections (`cx`) of callers there are; 0 if Envoy does not answer."""
    answer = await _ask(session, "GET", f"/stats?filter=^http\\.[^.]*\\.downstream_{what}_active$")
    lines = [line for line in (answer or "").splitlines() if ": " in line and not line.startswith("http.admin.")]
    return sum(int(line.rpartition(": ")[2]) for line in lines)


async def _ask(session: aiohttp.ClientSession, method: str, path: str) -> str | None:
    try:
        async with session.request(method, path) as response:
            return await response.text()
    except (aiohttp.ClientError, OSError):
        return None


def main() -> int:
    """Exit status 0."""
    parser = argparse.ArgumentParser(prog="python -m nightlatch.gatekeeper.process.prestop")
    parser.add_argument("--admin-socket", type=Path, required=True, help="Envoy's admin socket")
    parser.add_argument("--deadline", type=float, default=100.0, help="seconds to wait at most")
    parser.add_argument("--wait-only", action="store_true", help="do not drain, only wait for Envoy to have finished")
    arguments = parser.parse_args()
    asyncio.run(drain(arguments.admin_socket, time.monotonic() + arguments.deadline, wait_only=arguments.wait_only))
    return 0


if __name__ == "__main__":
    sys.exit(main())
