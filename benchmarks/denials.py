"""A flood of refused calls with the audit log on and off: lines written, lines left out, ordinary callers, CPU.

Envoy with the gateway's configuration runs before a model server of the test suite. A process of its own sends calls
with a wrong key on many connections, as fast as Envoy answers them.
"""

import argparse
import contextlib
import multiprocessing
import os
import re
import socket
import ssl
import sys
import tempfile
import time
from collections.abc import Iterator
from http.client import HTTPResponse
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from cpu import cpu_seconds, machine
from table import markdown, percentile

from nightlatch import api_keys
from nightlatch.api.meta import NamespacedName
from nightlatch.routing.ir import AuditLog, Serving
from tests.embedded.attacks import Ordinary
from tests.embedded.envoy_fixture import Caller, Gateway, until

KEY = NamespacedName("search", "minilm")
HOST = "minilm.search.localhost"
BOT = Caller("bot", os.urandom, "infer", "metadata")
CONNECTIONS = 64
CALLERS = 4
REFUSED, DROPPED = "refused.unauthenticated", "audit_dropped"


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=10.0, help="how long the flood lasts; default: %(default)s")
    parser.add_argument("--rounds", type=int, default=3, help="how often, in turn; default: %(default)s")
    parser.add_argument("--lines", type=int, default=100, help="lines a second at most; default: %(default)s")
    options = parser.parse_args()
    print(f"machine: {machine()}")
    header = ["audit log", "refusals a second", "lines", "left out", "lines + left out - refusals"]
    header += ["CPU µs a refusal", "p50 before", "p99 before", "p50 during", "p99 during", "failed"]
    # In turn, so that what else the machine does meets both.
    kinds = (("off", 0), ("on", options.lines)) * options.rounds
    print(markdown(header, [_row(name, lines, options.seconds) for name, lines in kinds]))


def _row(name: str, lines: int, seconds: float) -> list[str]:
    with _gateway(lines) as gateway:
        with _ordinary(gateway) as before:
            time.sleep(seconds / 2)
        with _flood(gateway.port), _ordinary(gateway) as during:
            until(lambda: _stat(gateway, REFUSED) > CONNECTIONS, "the flood has begun")
            started = time.monotonic()
            first = _stat(gateway, REFUSED), cpu_seconds(gateway.process.pid)
            time.sleep(seconds)
            last = _stat(gateway, REFUSED), cpu_seconds(gateway.process.pid)
            seconds = time.monotonic() - started
        time.sleep(1)
        written, left_out, all_refused = len(_lines(gateway)), _stat(gateway, DROPPED), _stat(gateway, REFUSED)
    failed = sum(len(each.failed) for each in during)
    refused, cpu = last[0] - first[0], last[1] - first[1]
    # Without a log every refusal counts as left out.
    return [
        name,
        f"{refused / seconds:,.0f}",
        str(written),
        f"{left_out:,}",
        str(written + left_out - all_refused),
        f"{cpu / refused * 1e6:.0f}",
        *(f"{percentile(_seconds(each), percent) * 1000:.1f}" for each in (before, during) for percent in (50, 99)),
        f"{failed} of {failed + len(_seconds(during))}",
    ]


@contextlib.contextmanager
def _gateway(lines: int) -> Iterator[Gateway]:
    with tempfile.TemporaryDirectory(prefix="nl-bench-") as folder:
        audit = AuditLog(str(Path(folder) / "audit.log"), refusals_per_second=lines)
        gateway = Gateway(Path(folder), "--file-flush-interval-msec", "100", audit=audit)
        try:
            model = gateway.model_server(KEY)
            gateway.put(
                [gateway.document(KEY, keys=(BOT.grant,))], {KEY: Serving(hold=False, addresses=(model.address,))}
            )
            yield gateway
        finally:
            gateway.stop()


@contextlib.contextmanager
def _ordinary(gateway: Gateway) -> Iterator[list[Ordinary]]:
    with contextlib.ExitStack() as stack:
        callers = [stack.enter_context(Ordinary(gateway.port, HOST, BOT.key)) for _ in range(CALLERS)]
        until(lambda: all(each.seconds for each in callers), "an ordinary call of each is answered")
        yield callers


def _seconds(callers: list[Ordinary]) -> list[float]:
    return [each for caller in callers for each in caller.seconds]


@contextlib.contextmanager
def _flood(port: int) -> Iterator[None]:
    process = multiprocessing.get_context("spawn").Process(target=_send, args=(port,), daemon=True)
    process.start()
    try:
        yield
    finally:
        process.kill()
        process.join()


def _send(port: int) -> None:
    """Send calls on a few connections until this process is killed. Each connection waits for its answers."""
    key = api_keys.mint(os.urandom).text
    call = f"GET /v2 HTTP/1.1\r\nHost: {HOST}\r\nX-API-Key: {key}\r\n\r\n".encode()
    connections = [_connect(port) for _ in range(CONNECTIONS)]
    while True:
        for connection in connections:
            connection.sendall(call)
        for connection in connections:
            answer = b""
            while not answer.endswith(b"}"):
                answer += connection.recv(1 << 14)


def _connect(port: int) -> ssl.SSLSocket:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context.wrap_socket(socket.create_connection(("127.0.0.1", port)), server_hostname=HOST)


def _lines(gateway: Gateway) -> list[str]:
    path = gateway.folder / "audit.log"
    return path.read_text().splitlines() if path.exists() else []


def _stat(gateway: Gateway, name: str) -> int:
    with socket.socket(socket.AF_UNIX) as plain:
        plain.connect(str(gateway.folder / "admin.sock"))
        plain.sendall(f"GET /stats?filter={name} HTTP/1.1\r\nHost: admin\r\nConnection: close\r\n\r\n".encode())
        response = HTTPResponse(plain)
        response.begin()
        text = response.read().decode()
    return sum(map(int, re.findall(rf"{re.escape(name)}: (\d+)$", text, re.MULTILINE)))


if __name__ == "__main__":
    main()
