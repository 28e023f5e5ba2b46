"""What strangers can do to a gateway on loopback: its memory, and how long four callers wait before, during and after.

Envoy with the gateway's configuration runs before a model server of the test suite, with the limits of the chart's
default (1 GiB). The attacks are those of tests/embedded/attacks.py, in numbers that filled such a gateway once.
"""

import argparse
import contextlib
import logging
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from cpu import machine, resident_mib
from table import markdown, percentile

from nightlatch.api.meta import NamespacedName
from nightlatch.gatekeeper.hold.waiting_room import Refused
from nightlatch.routing.ir import COLD, Serving
from nightlatch.wire import caller_errors
from tests.embedded.attacks import (
    Again,
    HeaderBomb,
    HeldUploads,
    Ordinary,
    Peak,
    allocated,
    calls,
    flood_of_connections,
    hello_and_gone,
    names_of_nobody,
    resets,
    slow_bodies,
    slow_headers,
    spellings,
    streams,
)
from tests.embedded.envoy_fixture import Caller, Gateway, until

KEY = NamespacedName("search", "minilm")
SLEEPING = NamespacedName("search", "sleeping")
HOST = "minilm.search.localhost"
BOT = Caller("bot", os.urandom, "infer", "metadata")
# Ordinary callers, with a connection each.
CALLERS = 4
# Three quarters of what all headers together may have.
LONG = 18 * 1024

Attack = Callable[[Gateway, float], AbstractContextManager[object]]


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=8.0, help="how long each attack goes on; default: %(default)s")
    parser.add_argument("--quick", action="store_true", help="a smoke run: its numbers mean nothing")
    options = parser.parse_args()
    print(f"machine: {machine()}")
    # The model server behind the gateway would print a stack for each body that an attack cuts off.
    logging.getLogger("aiohttp.server").setLevel(logging.CRITICAL)
    seconds, size = (1.0, 0.05) if options.quick else (options.seconds, 1.0)
    header = [
        "attack",
        "heap before",
        "most",
        "after",
        "in RAM, most",
        "in RAM, after",
        "p50 before",
        "p99 before",
        "p50 during",
    ]
    header += ["p99 during", "failed during", "p99 after", "failed after"]
    print(markdown(header, [_row(name, attack, seconds, size) for name, attack in ATTACKS.items()]))


@contextlib.contextmanager
def _gateway() -> Iterator[Gateway]:
    """A fresh one with an endpoint that is awake and one that sleeps."""
    with tempfile.TemporaryDirectory(prefix="nl-bench-") as folder:
        gateway = Gateway(Path(folder))
        try:
            model = gateway.model_server(KEY)
            documents = [gateway.document(each, keys=(BOT.grant,)) for each in (KEY, SLEEPING)]
            gateway.put(documents, {KEY: Serving(hold=False, addresses=(model.address,)), SLEEPING: COLD})
            yield gateway
        finally:
            gateway.stop()


def _row(name: str, attack: Attack, seconds: float, size: float) -> list[str]:
    with _gateway() as gateway:
        before = _callers(gateway, seconds / 2)
        with Peak(gateway.admin, gateway.process.pid) as peak, _running(gateway) as during, attack(gateway, size):
            time.sleep(seconds)
        time.sleep(seconds)
        after = _callers(gateway, seconds / 2)
        heap = allocated(gateway.admin)
        later = resident_mib(gateway.process.pid)
    mib = [f"{value:.0f}" for value in (peak.before, peak.most, heap, peak.resident, later)]
    row = [
        name,
        *mib,
        _ms(before, 50),
        _ms(before, 99),
        _ms(during, 50),
        _ms(during, 99),
        f"{len(during.failed)} of {len(during.failed) + len(during.seconds)}",
        _ms(after, 99),
        str(len(after.failed)),
    ]
    print(*row, sep=" | ", file=sys.stderr, flush=True)
    return row


class Callers:
    """Several ordinary callers: what all of them saw."""

    def __init__(self, callers: list[Ordinary]) -> None:
        self._callers = callers

    @property
    def seconds(self) -> list[float]:
        return [each for caller in self._callers for each in caller.seconds]

    @property
    def failed(self) -> list[str]:
        return [each for caller in self._callers for each in caller.failed]


@contextlib.contextmanager
def _running(gateway: Gateway) -> Iterator[Callers]:
    with contextlib.ExitStack() as stack:
        callers = [stack.enter_context(Ordinary(gateway.port, HOST, BOT.key)) for _ in range(CALLERS)]
        until(lambda: all(each.seconds for each in callers), "an ordinary call of each is answered")
        yield Callers(callers)


def _callers(gateway: Gateway, seconds: float) -> Callers:
    with _running(gateway) as callers:
        time.sleep(seconds)
    return callers


def _ms(callers: Callers, percent: float) -> str:
    return f"{percentile(callers.seconds, percent) * 1000:.1f}" if callers.seconds else "none answered"


def _bomb(connections: int, streams: int, kib: int, *, renew: bool) -> Attack:
    def attack(gateway: Gateway, size: float) -> AbstractContextManager[object]:
        count = max(1, int(connections * size))
        return HeaderBomb(gateway.port, HOST, connections=count, streams=streams, kib=kib, renew=renew)

    return attack


@contextlib.contextmanager
def _names(gateway: Gateway, size: float) -> Iterator[None]:
    with ThreadPoolExecutor(16) as threads:
        for _ in threads.map(lambda name: _hello(gateway.port, name), spellings(HOST, int(2000 * size))):
            pass
    yield


def _hello(port: int, name: str) -> bool:
    with contextlib.suppress(OSError):
        return hello_and_gone(port, name)
    return False


def _idle(gateway: Gateway, size: float) -> AbstractContextManager[object]:
    return flood_of_connections(gateway.port, int(1000 * size), HOST)


def _silent(gateway: Gateway, size: float) -> AbstractContextManager[object]:
    return flood_of_connections(gateway.port, int(2000 * size), None)


@contextlib.contextmanager
def _uploads(gateway: Gateway, size: float) -> Iterator[None]:
    outcome = gateway.hold.outcome = gateway.loop.loop.create_future()
    calls = int(100 * size)
    with HeldUploads(gateway.port, "sleeping.search.localhost", BOT.key, calls=calls, kib=1024):
        until(lambda: len(gateway.hold.held) >= calls, "the calls are held")
        yield
    # Envoy reads no more of such a call, so that it learns only at the end of the hold that the caller is gone.
    late = caller_errors.WAKE_TIMEOUT
    gateway.loop.loop.call_soon_threadsafe(outcome.set_result, Refused(late, late.say(seconds="60")))


def _again(threads: int, act: Callable[[int], object]) -> Attack:
    """The same again and again; `act` gets the gateway's port."""

    def attack(gateway: Gateway, size: float) -> AbstractContextManager[object]:
        return Again(lambda: act(gateway.port), max(1, int(threads * size)))

    return attack


def _hellos(gateway: Gateway, size: float) -> AbstractContextManager[object]:
    return Again(names_of_nobody(gateway.port), max(1, int(16 * size)))


def _slow_headers(gateway: Gateway, size: float) -> AbstractContextManager[object]:
    return slow_headers(gateway.port, HOST, int(500 * size))


def _slow_bodies(gateway: Gateway, size: float) -> AbstractContextManager[object]:
    return slow_bodies(gateway.port, HOST, BOT.key, int(500 * size))


_BLANKS = "Bearer a" + " " * 8000 + "b"
_FEWER_BLANKS = (b"authorization", b"Bearer a" + b" " * 3900 + b"b")
ATTACKS: dict[str, Attack] = {
    "header bomb: 13 connections, 950 streams, 60 KiB": _bomb(13, 950, 60, renew=False),
    "header bomb within all bounds, again and again: 300 connections, 99 streams, 20 KiB": _bomb(
        300, 99, 20, renew=True
    ),
    "1,000 idle TLS connections": _idle,
    "2,000 connections that send nothing": _silent,
    "2,000 spellings of a server name": _names,
    "100 held uploads of 1 MiB": _uploads,
    "8,000 blanks in Authorization, HTTP/1.1, 8 connections": _again(
        8, lambda port: calls(port, HOST, f"authorization: {_BLANKS}")
    ),
    "3,900 blanks in Authorization, HTTP/2, 8 connections of 90 streams": _again(
        8, lambda port: streams(port, HOST, _FEWER_BLANKS)
    ),
    "paths of 18 KiB of halves of keys, 8 connections": _again(
        8, lambda port: calls(port, HOST, path="/" + "nl_aaaaaaaaaaaa-" * (LONG // 16))
    ),
    "paths of 18 KiB of `a/../`, 8 connections": _again(
        8, lambda port: calls(port, HOST, path="/" + "a/../" * (LONG // 5))
    ),
    "rapid reset, 8 connections": _again(8, lambda port: resets(port, HOST)),
    "500 connections whose headers come a byte a second": _slow_headers,
    "500 bodies that come a byte a second": _slow_bodies,
    "random server names in lower case, 16 at a time": _hellos,
}


if __name__ == "__main__":
    main()
