"""What strangers may try against a gateway on loopback, in small numbers, and what shows whether it bears it.

Each attack holds what it took until it is left, so that memory and ordinary callers can be looked at meanwhile.
"""

import contextlib
import http.client
import json
import socket
import ssl
import statistics
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Self

import h2.config
import h2.connection
import h2.exceptions
import h2.settings
import psutil
from hpack import NeverIndexedHeaderTuple

MIB = 2**20
_LOCAL = "127.0.0.1"
_PATIENCE = 10.0


def tls(port: int, name: str, alpn: str = "http/1.1", timeout: float = _PATIENCE) -> ssl.SSLSocket:
    """A connection that trusts any certificate, as an attacker's would."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols([alpn])
    return context.wrap_socket(socket.create_connection((_LOCAL, port), timeout), server_hostname=name)


class _Admin(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("envoy", timeout=_PATIENCE)
        self._path = str(path)

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(_PATIENCE)
        self.sock.connect(self._path)


def admin(path: Path, url: str) -> bytes:
    """What Envoy's admin interface answers."""
    with contextlib.closing(_Admin(path)) as connection:
        connection.request("GET", url)
        return connection.getresponse().read()


def allocated(path: Path) -> float:
    """MiB that Envoy's heap has in use."""
    return int(json.loads(admin(path, "/memory"))["allocated"]) / MIB


def resident(pid: int) -> float:
    """MiB that a process has in RAM."""
    return psutil.Process(pid).memory_info().rss / MIB


def stat(path: Path, name: str) -> int:
    """One counter or gauge of Envoy; 0 while it does not exist."""
    found = admin(path, f"/stats?format=json&filter=^{name}$")
    return next((each["value"] for each in json.loads(found)["stats"] if "value" in each), 0)


class Peak:
    """The most MiB that Envoy's heap had in use, and that its process had in RAM, while the block ran."""

    def __init__(self, path: Path, pid: int) -> None:
        self._path, self._pid = path, pid
        self._stop = threading.Event()
        self.before = self.most = self.resident = 0.0

    def __enter__(self) -> Self:
        self.before = self.most = allocated(self._path)
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    @property
    def grown(self) -> float:
        return self.most - self.before

    def _watch(self) -> None:
        while not self._stop.wait(0.05):
            self.resident = max(self.resident, resident(self._pid))
            with contextlib.suppress(OSError):
                self.most = max(self.most, allocated(self._path))


class Ordinary:
    """A caller with a good key who calls all the time, on one connection as long as that lasts."""

    def __init__(self, port: int, host: str, key: str, *, fresh: bool = False, pause: float = 0.02) -> None:
        self._port, self._host, self._fresh, self._pause = port, host, fresh, pause
        self._request = f"GET /v2 HTTP/1.1\r\nHost: {host}\r\nX-API-Key: {key}\r\n\r\n".encode()
        self._stop = threading.Event()
        self.seconds: list[float] = []
        self.failed: list[str] = []

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(2 * _PATIENCE)

    def __str__(self) -> str:
        return f"{len(self.seconds)} answered, {len(self.failed)} failed {sorted(set(self.failed))[:3]}"

    def ms(self, share: float) -> float:
        """A percentile of the times of the answered calls, connecting included."""
        return statistics.quantiles([*self.seconds, *self.seconds], n=1000)[int(share * 1000) - 1] * 1000

    def _run(self) -> None:
        connection: ssl.SSLSocket | None = None
        while not self._stop.wait(self._pause):
            start = time.monotonic()
            try:
                connection = connection or tls(self._port, self._host)
                connection.sendall(self._request)
                status, closing = _answer(connection)
                if status == 200:
                    self.seconds.append(time.monotonic() - start)
                else:
                    self.failed.append(f"status {status}")
            except OSError as error:
                self.failed.append(str(error) or type(error).__name__)
                closing = True
            if (closing or self._fresh) and connection:
                connection.close()
                connection = None
        if connection:
            connection.close()


def _answer(connection: ssl.SSLSocket) -> tuple[int, bool]:
    """The status, and whether the server closes the connection."""
    response = http.client.HTTPResponse(connection)
    response.begin()
    response.read()
    return response.status, response.will_close


# --- attacks


def _window_shut() -> h2.connection.H2Connection:
    """A client that lets the server send nothing, and believes in no limit of the server's."""
    config = h2.config.H2Configuration(client_side=True, header_encoding=None, validate_outbound_headers=False)
    client = h2.connection.H2Connection(config)
    codes = h2.settings.SettingCodes
    client.local_settings = h2.settings.Settings(
        client=True, initial_values={codes.INITIAL_WINDOW_SIZE: 0, codes.ENABLE_PUSH: 0}
    )
    client.initiate_connection()
    return client


class HeaderBomb:
    """Headers of `kib` KiB a stream, sent once and then referred to; no answer is ever taken.

    `renew` sends the streams again and again, also on new connections, until the block is left.
    """

    def __init__(
        self, port: int, host: str, *, connections: int, streams: int, kib: int, renew: bool = False, path: str = "/zz"
    ) -> None:
        self._port, self._host, self._kib, self._path = port, host, kib, path
        self._connections, self._streams, self._renew = connections, streams, renew
        self._open: list[tuple[ssl.SSLSocket, h2.connection.H2Connection]] = []
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self.sent = 0

    def __enter__(self) -> Self:
        self._round()
        if self._renew:
            self._thread = threading.Thread(target=self._again, daemon=True)
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        if self._thread:
            self._thread.join(2 * _PATIENCE)
        for connection, _ in self._open:
            connection.close()

    def _again(self) -> None:
        while not self._stop.wait(0.2):
            self._round()

    def _round(self) -> None:
        while len(self._open) < self._connections and not self._stop.is_set():
            try:
                connection = tls(self._port, self._host, "h2", timeout=2.0)
            except OSError:
                break
            self._open.append((connection, _window_shut()))
        self._open = [each for each in self._open if self._fill(*each)]

    def _fill(self, connection: ssl.SSLSocket, client: h2.connection.H2Connection) -> bool:
        """Whether the connection is still of use."""
        big = (b"x-a", b"a" * 3900)
        host = NeverIndexedHeaderTuple(b":authority", self._host.encode())
        path = NeverIndexedHeaderTuple(b":path", self._path.encode())
        headers = [(b":method", b"GET"), path, (b":scheme", b"https"), host, *[big] * (self._kib // 4)]
        try:
            for _ in range(self._streams):
                client.send_headers(client.get_next_available_stream_id(), headers, end_stream=True)
                data = client.data_to_send()
                self.sent += len(data)
                connection.sendall(data)
        except (OSError, h2.exceptions.ProtocolError):
            connection.close()
            return False
        return True


class HeldUploads:
    """Calls with a good key that send `kib` KiB of a larger body to a sleeping endpoint, a connection each."""

    def __init__(self, port: int, host: str, key: str, *, calls: int, kib: int) -> None:
        self._port, self._host, self._key, self._calls, self._kib = port, host, key, calls, kib
        self._open: list[ssl.SSLSocket] = []

    def __enter__(self) -> Self:
        head = (
            f"POST /v2/models/{self._host.partition('.')[0]}/infer HTTP/1.1\r\nHost: {self._host}\r\n"
            f"X-API-Key: {self._key}\r\nContent-Length: {64 * MIB}\r\n\r\n"
        )
        for _ in range(self._calls):
            connection = tls(self._port, self._host)
            connection.sendall(head.encode())
            connection.settimeout(0.2)
            # It stops when Envoy reads no more, which is the point.
            with contextlib.suppress(OSError):
                for _ in range(self._kib // 16):
                    connection.sendall(b"x" * (16 << 10))
            self._open.append(connection)
        return self

    def __exit__(self, *_: object) -> None:
        for connection in self._open:
            connection.close()


@contextlib.contextmanager
def flood_of_connections(port: int, count: int, name: str | None) -> Iterator[list[socket.socket]]:
    """Connections that send nothing: without any TLS, or with a handshake for this server name."""
    taken: list[socket.socket] = []
    for _ in range(count):
        with contextlib.suppress(OSError):
            plain = name is None
            taken.append(socket.create_connection((_LOCAL, port), 2.0) if plain else tls(port, str(name), timeout=2.0))
    try:
        yield taken
    finally:
        for each in taken:
            each.close()


def still_open(connections: list[socket.socket]) -> int:
    """How many of them the gateway has not closed."""
    return sum(map(_is_open, connections))


def _is_open(connection: socket.socket) -> bool:
    connection.settimeout(0.0)
    try:
        while connection.recv(4096):
            pass
    except (BlockingIOError, ssl.SSLWantReadError):
        return True
    except OSError:
        return False
    return False


def spellings(name: str, count: int) -> Iterator[str]:
    """`count` ways to write a host name with upper-case letters."""
    letters = [index for index, letter in enumerate(name) if letter.isalpha()]
    for number in range(1, count + 1):
        upper = {index for bit, index in enumerate(letters) if number >> bit & 1}
        yield "".join(letter.upper() if index in upper else letter for index, letter in enumerate(name))


def hello_and_gone(port: int, name: str) -> bool:
    """Send a ClientHello for this name and hang up. Returns whether anything was answered."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    handshake = context.wrap_bio(incoming, outgoing, server_hostname=name)
    with contextlib.suppress(ssl.SSLWantReadError):
        handshake.do_handshake()
    with socket.create_connection((_LOCAL, port), 2.0) as connection:
        connection.sendall(outgoing.read())
        connection.settimeout(0.2)
        try:
            return connection.recv(1) != b""
        except OSError:
            return False
