"""The admin port: liveness, readiness and metrics, served by a thread and an event loop of their own.

A busy model therefore never delays a probe. The port is plain HTTP and has three paths, GET only.
"""

import asyncio
import socket
import threading

from nightlatch_server import caller_errors
from nightlatch_server.lifecycle import Lifecycle
from nightlatch_server.metrics import CONTENT_TYPE, Metrics
from nightlatch_server.transport.http.limits import Limits
from nightlatch_server.transport.http.listener import Listener
from nightlatch_server.transport.http.message import Request, Response, error_response

_LIMITS = Limits(body=0, url=1 << 10, headers=8 << 10, receive_timeout=10.0)
_TEXT = b"text/plain; charset=utf-8"


class Admin:
    def __init__(self, lifecycle: Lifecycle, metrics: Metrics) -> None:
        self._lifecycle = lifecycle
        self._metrics = metrics

    async def __call__(self, request: Request) -> Response:
        if request.method != "GET":
            error = caller_errors.METHOD_NOT_ALLOWED
            return error_response(request.path, error, error.say(allowed="GET"), headers=[(b"allow", b"GET")])
        if request.path == "/healthz":
            return Response(200, b"live\n", _TEXT)
        if request.path == "/readyz":
            state = self._lifecycle.state.value.encode("ascii")
            return Response(200 if self._lifecycle.ready else 503, state + b"\n", _TEXT)
        if request.path == "/metrics":
            return Response(200, self._metrics.render(), CONTENT_TYPE)
        return error_response(request.path, caller_errors.UNKNOWN_URL, caller_errors.UNKNOWN_URL.say("admin"))


def start(sock: socket.socket, admin: Admin) -> threading.Thread:
    """Serve the admin port in a daemon thread until the process exits. Returns once the port accepts connections."""
    accepting = threading.Event()
    thread = threading.Thread(target=lambda: asyncio.run(_serve(sock, admin, accepting)), name="admin", daemon=True)
    thread.start()
    accepting.wait()
    return thread


async def _serve(sock: socket.socket, admin: Admin, accepting: threading.Event) -> None:
    listener = Listener(sock, admin, limits=_LIMITS)
    await listener.serve(None)
    accepting.set()
    await listener.sweep()
