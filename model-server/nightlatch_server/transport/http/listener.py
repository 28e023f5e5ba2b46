"""A listening socket, its connections, and their end.

The TLS context belongs to the accepting server object: a new context means a second server object on a duplicate of
the same listening socket, and then the first one stops accepting. The backlog is the socket's, so that no connection is
lost between them.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable

from nightlatch_server.transport.http.connection import Connection
from nightlatch_server.transport.http.limits import Limits
from nightlatch_server.transport.http.message import Handler

_HANDSHAKE_TIMEOUT = 10.0
_BACKLOG = 1024

Admission = Callable[[asyncio.Transport], bool]


def bind(host: str, port: int) -> socket.socket:
    """A listening TCP socket; port 0 takes a free one. Raises OSError."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.create_server((host, port), family=family, backlog=_BACKLOG, reuse_port=False)
    sock.setblocking(False)  # noqa: FBT003  # the socket API takes no keyword
    return sock


def admit_all(_: asyncio.Transport) -> bool:
    """Admission for ports without TLS."""
    return True


class Listener:
    """Accepts on `sock` and hands each request to `handler`."""

    def __init__(
        self,
        sock: socket.socket,
        handler: Handler,
        *,
        limits: Limits | None = None,
        admits: Admission = admit_all,
    ) -> None:
        self.handler = handler
        self.limits = limits or Limits()
        self.admits = admits
        self.connections: set[Connection] = set()
        self.closing = False
        """True: every answer ends its connection."""
        self._sock = sock
        self._server: asyncio.Server | None = None

    @property
    def port(self) -> int:
        """The bound port."""
        return int(self._sock.getsockname()[1])

    async def serve(self, context: ssl.SSLContext | None) -> None:
        """Start to accept, or go on with another TLS context; connections that are open keep the one they have."""
        previous = self._server
        self._server = await asyncio.get_running_loop().create_server(
            lambda: Connection(self),
            sock=self._sock.dup(),
            ssl=context,
            ssl_handshake_timeout=_HANDSHAKE_TIMEOUT if context else None,
            backlog=_BACKLOG,
        )
        if previous is not None:
            previous.close()

    def stop_accepting(self) -> None:
        """Accept no connection any more; open ones go on."""
        if self._server is not None:
            self._server.close()
            self._server = None
        self._sock.close()

    async def sweep(self, every: float = 1.0) -> None:
        """Refuse requests that trickle in for too long; runs until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(every)
            for connection in list(self.connections):
                connection.expire(loop.time())

    async def drain(self, *, quiet: float, timeout: float) -> bool:
        """Finish what is in progress, then close; False if that took over `timeout` seconds and the rest was dropped.

        Idle connections close once `quiet` seconds went by without a request, so that one on its way is still answered.
        """
        self.closing = True
        self.stop_accepting()
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout
        while self.connections and loop.time() < deadline:
            for connection in list(self.connections):
                connection.close_if_idle(loop.time(), quiet)
            await asyncio.sleep(0.01)
        left = list(self.connections)
        for connection in left:
            connection.abort()
        return not left
