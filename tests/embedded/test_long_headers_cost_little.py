"""Headers and paths as long as they may be, of every class of bytes, cost Envoy little more than short ones.

On the chain that `routing` compiles. One pattern of an earlier gate was quadratic: 8 KB of blanks cost 1,300 times a
short header, and a stranger with 600 KB of requests stopped both workers.
"""

import os
import ssl

import pytest

from nightlatch.api.meta import NamespacedName
from nightlatch.routing.ir import COLD
from tests.embedded.envoy_fixture import Caller, Gateway, cpu_seconds

KEY = NamespacedName("search", "minilm")
HOST = "minilm.search.localhost"
BOT = Caller("bot", os.urandom, "infer", "metadata")
# The longest token that the gate reads.
CREDENTIAL = 16 * 1024
# All headers together may have 24 KiB.
ANY = 22 * 1024
CALLS, ROUNDS = 20, 6
LINE = "GET /v2/a HTTP/1.1"
HALF_A_KEY = "nl_000000000000_"
FILLS = {
    "blanks": " ",
    "tabs": "\t",
    "lower case": "a",
    "capitals": "A",
    "digits": "0",
    "commas": ",",
    "semicolons": ";",
    "dots": ".",
    "equal signs": "=",
    "underscores": "_",
    "tildes": "~",
    "quotes": '"',
    "slashes": "/",
    "plus signs": "+",
    "backslashes": "\\",
    "0x80": "\x80",
    "0xff": "\xff",
    "UTF-8": "\xc3\xa9",
    "prefixes of a key": "nl_",
    "halves of keys": HALF_A_KEY,
    "keys": BOT.key,
    "bearers": "Bearer ",
    "escaped percent signs": "%25",
    "escaped letters": "%6e%6c",
    "escaped bytes": "%ff",
}
# Envoy takes no others in a path.
IN_A_PATH = [
    name for name, fill in FILLS.items() if fill.isascii() and fill.strip() and not set(fill) & {" ", '"', "\\"}
]


@pytest.fixture(scope="module")
def gateway(tmp_path_factory):
    """With an endpoint that is asleep, so that the gatekeeper would be asked if a call got through."""
    gateway = Gateway(tmp_path_factory.mktemp("gw"))
    gateway.put([gateway.document(KEY, keys=(BOT.grant,))], {KEY: COLD})
    yield gateway
    assert gateway.authorization.checks == 0
    gateway.stop()


def answered(connection: ssl.SSLSocket, request: bytes) -> bytes:
    """The answer to one request; its body is JSON."""
    connection.sendall(request)
    answer = b""
    while not answer.endswith(b"}"):
        received = connection.recv(65_536)
        assert received, answer
        answer += received
    return answer


def cost(gateway: Gateway, line: str, *headers: str) -> float:
    """Envoy's CPU for some calls without a good credential, on one connection unless each answer ends it."""
    request = "\r\n".join([line, f"host: {HOST}", *headers, "", ""]).encode("latin-1")
    before, calls = cpu_seconds(gateway.process), 0
    while calls < CALLS:
        with gateway.connection(HOST) as connection:
            closes = False
            while calls < CALLS and not closes:
                answer = answered(connection, request)
                assert answer.split(maxsplit=2)[1] in (b"401", b"400"), answer
                closes = b"connection: close" in answer
                calls += 1
    return cpu_seconds(gateway.process) - before


def times_the_short_one(gateway: Gateway, long: tuple[str, ...], short: tuple[str, ...]) -> float:
    """What one call costs, as a multiple of what the other does at the same time: a CPU's speed changes. The least of
    several tries.
    """
    return min(cost(gateway, *long) / cost(gateway, *short) for _ in range(ROUNDS))


def long(fill: str, length: int) -> str:
    """So many bytes of it. Blanks at the end would not be part of a value."""
    return (fill * (length // len(fill) + 1))[: length - 1] + "b"


@pytest.mark.parametrize("fill", FILLS.values(), ids=FILLS)
@pytest.mark.parametrize("header", ["authorization: Bearer a", "x-api-key: a", "cookie: a", "x-anything: a"])
def test_a_long_header_costs_little_more_than_a_short_one(gateway, header, fill):
    length = CREDENTIAL if header.startswith(("authorization", "x-api-key")) else ANY
    calls = [(LINE, header + long(fill, each)) for each in (length, len(fill) + 1)]
    assert times_the_short_one(gateway, *calls) < 3


@pytest.mark.parametrize("fill", [FILLS[name] for name in IN_A_PATH], ids=IN_A_PATH)
@pytest.mark.parametrize("before", ["/v2/", "/v2?a="], ids=["path", "query"])
def test_a_long_path_costs_little_more_than_a_short_one(gateway, before, fill):
    """Envoy normalises a path itself, which costs more than the gate does; it is linear."""
    calls = [(f"GET {before}{long(fill, each)} HTTP/1.1",) for each in (CREDENTIAL, len(fill) + 1)]
    assert times_the_short_one(gateway, *calls) < (6 if before == "/v2/" else 3)
