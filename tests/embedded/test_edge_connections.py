"""Floods of connections, endless bodies, bursts: bounded in number and time, and callers are answered meanwhile."""

import concurrent.futures
import os
import socket
import time

import pytest

from nightlatch.api.meta import NamespacedName
from nightlatch.routing.ir import Serving
from nightlatch.routing.limits import EnvoyLimits
from tests.embedded.attacks import (
    MIB,
    Again,
    HeaderBomb,
    Ordinary,
    Peak,
    calls,
    flood_of_connections,
    hello_and_gone,
    hello_and_no_more,
    names_of_nobody,
    resets,
    slow_bodies,
    slow_headers,
    spellings,
    stat,
    still_open,
    streams,
    tls,
)
from tests.embedded.envoy_fixture import Caller, Gateway, until

KEY = NamespacedName("search", "minilm")
HOST = "minilm.search.localhost"
BOT = Caller("bot", os.urandom, "infer", "metadata")
MOST = 120


@pytest.fixture(scope="module")
def gateway(tmp_path_factory):
    """One that takes 120 connections."""
    gateway = Gateway(tmp_path_factory.mktemp("gw"), limits=EnvoyLimits(512 * MIB, MOST))
    model = gateway.model_server(KEY)
    # A call may be held for a second, be answered in one, and take one to arrive.
    document = gateway.document(KEY, keys=(BOT.grant,), hold_timeout=1.0, request_timeout=1.0)
    gateway.put([document], {KEY: Serving(hold=False, addresses=(model.address,))})
    yield gateway
    gateway.stop()


@pytest.fixture
def ordinary(gateway):
    """A caller whose first call is answered."""
    with Ordinary(gateway.port, HOST, BOT.key) as caller:
        until(lambda: caller.seconds, "an ordinary call is answered")
        yield caller


@pytest.mark.parametrize("name", [None, HOST, "nobody.example"], ids=["no TLS", "a known host", "an unknown host"])
def test_a_flood_of_connections_gets_no_more_than_its_share(gateway, ordinary, name):
    """A connection a caller has goes on being served; those that say nothing are closed, so that others come in."""
    with flood_of_connections(gateway.port, 200, name) as taken:
        answered = len(ordinary.seconds)
        until(lambda: still_open(taken) <= MOST, "those above the limit are closed", 3)
        until(lambda: len(ordinary.seconds) > answered + 5, "the ordinary caller is answered")
        with Ordinary(gateway.port, HOST, BOT.key, fresh=True, pause=0.2) as another:
            until(lambda: another.seconds, "another caller comes in while they stay", 15)
    assert not ordinary.failed


def test_new_connections_come_at_a_bounded_rate(tmp_path):
    rate = 60
    gateway = Gateway(tmp_path, new_connections=rate)
    try:
        start = time.monotonic()
        with flood_of_connections(gateway.port, 400, None) as taken:
            time.sleep(0.2)
            seconds = time.monotonic() - start
            assert still_open(taken) <= rate * (2 + seconds + 1)
            assert stat(gateway.admin, "listener_local_ratelimit.callers.rate_limited") > 100
    finally:
        gateway.stop()


def test_a_connection_that_says_nothing_ends(gateway, ordinary):
    with flood_of_connections(gateway.port, 20, None) as taken:
        assert still_open(taken) == 20
        until(lambda: not still_open(taken), "they are closed", 8)


@pytest.mark.parametrize("name", [HOST, "nobody.example"], ids=["a known host", "an unknown host"])
def test_a_handshake_that_stops_after_its_first_message_ends(gateway, ordinary, name):
    """Each has a TLS context and 60 KiB by then, which is the most that a stranger gets for so little."""
    with hello_and_no_more(gateway.port, 20, name) as taken:
        assert still_open(taken) == 20
        until(lambda: not still_open(taken), "they are closed", 8)
    assert not ordinary.failed


def test_a_body_that_comes_a_byte_at_a_time_ends(gateway, ordinary):
    """It is never idle, and its time-out for the answer has not begun. It held a stream, and a pod awake, for ever."""
    with tls(gateway.port, HOST) as connection:
        head = f"POST /v2/models/minilm/infer HTTP/1.1\r\nHost: {HOST}\r\nX-API-Key: {BOT.key}\r\n"
        connection.sendall(f"{head}Content-Length: 4000\r\n\r\n".encode())
        connection.settimeout(0.25)
        end = time.monotonic() + 12
        answer = b""
        while not answer and time.monotonic() < end:
            try:
                connection.sendall(b"x")
                answer = connection.recv(4096)
            except TimeoutError:
                continue
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b"request_timeout" in answer
    assert not ordinary.failed


def test_headers_that_come_slowly_end(gateway, ordinary):
    with tls(gateway.port, HOST, timeout=15) as connection:
        connection.sendall(f"GET /v2 HTTP/1.1\r\nHost: {HOST}\r\n".encode())
        assert connection.recv(4096).startswith(b"HTTP/1.1 408 ")
    assert not ordinary.failed


def test_headers_above_the_bounds_are_refused_and_tokens_of_16_kib_are_not(gateway, ordinary):
    def status(*headers: tuple[str, str]) -> int:
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers)
        return gateway.raw(HOST, f"GET /v2 HTTP/1.1\r\nHost: {HOST}\r\n{lines}\r\n".encode())[0]

    big = [(f"x-{number}", "a" * 4000) for number in range(7)]
    assert status(("x-api-key", BOT.key), *big[:5]) == 200
    assert status(("x-api-key", BOT.key), *big) == 431
    many = [(f"x-{number}", "a") for number in range(100)]
    assert status(("x-api-key", BOT.key), *many[:50]) == 200
    assert status(("x-api-key", BOT.key), *many) == 431


def test_a_connection_with_many_calls_ready_does_not_keep_others_waiting(gateway, ordinary):
    """It sends its calls in one go, again and again; Envoy looks at other connections in between."""
    with HeaderBomb(gateway.port, HOST, connections=4, streams=90, kib=4, renew=True):
        answered = len(ordinary.seconds)
        until(lambda: len(ordinary.seconds) > answered + 20, "the ordinary caller is answered", 5)
    assert not ordinary.failed


def test_a_burst_of_callers_within_the_rate_is_answered(gateway, ordinary):
    """Each with a connection of its own, all at once."""

    def call(_: int) -> int:
        return gateway.raw(HOST, f"GET /v2 HTTP/1.1\r\nHost: {HOST}\r\nX-API-Key: {BOT.key}\r\n\r\n".encode())[0]

    with concurrent.futures.ThreadPoolExecutor(40) as callers:
        assert set(callers.map(call, range(80))) == {200}
    assert not ordinary.failed


def test_an_endpoint_has_no_more_calls_in_flight_than_its_document_says(gateway, ordinary):
    """The others get a 429 at once, in the shape of the API that they call."""
    slow = NamespacedName("search", "slow")
    silent = socket.create_server(("127.0.0.1", 0))
    document = gateway.document(slow, keys=(BOT.grant,), max_in_flight=3, request_timeout=20.0)
    before = gateway.snapshot.ir.endpoints[0]
    gateway.put([before.source, document], {KEY: before.serving, slow: Serving(False, (silent.getsockname(),))})
    host = "slow.search.localhost"
    head = f"Host: {host}\r\nX-API-Key: {BOT.key}\r\n\r\n"
    waiting = [tls(gateway.port, host, timeout=1) for _ in range(8)]
    try:
        for index, each in enumerate(waiting):
            each.sendall(f"GET {('/v2', '/v1/models')[index % 2]} HTTP/1.1\r\n{head}".encode())
        # The model server says nothing in the TLS handshake, so the three wait for their connections.
        answers = [_read(each) for each in waiting]
    finally:
        for each in waiting:
            each.close()
        silent.close()
        gateway.put([before.source], {KEY: before.serving})
    refused = [each for each in answers if each]
    assert len(refused) == 5
    for answer in refused:
        assert answer.startswith(b"HTTP/1.1 429 ")
        assert b"retry-after: 1" in answer
        assert b'"code":"too_many_in_flight"' in answer
    assert not ordinary.failed


def _read(connection) -> bytes:
    try:
        return connection.recv(4096)
    except TimeoutError:
        return b""


def test_a_server_name_that_is_not_in_lower_case_never_gets_as_far_as_tls(gateway, ordinary):
    """Each spelling of a known host was a subscription, a TLS context and a turn of Python, for ever."""
    gateway.asked.clear()
    assert not any(hello_and_gone(gateway.port, name) for name in spellings(HOST, 100))
    assert gateway.asked == []
    assert hello_and_gone(gateway.port, HOST)
    assert not ordinary.failed


# What goes on until it is left; benchmarks/attacks.py does more of each.
GOES_ON = {
    "blanks over HTTP/1.1": lambda port: Again(lambda: calls(port, HOST, f"authorization: Bearer a{' ' * 8000}b"), 4),
    "blanks over HTTP/2": lambda port: Again(
        lambda: streams(port, HOST, (b"authorization", b"Bearer a" + b" " * 3900 + b"b")), 4
    ),
    "long paths": lambda port: Again(lambda: calls(port, HOST, path="/" + "nl_aaaaaaaaaaaa-" * 1000), 4),
    "rapid reset": lambda port: Again(lambda: resets(port, HOST), 4),
    "slow headers": lambda port: slow_headers(port, HOST, 60, pause=0.2),
    "slow bodies": lambda port: slow_bodies(port, HOST, BOT.key, 60, pause=0.2),
    "names of nobody": lambda port: Again(names_of_nobody(port), 4),
}


@pytest.mark.parametrize("attack", GOES_ON.values(), ids=GOES_ON)
def test_callers_are_answered_while_an_attack_goes_on_and_it_takes_little_memory(gateway, ordinary, attack):
    gateway.asked.clear()
    with Peak(gateway.admin, gateway.process.pid) as peak, attack(gateway.port) as going_on:
        answered = len(ordinary.seconds)
        until(lambda: len(ordinary.seconds) > answered + 50, "the ordinary caller is answered", 90)
        tried = going_on.done if isinstance(going_on, Again) else going_on.begun
    assert tried > 0, "the attack came to nothing"
    assert peak.grown < 16
    assert not ordinary.failed
    # Each name that the gatekeeper is asked about is a turn of Python.
    assert gateway.asked == []
