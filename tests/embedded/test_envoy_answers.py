"""What a caller sees of every answer that the gateway gives itself, from outside, on the real Envoy."""

import contextlib
import re
import secrets
import time
from dataclasses import replace

import httpx
import pytest

from nightlatch.api.meta import NamespacedName
from nightlatch.routing.ir import BrokenDocument, Serving
from nightlatch.wire.route_document import RateTier
from tests.attack.tables.http import FORGED
from tests.attack.tables.operations import UNLISTED
from tests.embedded.envoy_fixture import Caller, Gateway, error_info, until

KEY = NamespacedName("search", "minilm")
OTHER = NamespacedName("search", "other")
HOST = "minilm.search.localhost"
OTHER_HOST = "other.search.localhost"
BOT = Caller("bot", secrets.token_bytes, "infer", "metadata")
READER = Caller("reader", secrets.token_bytes, "metadata")
LIMITED = Caller("limited", secrets.token_bytes, "metadata", tier="small")
LIMITED_GRPC = Caller("limitedgrpc", secrets.token_bytes, "metadata", tier="small")
EARLY = Caller("early", secrets.token_bytes, "metadata", not_before=int(time.time()) + 3600)
LATE = Caller("late", secrets.token_bytes, "metadata", not_after=int(time.time()) - 1)
IN_TIME = Caller("intime", secrets.token_bytes, "metadata", not_before=1, not_after=int(time.time()) + 3600)
STRANGER = Caller("stranger", secrets.token_bytes, "infer")
CALLERS = (BOT, READER, LIMITED, LIMITED_GRPC, EARLY, LATE, IN_TIME)
INFER = "/v2/models/minilm/infer"


@pytest.fixture(scope="module")
def gateway(tmp_path_factory):
    gateway = Gateway(tmp_path_factory.mktemp("gw"))
    yield gateway
    gateway.stop()


@pytest.fixture(scope="module")
def model(gateway):
    model = gateway.model_server(KEY)
    grants = tuple(caller.grant for caller in CALLERS)
    document = gateway.document(KEY, keys=grants, rate_tiers={"small": RateTier(1, 3600.0, 2)})
    other = gateway.document(OTHER, keys=(STRANGER.grant,))
    broken = replace(gateway.document(NamespacedName("search", "broken")), denied="policy_stale")
    unread = BrokenDocument(NamespacedName("search", "unread"), "DocumentUnreadable", ("unread.search.localhost",))
    gateway.put([document, other, broken, unread], {KEY: Serving(hold=False, addresses=(model.address,))})
    return model


@pytest.fixture(params=[False, True], ids=["http1", "http2"])
def client(request, gateway, model):
    with gateway.client(HOST, http2=request.param) as client:
        yield client


def key(caller):
    return {"x-api-key": caller.key}


def bearer(token):
    return {"authorization": f"Bearer {token}"}


# --- let through


def test_a_good_key_is_let_through_in_either_header(client):
    assert client.post(INFER, headers=key(BOT), content=b"{}").json()["body"] == "{}"
    assert client.post(INFER, headers=bearer(BOT.key)).status_code == 200
    assert client.get("/v2", headers={"authorization": f"bearer {READER.key}"}).status_code == 200
    assert client.get("/v2", headers={**key(READER), **bearer(READER.key)}).status_code == 200
    assert client.get("/v2", headers=key(IN_TIME)).status_code == 200


def test_the_model_server_sees_who_calls_and_no_credential(client):
    spoofed = {
        **dict.fromkeys(map(str.lower, FORGED), "root"),
        "x-nightlatch-key-sha256": BOT.grant.sha256,
        "x-nightlatch-hold-timeout": "3",
    }
    seen = client.get("/v2", headers={**key(READER), **spoofed}).json()
    ours = {name: value for name, value in seen["headers"].items() if "nightlatch" in name}
    assert ours == {
        "x-nightlatch-client": "search/reader",
        "x-nightlatch-permissions": "metadata",
        "x-nightlatch-method": "apiKey",
    }
    # Envoy says these itself.
    envoys = {"x-forwarded-for", "x-forwarded-proto", "x-request-id"}
    assert spoofed.keys() & seen["headers"].keys() - ours.keys() <= envoys
    assert "root" not in str(seen)
    assert READER.key not in str(seen)
    assert "9.9.9.9" not in client.get("/v2", headers={**key(BOT), "x-forwarded-for": "9.9.9.9"}).text
    assert "authorization" not in client.get("/v2", headers=bearer(READER.key)).json()["headers"]


def test_the_model_server_is_called_with_the_gateways_identity(client):
    assert client.get("/v2", headers=key(BOT)).json()["peer"] == ["spiffe://nightlatch.local/gateway"]


def test_a_query_reaches_the_model_server(client):
    assert client.get("/v1/models?limit=2", headers=key(BOT)).json()["path"] == "/v1/models?limit=2"


def test_the_answer_does_not_name_the_software(client):
    assert client.get("/v2", headers=key(BOT)).headers["server"] == "nightlatch"


# --- 401


def request_line(line, *headers):
    return "\r\n".join([line, f"host: {HOST}", *headers, "", ""]).encode()


ODD = {
    "upgrade": request_line("GET /v2 HTTP/1.1", "connection: upgrade", "upgrade: websocket"),
    "h2c": request_line(
        "GET /v2 HTTP/1.1", "connection: upgrade, http2-settings", "upgrade: h2c", "http2-settings: AA"
    ),
    "connect": f"CONNECT {HOST}:443 HTTP/1.1\r\nhost: {HOST}:443\r\n\r\n".encode(),
    "options of everything": request_line("OPTIONS * HTTP/1.1"),
    "expect": request_line(f"POST {INFER} HTTP/1.1", "expect: 100-continue", "content-length: 100000"),
    "trace": request_line("TRACE /v2 HTTP/1.1"),
}


@pytest.mark.parametrize("request_bytes", ODD.values(), ids=ODD)
def test_an_odd_request_without_a_credential_is_told_401_and_nothing_more(gateway, model, request_bytes):
    before = len(model.received)
    status, body = gateway.raw(HOST, request_bytes)
    assert status == 401, body
    assert b"unauthenticated" in body
    assert len(model.received) == before


def test_an_unknown_upgrade_is_ignored(gateway, model):
    request = request_line("GET /v2 HTTP/1.1", "connection: upgrade", "upgrade: websocket", f"x-api-key: {BOT.key}")
    assert gateway.raw(HOST, request)[0] == 200


def test_an_old_version_of_http_is_told_what_to_use(gateway, model):
    status, body = gateway.raw(HOST, request_line("GET /v2 HTTP/1.0"))
    assert status == 426
    assert b"use HTTP/1.1 or HTTP/2" in body


def test_only_a_caller_who_is_let_through_is_asked_for_the_body(gateway, model):
    head = [f"POST {INFER} HTTP/1.1", "expect: 100-continue", "content-length: 3"]
    with gateway.connection(HOST) as tls:
        tls.sendall(request_line(*head))
        assert tls.recv(1000).startswith(b"HTTP/1.1 401")
    with gateway.connection(HOST) as tls:
        tls.sendall(request_line(*head, f"x-api-key: {BOT.key}"))
        assert tls.recv(1000).startswith(b"HTTP/1.1 100")
        tls.sendall(b"abc")
        assert tls.recv(1000).startswith(b"HTTP/1.1 200")


# --- 400


def test_an_empty_repetition_is_dropped_before_anyone_can_see_it_and_changes_nobodys_identity(gateway, model):
    """Envoy joins a repeated Authorization while it reads it, without what is empty. X-API-Key is not joined."""
    bearer, empty = f"authorization: Bearer {BOT.key}", "authorization:"
    for headers, status in (
        ((bearer, empty), 200),
        ((empty, bearer), 200),
        ((empty, empty), 401),
        ((bearer, "authorization: ,"), 400),
        ((f"x-api-key: {BOT.key}", "x-api-key:"), 400),
    ):
        assert gateway.raw(HOST, request_line("GET /v2 HTTP/1.1", *headers))[0] == status, headers
        if status == 200:
            assert model.received[-1]["headers"]["x-nightlatch-client"] == "search/bot"
            assert "authorization" not in model.received[-1]["headers"]


def test_pipelined_calls_are_answered_in_their_order_and_refusals_as_far_as_envoy_lets_them_wait(gateway, model):
    """Envoy closes a connection when a request comes while two answers wait to be sent."""

    def statuses(*requests):
        received = b""
        with gateway.connection(HOST) as tls:
            tls.sendall(b"".join(requests))
            tls.settimeout(3.0)
            with contextlib.suppress(TimeoutError):
                while part := tls.recv(65536):
                    received += part
        return [int(status) for status in re.findall(rb"HTTP/1\.1 (\d{3})", received)]

    good, bad = request_line("GET /v2 HTTP/1.1", f"x-api-key: {BOT.key}"), request_line("GET /v2 HTTP/1.1")
    assert statuses(*[good] * 5) == [200] * 5
    assert statuses(good, bad) == [200, 401]
    refused = statuses(*[bad] * 5)
    assert len(refused) >= 2
    assert set(refused) == {401}


# --- 403


def test_a_permission_that_is_missing_is_forbidden(client, model):
    before = len(model.received)
    answer = client.post(INFER, headers=key(READER))
    assert answer.status_code == 403
    assert answer.json() == {
        "error": "The credential does not permit this operation.",
        "code": "insufficient_scope",
    }
    assert 'error="insufficient_scope"' in answer.headers["www-authenticate"]
    assert len(model.received) == before


@pytest.mark.parametrize(("method", "path"), [(method, path) for method, path, _ in UNLISTED])
def test_that_an_operation_is_not_in_the_table_is_told_only_after_authentication(client, model, method, path):
    before = len(model.received)
    assert client.request(method, path.format(model=KEY.name)).status_code == 401
    assert len(model.received) == before


# --- 404, 421


def test_an_unknown_host_is_not_found(gateway, model):
    with gateway.client("nobody.search.localhost", verify=False) as client:
        answer = client.get("/x", headers=key(BOT))
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "not_found")


def test_a_caller_without_a_server_name_is_not_found(gateway, model):
    with gateway.client(HOST, sni="127.0.0.1", verify=False) as client:
        assert client.get("/v2", headers=key(BOT)).status_code == 404


def test_a_host_that_is_not_the_server_name_is_misdirected(gateway, model):
    for host in (OTHER_HOST, "nobody.search.localhost"):
        with gateway.client(host, sni=HOST) as client:
            assert client.get("/v2", headers=key(BOT)).status_code == 421


def test_a_server_name_that_is_not_in_lower_case_is_closed_and_nothing_is_made_for_it(gateway, model):
    gateway.asked.clear()
    for name in ("MiniLM.search.localhost", "minilm.search.localhosT", "NOBODY.search.localhost"):
        with gateway.client(HOST, sni=name, verify=False) as client, pytest.raises(httpx.TransportError):
            client.get("/v2", headers=key(BOT))
    assert gateway.asked == []


@pytest.mark.parametrize("host", ["MINILM.search.localhost", "minilm.search.localhost.", "MiniLM.Search.LocalHost."])
def test_a_host_reaches_its_endpoint_in_any_case_and_with_a_dot_at_the_end(gateway, model, host):
    for http2 in (False, True):
        with gateway.client(host, http2=http2, sni=HOST) as client:
            assert client.get("/v2", headers=key(READER)).status_code == 200
            assert client.get("/v2").status_code == 401


# --- 429


def test_a_client_over_its_rate_is_told_when_to_come_back(gateway, model):
    with gateway.client(HOST) as client:
        answers = [client.get("/v1/models", headers=key(LIMITED)) for _ in range(3)]
        assert [answer.status_code for answer in answers] == [200, 200, 429]
        assert answers[0].headers["ratelimit-remaining"] == "1"
        assert answers[2].headers["retry-after"] == "3600"
        assert answers[2].headers["ratelimit-limit"] == "2"
        assert answers[2].json()["error"]["code"] == "rate_limited"
        assert answers[2].json()["error"]["type"] == "rate_limit_error"
        assert client.get("/v1/models", headers=key(BOT)).status_code == 200


# --- 503


def test_a_broken_policy_denies_its_own_endpoint_alone(gateway, client):
    for host, code, verify in (
        ("broken.search.localhost", "policy_stale", True),
        ("unread.search.localhost", "policy_invalid", False),
    ):
        with gateway.client(host, verify=verify) as broken:
            answer = broken.get("/v1/models", headers=key(BOT))
        assert answer.status_code == 503
        assert answer.json()["error"]["code"] == code
        assert answer.json()["error"]["type"] == "server_error"
    assert client.get("/v2", headers=key(BOT)).status_code == 200


def test_a_model_server_that_cannot_be_reached_is_unavailable(gateway, model):
    before = gateway.snapshot
    documents = [each.source for each in before.ir.endpoints]
    try:
        gateway.put(documents, {KEY: Serving(hold=False)})
        with gateway.client(HOST) as client:
            answer = client.get("/metrics", headers=key(BOT))
            assert answer.status_code == 403
            answer = client.get("/v1/models", headers=key(BOT))
            assert (answer.status_code, answer.json()["error"]["code"]) == (503, "unavailable")
            assert answer.headers["retry-after"] == "1"
    finally:
        gateway.put(documents, {KEY: Serving(hold=False, addresses=(model.address,))})


# --- shapes


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v2/models/minilm", {"error": "A valid credential is required.", "code": "unauthenticated"}),
        (
            "/v1/models",
            {
                "error": {
                    "message": "A valid credential is required.",
                    "type": "invalid_request_error",
                    "param": None,
                    "code": "unauthenticated",
                }
            },
        ),
        ("/", {"error": {"code": "unauthenticated", "message": "A valid credential is required."}}),
    ],
)
def test_each_api_gets_its_own_shape_of_error(client, path, body):
    answer = client.get(path)
    assert answer.json() == body
    assert answer.headers["content-type"] == "application/json"


@pytest.mark.parametrize(("headers", "status"), [({}, "16"), (key(READER), "7")])
def test_grpc_callers_get_a_grpc_status(gateway, model, headers, status):
    with gateway.client(HOST, http2=True) as client:
        answer = client.post(INFER, headers={"content-type": "application/grpc", "te": "trailers", **headers})
    assert answer.headers["grpc-status"] == status
    assert not answer.headers["grpc-message"].startswith("{")


def test_the_grpc_status_of_a_rate_limit_is_its_own_and_not_the_one_that_envoy_makes_of_429(gateway, model):
    headers = {"content-type": "application/grpc", "te": "trailers", **key(LIMITED_GRPC)}
    with gateway.client(HOST, http2=True) as client:
        answers = [client.get("/v1/models", headers=headers) for _ in range(3)]
    assert answers[2].headers["grpc-status"] == "8"
    assert answers[2].headers["grpc-message"] == "The client's rate limit is used up."
    assert answers[2].headers["retry-after"] == "3600"


def test_grpc_callers_get_the_code_as_error_info(gateway, model):
    for headers, code in (({}, "unauthenticated"), (key(READER), "insufficient_scope")):
        ended = gateway.grpc_call(HOST, INFER, headers)
        info = error_info(ended)
        assert (info.reason, info.domain, dict(info.metadata)) == (code, "nightlatch.dev", {})


def test_a_grpc_caller_with_a_malformed_credential_gets_the_status_and_the_sentence_only(gateway, model):
    ended = gateway.grpc_call(HOST, INFER, {**key(BOT), **bearer(READER.key)})
    assert (ended.code().name, ended.details()) == ("INVALID_ARGUMENT", "The request has two API keys that differ.")
    assert "grpc-status-details-bin" not in dict(ended.trailing_metadata())


# --- secrets


def test_no_key_is_in_envoys_log(gateway, client):
    client.get(f"/v2?key={BOT.key}", headers=key(BOT))
    client.get("/v2", headers=bearer(BOT.key))
    until(gateway.log.exists, "a log")
    assert BOT.key.split("_")[2] not in gateway.log.read_text()
