"""`python -m nightlatch.gatekeeper.process.prestop`: a gateway pod's preStop hook, so that no call in flight is lost.

First Kubernetes removes the pod from the Service, while the hook waits. Then Envoy accepts no new connections and asks
the clients of the others to close them. Then the calls in flight finish. The gatekeeper's container runs the hook with
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
POLL_SECONDS = 0.5


async def drain(admin: Path, deadline: float, *, wait_only: bool) -> None:
    """Wait until Envoy has no call in flight or has ended, at most until `deadline` (monotonic seconds)."""
    await asyncio.sleep(LEAVE_SECONDS)
    connector = aiohttp.UnixConnector(path=str(admin))
    async with aiohttp.ClientSession(connector=connector, base_url="http://envoy") as session:
        if not wait_only:
            await _ask(session, "POST", "/drain_listeners?graceful&skip_exit")
        while time.monotonic() < deadline and await _in_flight(session) > 0:
            await asyncio.sleep(POLL_SECONDS)


async def _in_flight(session: aiohttp.ClientSession) -> int:
    """The number of requests in progress; 0 if Envoy does not answer."""
    answer = await _ask(session, "GET", "/stats?filter=^http\\.[^.]*\\.downstream_rq_active$")
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
