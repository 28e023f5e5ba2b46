"""The same for requests, at a server on loopback."""

import io
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import requests

from nightlatch_client import Client, ClientSecretPost, GrantRefusedError
from nightlatch_client.requests_auth import RequestsAuth
from nightlatch_client.signing import SigningKey
from tests.unit.client.stand_in_provider import ISSUER, SECRET, StandIn, claims_of, refusal

CLIENT = Client(ISSUER, "bot", ClientSecretPost(SECRET))


class Endpoint:
    """accepts: the header Authorization that is let in. nonce: wanted in proofs. seen: headers and bodies."""

    def __init__(self) -> None:
        self.accepts = "Bearer token-1"
        self.nonce = ""
        self.moved = ""
        self.seen: list[tuple[dict[str, str], bytes]] = []
        endpoint = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length", 0)))
                endpoint.seen.append(({name.lower(): text for name, text in self.headers.items()}, body))
                status, headers = endpoint.answer(self.headers)
                self.send_response(status)
                for name, text in headers.items():
                    self.send_header(name, text)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/v1/embeddings"
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def answer(self, headers) -> tuple[int, dict[str, str]]:
        if self.moved:
            return 307, {"location": self.moved}
        if self.nonce and claims_of(headers["dpop"])[1].get("nonce") != self.nonce:
            return 401, {"DPoP-Nonce": self.nonce, "WWW-Authenticate": 'DPoP error="use_dpop_nonce"'}
        return (200 if headers.get("authorization") == self.accepts else 401), {}


@pytest.fixture
def endpoint():
    server = Endpoint()
    yield server
    server.server.shutdown()
    server.server.server_close()


def session(tokens) -> requests.Session:
    http = requests.Session()
    http.auth = RequestsAuth(tokens)
    return http


def test_a_token_that_was_revoked_early_is_replaced_and_the_call_repeated_with_its_body(endpoint) -> None:
    provider = StandIn()
    http = session(provider.tokens(CLIENT))
    assert http.post(endpoint.url, json={"input": "x"}).status_code == 200
    provider.clock.sleep(60)
    endpoint.accepts = "Bearer token-2"
    answer = http.post(endpoint.url, json={"input": "x"})
    assert answer.status_code == 200
    assert [each.status_code for each in answer.history] == [401]
    assert [body for _, body in endpoint.seen] == [b'{"input": "x"}'] * 3


def test_a_refusal_for_another_reason_is_shown_after_one_more_try(endpoint) -> None:
    provider = StandIn()
    endpoint.accepts = "nobody"
    http = session(provider.tokens(CLIENT))
    assert http.post(endpoint.url).status_code == 401
    provider.clock.sleep(60)
    assert http.post(endpoint.url).status_code == 401
    assert len(endpoint.seen) == 3
    assert len(provider.asked) == 2


@pytest.mark.parametrize("body", [lambda: io.BytesIO(b"once"), lambda: iter([b"on", b"ce"])])
def test_a_body_that_was_read_while_it_was_sent_is_sent_once(endpoint, body) -> None:
    provider = StandIn()
    http = session(provider.tokens(CLIENT))
    http.post(endpoint.url)
    provider.clock.sleep(60)
    endpoint.accepts = "Bearer token-2"
    assert http.post(endpoint.url, data=body()).status_code == 401
    assert len(endpoint.seen) == 2


def test_a_revoked_grant_shows_as_itself(endpoint) -> None:
    provider = StandIn()
    http = session(provider.tokens(CLIENT))
    http.post(endpoint.url)
    endpoint.accepts = "nobody"
    provider.clock.sleep(60)
    provider.answer = lambda *_: refusal("invalid_client", "the client is disabled", 401)
    with pytest.raises(GrantRefusedError, match="the client is disabled"):
        http.post(endpoint.url)


def test_a_servers_nonce_is_used_at_once_and_then_from_the_beginning(endpoint) -> None:
    provider = StandIn(kind="DPoP")
    endpoint.accepts, endpoint.nonce = "DPoP token-1", "right"
    http = session(provider.tokens(CLIENT, key=SigningKey.generate()))
    assert [http.post(endpoint.url).status_code for _ in range(3)] == [200, 200, 200]
    assert len(endpoint.seen) == 4


def test_a_redirect_to_another_host_takes_no_token_and_is_not_repeated(endpoint) -> None:
    other = Endpoint()
    try:
        endpoint.moved = other.url.replace("127.0.0.1", "localhost")
        provider = StandIn()
        provider.clock.sleep(60)
        assert session(provider.tokens(CLIENT)).post(endpoint.url, data=b"x").status_code == 401
        assert ["authorization" in headers for headers, _ in other.seen] == [False]
    finally:
        other.server.shutdown()
        other.server.server_close()
