"""Headers and paths as long as they may be, of every class of bytes, cost Envoy little more than short ones.

On the chain that `routing` compiles. One pattern of an earlier gate was quadratic: 8 KB of blanks cost 1,300 times a
short header, and a stranger with 600 KB of requests stopped both workers.
"""

import os
import ssl
from http.client import HTTPResponse

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
WARM_UP, CALLS, ROUNDS = 20, 200, 3
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


def ask(connection: ssl.SSLSocket, request: bytes, times: int) -> set[int]:
    """The statuses of the same request, so many times on one connection."""
    statuses = set()
    for _ in range(times):
        connection.sendall(request)
        response = HTTPResponse(connection)
        response.begin()
        response.read()
        statuses.add(response.status)
    return statuses


def cost(gateway: Gateway, *headers: str, path: str = "/v2/a") -> float:
    """Envoy's CPU for some calls without a good credential; the least of several tries."""
    request = "\r\n".join([f"GET {path} HTTP/1.1", f"host: {HOST}", *headers, "", ""]).encode("latin-1")
    tries = []
    for _ in range(ROUNDS):
        with gateway.connection(HOST) as connection:
            ask(connection, request, WARM_UP)
            before = cpu_seconds(gateway.process)
            statuses = ask(connection, request, CALLS)
            tries.append(cpu_seconds(gateway.process) - before)
        assert statuses in ({401}, {400}), statuses
    return min(tries)


def long(fill: str, length: int) -> str:
    """So many bytes of it. Blanks at the end would not be part of a value."""
    return (fill * (length // len(fill) + 1))[: length - 1] + "b"


@pytest.fixture(scope="module")
def short(gateway) -> float:
    return cost(gateway, "authorization: Bearer a", "x-api-key: a")


@pytest.mark.parametrize("fill", FILLS.values(), ids=FILLS)
@pytest.mark.parametrize("header", ["authorization: Bearer a", "x-api-key: a", "cookie: a", "x-anything: a"])
def test_a_long_header_costs_little_more_than_a_short_one(gateway, short, header, fill):
    length = CREDENTIAL if header.startswith(("authorization", "x-api-key")) else ANY
    assert cost(gateway, header + long(fill, length)) < 3 * short


@pytest.mark.parametrize("fill", [FILLS[name] for name in IN_A_PATH], ids=IN_A_PATH)
@pytest.mark.parametrize("before", ["/v2/", "/v2?a="], ids=["path", "query"])
def test_a_long_path_costs_little_more_than_a_short_one(gateway, short, before, fill):
    assert cost(gateway, path=before + long(fill, CREDENTIAL)) < 3 * short
