"""Strangers who fill the memory: what they can take is bounded, it comes back, and callers are answered meanwhile."""

import os
import time

import pytest

from nightlatch.api.meta import NamespacedName
from nightlatch.routing.ir import COLD, Serving
from nightlatch.routing.limits import envoy_limits
from tests.embedded.attacks import MIB, HeaderBomb, HeldUploads, Ordinary, Peak, allocated, stat
from tests.embedded.envoy_fixture import Caller, Gateway, until

KEY = NamespacedName("search", "minilm")
HOST = "minilm.search.localhost"
SLEEPING = NamespacedName("search", "sleeping")
BOT = Caller("bot", os.urandom, "infer", "metadata")
# A small gateway, so that a small attack is too much for it.
MEMORY = 256
LIMITS = envoy_limits(memory=MEMORY * MIB)


@pytest.fixture(scope="module")
def gateway(tmp_path_factory):
    gateway = Gateway(tmp_path_factory.mktemp("gw"), limits=LIMITS)
    model = gateway.model_server(KEY)
    documents = [gateway.document(KEY, keys=(BOT.grant,)), gateway.document(SLEEPING, keys=(BOT.grant,))]
    gateway.put(documents, {KEY: Serving(hold=False, addresses=(model.address,)), SLEEPING: COLD})
    yield gateway
    gateway.stop()


@pytest.fixture
def ordinary(gateway):
    """A caller whose first call is answered."""
    with Ordinary(gateway.port, HOST, BOT.key) as caller:
        until(lambda: caller.seconds, "an ordinary call is answered")
        yield caller


def watched(gateway) -> Peak:
    return Peak(gateway.admin, gateway.process.pid)


@pytest.mark.parametrize("name", [HOST, "nobody.example"], ids=["a known host", "an unknown host"])
def test_a_header_bomb_takes_little_and_for_seconds_only(gateway, ordinary, name):
    """Four connections sent 70 KB of references to big headers, and take no answer. It was 250 MiB for a minute."""
    before = allocated(gateway.admin)
    with (
        watched(gateway) as peak,
        HeaderBomb(gateway.port, name, connections=4, streams=1000, kib=60) as bomb,
    ):
        assert bomb.sent < MIB
        time.sleep(1)
        assert peak.grown < 16
    with (
        watched(gateway) as peak,
        HeaderBomb(gateway.port, name, connections=10, streams=99, kib=20),
    ):
        time.sleep(1)
        assert peak.grown < 60
        until(lambda: allocated(gateway.admin) < before + 12, "the streams end while their connections stay", 15)
    assert not ordinary.failed


def test_connections_that_keep_on_filling_the_memory_are_closed_before_it_is_full(gateway, ordinary):
    """Each stays within every bound of its own, so only the heap tells that there are too many."""
    with (
        watched(gateway) as peak,
        HeaderBomb(gateway.port, HOST, connections=120, streams=99, kib=20, renew=True),
    ):
        answered = len(ordinary.seconds)
        time.sleep(6)
        assert len(ordinary.seconds) > answered + 20, str(ordinary)
    assert peak.resident < MEMORY
    closed = "overload.envoy.load_shed_points.http2_server_go_away_and_close_on_dispatch.shed_load_count"
    assert stat(gateway.admin, closed) > 0
    until(lambda: allocated(gateway.admin) < peak.before + 12, "the memory is free again", 15)
    until(lambda: _fails_for_nobody(ordinary), "ordinary calls are answered again", 15)


def _fails_for_nobody(ordinary: Ordinary) -> bool:
    """Whether a second passes in which calls are answered and none fails."""
    answered, failed = len(ordinary.seconds), len(ordinary.failed)
    time.sleep(1)
    return len(ordinary.seconds) > answered and len(ordinary.failed) == failed


def test_held_uploads_keep_little_of_their_bodies(gateway, ordinary):
    with watched(gateway) as peak:
        gateway.hold.outcome = gateway.loop.loop.create_future()
        with HeldUploads(gateway.port, "sleeping.search.localhost", BOT.key, calls=40, kib=1024):
            until(lambda: len(gateway.hold.held) >= 40, "the calls are held")
            assert peak.grown < 12
    assert not ordinary.failed
