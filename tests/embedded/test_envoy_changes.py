"""Endpoints come, go, wake and change on the real Envoy, and what is none of their business goes on undisturbed."""

import asyncio
import secrets
import socket
import ssl
import threading
from dataclasses import replace

import grpc
import pytest

from nightlatch.api.meta import NamespacedName
from nightlatch.api.names import endpoint_identity
from nightlatch.gatekeeper.hold.still_allowed import HeldCall
from nightlatch.gatekeeper.hold.waiting_room import Admitted, Refused
from nightlatch.routing.ir import COLD, Serving
from nightlatch.wire import caller_errors
from tests.embedded.attacks import admin as ask_admin
from tests.embedded.envoy_fixture import Caller, Gateway, error_info, until

KEY = NamespacedName("search", "minilm")
HOST = "minilm.search.localhost"
BOT = Caller("bot", secrets.token_bytes, "infer", "metadata")
HEADERS = {"x-api-key": BOT.key}


@pytest.fixture(scope="module")
def gateway(tmp_path_factory):
    gateway = Gateway(tmp_path_factory.mktemp("gw"))
    yield gateway
    gateway.stop()


@pytest.fixture(scope="module")
def model(gateway):
    return gateway.model_server(KEY)


@pytest.fixture
def document(gateway):
    return gateway.document(KEY, keys=(BOT.grant,))


@pytest.fixture
def warm(gateway, model, document):
    gateway.hold.outcome = None
    gateway.hold.held.clear()
    serving = Serving(hold=False, addresses=(model.address,))
    gateway.put([document], {KEY: serving})
    return serving


def status(client, **options):
    return client.get("/v2", headers=HEADERS, **options).status_code


@pytest.mark.parametrize("http2", [False, True], ids=["http1", "http2"])
def test_endpoints_come_and_go_without_draining_anybodys_connection(gateway, document, warm, http2):
    """The handshakes are counted: one that was drained would be followed by another."""
    with gateway.client(HOST, http2=http2) as client:
        assert status(client) == 200
        stream = client.get("/v2", headers=HEADERS).extensions["network_stream"].get_extra_info("socket")
        others = [gateway.document(NamespacedName("crowd", f"e{number}")) for number in range(5)]
        for count in (*range(len(others) + 1), 0):
            gateway.put([document, *others[:count]], {KEY: warm})
            answer = client.get("/v2", headers=HEADERS)
            assert answer.status_code == 200
            assert answer.headers.get("connection") != "close"
            assert answer.extensions["network_stream"].get_extra_info("socket") is stream


def test_a_new_endpoint_is_served_and_a_removed_one_is_not_found(gateway, document, warm):
    newcomer = gateway.document(NamespacedName("crowd", "new"))
    host = newcomer.hosts[0]
    with gateway.client(host, verify=False) as stranger:
        assert stranger.get("/x").status_code == 404
    gateway.put([document, newcomer], {KEY: warm})
    with gateway.client(host) as client:
        assert client.get("/x").status_code == 401
        gateway.put([document], {KEY: warm})
        until(lambda: client.get("/x").status_code == 404, "the removed host is not found on an open connection")


def test_a_removed_key_is_refused_on_an_open_connection(gateway, document, warm):
    with gateway.client(HOST) as client:
        assert status(client) == 200
        gateway.put([replace(document, keys=(), sequence=2)], {KEY: warm})
        assert status(client) == 401


def test_a_new_certificate_is_shown_without_a_new_listener(gateway, document, warm):
    def shown():
        with gateway.client(HOST) as client:
            stream = client.get("/x").extensions["network_stream"]
            return stream.get_extra_info("ssl_object").getpeercert(True)

    first = shown()
    renewed = gateway.document(KEY, keys=(BOT.grant,))
    gateway.put([renewed], {KEY: warm})
    until(lambda: shown() != first, "the new certificate")
    assert (
        ssl.PEM_cert_to_DER_cert(renewed.server_certificate.split("-----END")[0] + "-----END CERTIFICATE-----\n")
        == shown()
    )


def test_one_flip_pushes_one_route_configuration(gateway, document, warm):
    others = [gateway.document(NamespacedName("crowd", f"e{number}")) for number in range(3)]
    gateway.put([document, *others], {KEY: warm})
    before = gateway.snapshot
    gateway.put([document, *others], {KEY: replace(warm, hold=True)})
    changed = [
        (url.rpartition(".")[2], name)
        for url in before
        for name, resource in gateway.snapshot[url].items()
        if before[url].get(name) is not resource
    ]
    assert changed == [("RouteConfiguration", str(KEY))]


# --- the hold


def test_a_warm_call_never_asks_the_gatekeeper(gateway, warm):
    with gateway.client(HOST) as client:
        assert status(client) == 200
    assert gateway.hold.held == []


def test_only_an_allowed_call_is_held_and_it_is_told_how_long_it_waited(gateway, document, warm):
    gateway.put([document], {KEY: replace(warm, hold=True)})
    with gateway.client(HOST) as client:
        assert client.get("/v2").status_code == 401
        assert client.get("/v2", headers={"x-api-key": "x"}).status_code == 401
        assert client.get("/metrics", headers=HEADERS).status_code == 403
        assert gateway.hold.held == []
        answer = client.get("/v2", headers=HEADERS)
    assert answer.status_code == 200
    assert answer.headers["server-timing"] == "wake;dur=250"
    assert gateway.hold.held == [HeldCall("search/bot", "apiKey", BOT.grant.key_id, "GET", "/v2")]


@pytest.mark.parametrize("http2", [False, True], ids=["http1", "http2"])
def test_a_held_call_goes_to_the_replica_that_came_meanwhile(gateway, model, document, warm, http2):
    async def wait_for():
        gateway.hold.outcome = asyncio.get_running_loop().create_future()

    async def release():
        gateway.hold.outcome.set_result(Admitted(waited=1.0))

    gateway.put([document], {KEY: COLD})
    gateway.loop.run(wait_for())
    answers = []

    def call():
        with gateway.client(HOST, http2=http2) as client:
            answers.append(client.post("/v2/models/minilm/infer", headers=HEADERS, content=b"x" * 100_000))

    callers = [threading.Thread(target=call) for _ in range(8)]
    for caller in callers:
        caller.start()
    until(lambda: len(gateway.hold.held) == len(callers), "all are held")
    gateway.put([document], {KEY: Serving(hold=True, addresses=(model.address,))})
    gateway.loop.run(release())
    for caller in callers:
        caller.join(20)
    assert [(answer.status_code, len(answer.json()["body"])) for answer in answers] == [(200, 100_000)] * len(callers)


SENTENCE = 'The endpoint could not wake: it "took" too long'
WAKE_FAILED = Refused(caller_errors.WAKE_FAILED, SENTENCE, "CrashLoop")


async def refuse(gateway, refused):
    gateway.hold.outcome = asyncio.get_running_loop().create_future()
    gateway.hold.outcome.set_result(refused)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v2/models/minilm", {"error": SENTENCE, "code": "wake_failed", "reason": "CrashLoop"}),
        (
            "/v1/models",
            {
                "error": {
                    "message": SENTENCE,
                    "type": "server_error",
                    "param": None,
                    "code": "wake_failed",
                    "reason": "CrashLoop",
                }
            },
        ),
    ],
)
def test_a_refusal_of_the_gatekeeper_has_its_reason_in_the_shape_of_the_api(gateway, document, warm, path, body):
    gateway.put([document], {KEY: COLD})
    gateway.loop.run(refuse(gateway, WAKE_FAILED))
    with gateway.client(HOST) as client:
        answer = client.get(path, headers=HEADERS)
    assert (answer.status_code, answer.json(), answer.headers["retry-after"]) == (503, body, "10")


@pytest.mark.parametrize(
    ("refused", "status", "metadata"),
    [
        (WAKE_FAILED, grpc.StatusCode.UNAVAILABLE, {"reason": "CrashLoop"}),
        (
            Refused(caller_errors.TOO_MANY_HELD, caller_errors.TOO_MANY_HELD.say()),
            grpc.StatusCode.RESOURCE_EXHAUSTED,
            {},
        ),
    ],
)
def test_a_grpc_caller_gets_the_refusal_of_the_gatekeeper_as_status_and_error_info(
    gateway, document, warm, refused, status, metadata
):
    gateway.put([document], {KEY: COLD})
    gateway.loop.run(refuse(gateway, refused))
    ended = gateway.grpc_call(HOST, "/v2/models/minilm/infer", HEADERS)
    assert (ended.code(), ended.details()) == (status, refused.sentence)
    info = error_info(ended)
    assert (info.reason, info.domain, dict(info.metadata)) == (refused.error.code, "nightlatch.dev", metadata)


# --- the model server's identity


def test_a_model_server_of_another_identity_is_not_called(gateway, model, document, warm):
    impostor = replace(
        document, upstream_identity=endpoint_identity("nightlatch.local", NamespacedName("search", "impostor"))
    )
    gateway.put([impostor], {KEY: warm})
    with gateway.client(HOST) as client:
        until(lambda: status(client) == 503, "the new identity is demanded")
        before = len(model.received)
        assert status(client) == 503
    assert len(model.received) == before


def test_the_admin_port_is_a_unix_socket_of_ours_alone(gateway, warm):
    admin = gateway.folder / "admin.sock"
    assert admin.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    "page", ["/config_dump", "/init_dump", "/logging?level=trace", "/tap", "/quitquitquit", "/certs"]
)
def test_the_admin_interface_shows_no_configuration_and_changes_nothing(gateway, warm, page):
    admin = gateway.folder / "admin.sock"
    assert b"not allowed" in ask_admin(admin, page)
    assert ask_admin(admin, "/ready") == b"LIVE\n"


# --- TLS


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_no_session_is_resumed(gateway, warm, version):
    context = gateway.context()
    context.minimum_version = context.maximum_version = version

    def shake(session):
        with (
            socket.create_connection(("127.0.0.1", gateway.port), 20) as plain,
            context.wrap_socket(plain, server_hostname=HOST, session=session) as tls,
        ):
            tls.sendall(f"GET / HTTP/1.1\r\nhost: {HOST}\r\n\r\n".encode())
            assert tls.recv(100).startswith(b"HTTP/1.1 401")
            return tls.session, tls.session_reused

    session, _ = shake(None)
    assert shake(session)[1] is False


def test_names_that_are_nobodys_cost_the_gatekeeper_nothing(gateway, warm):
    gateway.asked.clear()
    for number in range(10):
        with gateway.client(f"random{number}.example", verify=False) as client:
            assert client.get("/").status_code == 404
    assert gateway.asked == []


def test_without_a_gatekeeper_warm_calls_go_on_and_cold_ones_are_refused(tmp_path):
    gateway = Gateway(tmp_path)
    try:
        warm, cold = KEY, NamespacedName("search", "cold")
        serving = Serving(hold=False, addresses=(gateway.model_server(warm).address,))
        documents = [gateway.document(key, keys=(BOT.grant,)) for key in (warm, cold)]
        gateway.put(documents, {warm: serving, cold: replace(serving, hold=True)})
        # Both certificates are fetched at the first handshake.
        with gateway.client(HOST) as to_warm, gateway.client("cold.search.localhost") as to_cold:
            assert [to_warm.get("/").status_code, to_cold.get("/").status_code] == [401, 401]
            gateway.loop.run(gateway.server.stop(None))
            assert status(to_warm) == 200
            answer = to_cold.get("/v1/models", headers=HEADERS)
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "unavailable")
    finally:
        gateway.stop()
