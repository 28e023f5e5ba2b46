"""When Envoy has once had everything that there was: until then the gateway is not ready."""

import pytest

from nightlatch.gatekeeper.xds.server import Ads, Connection
from nightlatch.wire.xds_types import CLUSTER, EXTENSION, LISTENER, ROUTES, SECRET
from tests.unit.gatekeeper.test_stream import Envoy, packed


@pytest.fixture
def envoy() -> Envoy:
    return Envoy()


@pytest.fixture
def connection(envoy: Envoy) -> Connection:
    return Connection(envoy.stream)


def answer(envoy: Envoy, connection: Connection, kind: str, *names: str, error: str = "") -> None:
    """Ask for a type, and accept or refuse what comes."""
    envoy.ask(kind, *names)
    ((_, _, nonce),) = envoy.receive()
    outcome = envoy.ask(kind, *names, nonce=nonce, error=error)
    if error:
        connection.refused(outcome.versions)


def test_an_envoy_is_loaded_once_it_accepted_all_that_there_was(envoy, connection) -> None:
    assert not connection.loaded(envoy.resources)
    envoy.put((LISTENER, "l", "x"), (CLUSTER, "c", "x"), (ROUTES, "r", "x"), (EXTENSION, "e", "x"), (SECRET, "s", "x"))
    answer(envoy, connection, LISTENER)
    answer(envoy, connection, CLUSTER)
    answer(envoy, connection, EXTENSION, "e")
    assert not connection.loaded(envoy.resources)
    answer(envoy, connection, ROUTES, "r")
    # Secrets are for calls that come.
    assert connection.loaded(envoy.resources)
    envoy.put((ROUTES, "r", "newer"), (CLUSTER, "d", "x"))
    assert connection.loaded(envoy.resources)


def test_what_envoy_refuses_keeps_the_gateway_from_nothing(envoy, connection) -> None:
    envoy.put((LISTENER, "l", "x"), (ROUTES, "good", "x"), (ROUTES, "bad", "x"))
    answer(envoy, connection, LISTENER)
    assert not connection.loaded(envoy.resources)
    answer(envoy, connection, ROUTES, "good", "bad", error="bad: no")
    assert not connection.loaded(envoy.resources)
    envoy.put((ROUTES, "good", "again"))
    ((_, _, nonce),) = envoy.receive()
    envoy.ask(ROUTES, "good", "bad", nonce=nonce)
    assert connection.loaded(envoy.resources)


def test_a_resource_that_is_removed_is_not_waited_for(envoy, connection) -> None:
    envoy.put((LISTENER, "l", "x"), (ROUTES, "r", "x"))
    answer(envoy, connection, LISTENER)
    assert not connection.loaded(envoy.resources)
    envoy.put((ROUTES, "r", None))
    assert connection.loaded(envoy.resources)


def test_without_an_envoy_nothing_is_loaded() -> None:
    ads = Ads(lambda _, name: packed(name))
    ads.update({(LISTENER, "l"): packed("x")})
    assert not ads.loaded
