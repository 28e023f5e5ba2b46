"""What the native gate answers over the wire, on a real Envoy with a configuration of the test's own."""

import time

import httpx
import pytest

from tests.embedded.envoy_fixture import until
from tests.embedded.gate_lab import HOSTS, INFER, GateLab, Key, policy

ONE, TWO, NONE, NOWHERE = HOSTS
FORGED = (
    "x-nightlatch-client",
    "x-nightlatch-permissions",
    "x-nightlatch-method",
    "x-nightlatch-key-sha256",
    "cookie",
    "dpop",
    "api-key",
    "openai-api-key",
    "x-goog-api-key",
    "x-amz-security-token",
    "x-auth-token",
    "x-access-token",
    "proxy-authorization",
    "client-cert",
    "x-ssl-client-cert",
    "remote-user",
    "x-remote-user",
    "x-forwarded-user",
    "x-forwarded-email",
    "x-forwarded-groups",
    "x-forwarded-host",
    "x-forwarded-port",
    "x-forwarded-prefix",
    "x-forwarded-path",
    "x-forwarded-access-token",
    "forwarded",
    "x-real-ip",
    "true-client-ip",
    "x-original-uri",
    "x-original-method",
    "x-original-url",
    "x-rewrite-url",
    "x-spiffe-id",
    "x-envoy-peer-metadata",
    "x-envoy-attempt-count",
    "x-http-method-override",
)


@pytest.fixture(scope="module")
def key():
    return Key()


@pytest.fixture(scope="module")
def expired():
    return Key(not_after=int(time.time()) - 1)


@pytest.fixture(scope="module")
def lab(tmp_path_factory, key, expired):
    lab = GateLab(tmp_path_factory.mktemp("gate"))
    try:
        lab.start(
            one=policy(key, expired, sequence=7), two=policy(name="search/two", denied={"code": "PolicyUnreadable"})
        )
        yield lab
    finally:
        lab.stop()


def test_a_good_key_gets_an_answer_and_the_model_server_learns_only_who_calls(lab, key):
    for header in (
        ("X-API-Key", key.text),
        ("Authorization", f"Bearer {key.text}"),
        ("authorization", f"bEARER  {key.text} "),
    ):
        answer = lab.call(None, header, *((name, "forged") for name in FORGED), ("X-Forwarded-For", "6.6.6.6"))
        assert answer.status == 200, answer.body
        headers = answer.json()["headers"]
        assert headers["x-nightlatch-client"] == "search/bot"
        assert headers["x-nightlatch-permissions"] == "infer"
        assert headers["x-nightlatch-method"] == "apiKey"
        assert "forged" not in str(headers)
        assert "6.6.6.6" not in str(headers)
        assert key.text not in str(headers)


def test_the_refusals(lab, key, expired):
    stranger = Key()
    bearer = ("Authorization", f"Bearer {key.text}")
    mistyped = key.text[:30] + ("A" if key.text[30] != "A" else "B") + key.text[31:]
    for status, headers in (
        (401, []),
        (401, [("X-API-Key", "")]),
        (401, [("X-API-Key", mistyped)]),
        (401, [("X-API-Key", stranger.text)]),
        (401, [("X-API-Key", expired.text)]),
        (401, [("Authorization", "Basic YTpi")]),
        (401, [("Authorization", "Bearer a.b.c")]),
        (401, [("X-API-Key", key.text), ("Authorization", "Bearer a.b.c")]),
        (401, [("X-API-Key", key.text), ("Authorization", "DPoP abc")]),
        (400, [bearer, bearer]),
        (400, [bearer, ("Authorization", "Basic YTpi")]),
        (400, [("Authorization", f"Bearer {key.text}, Bearer {key.text}")]),
        (400, [("X-API-Key", key.text), ("X-API-Key", key.text)]),
        (400, [bearer, ("X-API-Key", stranger.text)]),
    ):
        answer = lab.call(None, *headers)
        assert answer.status == status, (headers, answer.status, answer.body)
        assert ("www-authenticate" in answer.headers) == (status == 401)
    bodies = {lab.call(each).body for each in (None, stranger, expired)}
    assert len(bodies) == 1


def test_what_is_not_permitted_is_403_and_only_for_a_good_key(lab, key):
    for method, path in (("GET", "/v2/models/m"), ("GET", "/nowhere"), ("POST", INFER + "/"), ("DELETE", INFER)):
        assert lab.call(key, method=method, path=path).status == 403
        assert lab.call(method=method, path=path).status == 401
    answer = lab.call(key, path="/nowhere")
    assert answer.json()["error"]["code"] == "insufficient_scope"
    assert answer.headers["www-authenticate"] == 'Bearer realm="nightlatch", error="insufficient_scope"'


def test_a_key_in_the_url_is_refused_through_any_encoding(lab, key):
    hidden = "%6E%6C" + key.text[2:]
    twice = "%256e%256C%255f" + key.text[3:]
    for text in (key.text, hidden, twice, key.text.replace("_", "%5f")):
        assert lab.call(key, path=f"{INFER}?key={text}").status == 401
    assert lab.call(key, path=f"{INFER}?key=nl_short").status == 200


def test_the_host_decides_first(lab, key):
    for host, authority, status in (
        (ONE, "ONE.Search.Localhost", 200),
        (ONE, "one.search.localhost.", 200),
        (ONE, "One.search.localhost.:8443", 200),
        (ONE, TWO, 421),
        (ONE, "one.search.localhost..", 421),
        (NOWHERE, NOWHERE, 404),
        (TWO, TWO, 503),
        (NONE, NONE, 401),
    ):
        answer = lab.call(key, host=host, authority=authority)
        assert answer.status == status, (host, authority, answer.body)


def test_requests_without_a_path_and_upgrades_are_told_401_and_nothing_more(lab, key):
    upgrade = (("Connection", "upgrade"), ("Upgrade", "websocket"))
    assert lab.call(None, *upgrade).status == 401
    assert lab.call(key, *upgrade).status == 200
    assert lab.raw(f"OPTIONS * HTTP/1.1\r\nHost: {ONE}\r\n\r\n".encode()).status == 401
    connect = f"CONNECT {ONE}:443 HTTP/1.1\r\nHost: {ONE}:443\r\n"
    assert lab.raw(f"{connect}\r\n".encode()).status == 401
    assert lab.raw(f"{connect}X-API-Key: {key.text}\r\n\r\n".encode()).status == 403


def test_nobody_without_a_credential_is_invited_to_send_a_body(lab, key):
    head = f"POST {INFER} HTTP/1.1\r\nHost: {ONE}\r\nContent-Length: 5\r\nExpect: 100-continue\r\n"
    with lab.connect() as tls:
        tls.sendall(f"{head}\r\n".encode())
        assert tls.recv(20).startswith(b"HTTP/1.1 401")
    with lab.connect() as tls:
        tls.sendall(f"{head}X-API-Key: {key.text}\r\n\r\n".encode())
        assert tls.recv(25).startswith(b"HTTP/1.1 100")
        tls.sendall(b"hello")
        assert b"HTTP/1.1 200" in tls.recv(4096)


def test_a_body_has_the_shape_of_the_api_of_its_path(lab):
    sentence = "A valid credential is required."
    assert lab.call(path="/v2/models/m/infer").json() == {"error": sentence, "code": "unauthenticated"}
    openai = lab.call(path="/v1/embeddings").json()["error"]
    assert openai == {"message": sentence, "type": "invalid_request_error", "param": None, "code": "unauthenticated"}
    assert lab.call(path="/metrics").json() == {"error": {"code": "unauthenticated", "message": sentence}}
    grpc = lab.call(None, ("Content-Type", "application/grpc"))
    assert (grpc.status, grpc.headers["grpc-status"], grpc.headers["grpc-message"]) == (200, "16", sentence)


def test_http2_calls_and_their_trailers_are_treated_alike(lab, key):
    with httpx.Client(http2=True, verify=False, base_url=f"https://127.0.0.1:{lab.port}") as client:  # noqa: S501
        host = {"host": ONE}
        extensions = {"sni_hostname": ONE}
        good = client.post(INFER, headers={**host, "x-api-key": key.text}, extensions=extensions)
        bad = client.post(INFER, headers=host, extensions=extensions)
        twice = [("host", ONE), ("authorization", f"Bearer {key.text}"), ("authorization", f"Bearer {key.text}")]
        doubled = client.post(INFER, headers=twice, extensions=extensions)
    assert (good.http_version, good.status_code, bad.status_code, doubled.status_code) == ("HTTP/2", 200, 401, 400)


def test_a_server_name_that_is_not_lower_case_is_closed_before_tls(lab):
    before = lab.stats("ssl.handshake")
    for name in ("ONE.search.localhost", "one.search.localhosT"):
        with pytest.raises(ConnectionResetError):
            lab.connect(name)
    assert lab.stats("hello_closed_spelling").popitem()[1] >= 2
    assert lab.stats("ssl.handshake") == before


def test_every_decision_is_in_the_access_log(lab, key):
    lab.call(key)
    lab.call()

    def line(**expected):
        return [each for each in lab.lines() if expected.items() <= each.items()]

    who = {"client": "search/bot", "credential": key.id, "method": "apiKey", "endpoint": "search/one", "sequence": "7"}
    allow = {"status": 200, "decision": "allow", "rule": "apiKey", "permission": "infer", **who}
    deny = {"status": 401, "decision": "deny", "code": "unauthenticated", "endpoint": "search/one", "client": None}
    until(lambda: line(**allow) and line(**deny), "both lines are there", 12)
    assert key.text not in (lab.folder / "access.log").read_text()


def test_decisions_are_counted(lab, key):
    before = lab.stats("^dynamicmodulescustom")
    lab.call(key)
    lab.call()
    lab.call(key, path="/nowhere")
    after = lab.stats("^dynamicmodulescustom")
    grown = {name.partition(".")[2]: value - before[name] for name, value in after.items() if value != before[name]}
    assert grown == {"allowed": 1, "refused.unauthenticated": 1, "refused.insufficient_scope": 1}
