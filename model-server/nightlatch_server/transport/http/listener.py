"""A listening socket, its connections, and how they end.

asyncio ties the TLS context to the server object that accepts. A new context therefore needs a second server object, on
a duplicate of the same listening socket; only then does the first one stop accepting. The backlog belongs to the
socket, so no connection is lost in between.
"""

import asyncio
import socket
import ssl

from nightlatch_server.transport.http.connection import Admission, Connection, Site, admit_all
from nightlatch_server.transport.http.limits import Limits
from nightlatch_server.transport.http.message import Handler

_HANDSHAKE_TIMEOUT = 10.0
_BACKLOG = 1024


def bind(host: str, port: int) -> socket.socket:
    """A listening TCP socket; port 0 takes a free one. Raises OSError."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.create_server((host, port), family=family, backlog=_BACKLOG, reuse_port=False)
    sock.setblocking(False)  # noqa: FBT003 - the socket API takes no keyword
    return sock


class Listener:
    """Accepts connections on `sock` and hands each request to `handler`."""

    def __init__(
        self,
        sock: socket.socket,
        handler: Handler,
        *,
        limits: Limits | None = None,
        admits: Admission = admit_all,
    ) -> None:
        self._site = Site(handler, limits or Limits(), admits)
        self._sock = sock
        self._server: asyncio.Server | None = None

    @property
    def port(self) -> int:
        """The bound port."""
        return int(self._sock.getsockname()[1])

    @property
    def connections(self) -> set[Connection]:
        """The open connections."""
        return self._site.connections

    @property
    def closing(self) -> bool:
        """True once the listener drains: every answer then closes its connection."""
        return self._site.closing

    async def serve(self, context: ssl.SSLContext | None) -> None:
        """Start to accept, or continue with a new TLS context. Open connections keep their context."""
        previous = self._server
        self._server = await asyncio.get_running_loop().create_server(
            lambda: Connection(self._site),
            sock=self._sock.dup(),
            ssl=context,
            ssl_handshake_timeout=_HANDSHAKE_TIMEOUT if context else None,
            backlog=_BACKLOG,
        )
        if previous is not None:
            previous.close()

    def stop_accepting(self) -> None:
        """Accept no new connection; open ones continue."""
        if self._server is not None:
            self._server.close()
            self._server = None
        self._sock.close()

    async def sweep(self, every: float = 1.0) -> None:
        """Refuse requests that take too long to arrive. Runs until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(every)
            for connection in list(self.connections):
                connection.expire(loop.time())

    async def drain(self, *, quiet: float, timeout: float) -> bool:
        """Finish the requests in progress, then close. False if `timeout` seconds passed and the rest was dropped.

        An idle connection closes after `quiet` seconds without a request, so that one on its way is still answered.
        """
        self._site.closing = True
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
