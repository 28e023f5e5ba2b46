"""An expiry is never an error of a call, a refusal is never a loop. For httpx and for httpx2, which openai uses."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import httpx
import httpx2
import pytest

from nightlatch_client import Client, ClientSecretPost, GrantRefusedError, HttpxAuth, InsecureUrlError, Tokens
from nightlatch_client.openai_client import Httpx2Auth
from nightlatch_client.signing import SigningKey
from tests.unit.client.stand_in_provider import ISSUER, SECRET, StandIn, claims_of, refusal

CLIENT = Client(ISSUER, "bot", ClientSecretPost(SECRET))
URL = "https://minilm.search.svc/v1/embeddings"


@dataclass
class Endpoint:
    """accepts: the header Authorization that is let in; `answer` decides otherwise. seen: headers and bodies."""

    library: Any
    auth: type[Any]
    accepts: str = "Bearer token-1"
    answer: Callable[[Any], Any] | None = None
    seen: list[tuple[dict[str, str], bytes]] = field(default_factory=list)

    def handle(self, request):
        body = b"".join(request.stream)
        self.seen.append((dict(request.headers), body))
        if self.answer is not None:
            return self.answer(request)
        return self.library.Response(200 if request.headers["authorization"] == self.accepts else 401)

    async def handle_async(self, request):
        body = b"".join([piece async for piece in request.stream])
        self.seen.append((dict(request.headers), body))
        return self.library.Response(200 if request.headers["authorization"] == self.accepts else 401)

    def client(self, tokens: Tokens, **options: Any):
        # MockTransport would read the body before it hands the request on, so that every body could be sent again.
        wire = type("Wire", (self.library.BaseTransport,), {"handle_request": lambda _, request: self.handle(request)})
        return self.library.Client(auth=self.auth(tokens), transport=wire(), **options)

    def shown(self) -> list[str]:
        return [headers["authorization"] for headers, _ in self.seen]


@pytest.fixture(params=[(httpx, HttpxAuth), (httpx2, Httpx2Auth)], ids=["httpx", "httpx2"])
def endpoint(request) -> Endpoint:
    return Endpoint(*request.param)


def test_a_token_that_was_revoked_early_is_replaced_and_the_call_repeated_with_its_body(endpoint) -> None:
    provider = StandIn()
    tokens = provider.tokens(CLIENT)
    http = endpoint.client(tokens)
    assert http.post(URL, json={"input": "x"}).status_code == 200
    provider.clock.sleep(60)
    endpoint.accepts = "Bearer token-2"
    assert http.post(URL, json={"input": "x"}).status_code == 200
    assert endpoint.shown() == ["Bearer token-1", "Bearer token-1", "Bearer token-2"]
    assert len({body for _, body in endpoint.seen}) == 1
    assert endpoint.seen[0][1]


async def test_the_same_for_asyncio_and_for_many_calls_at_once(endpoint) -> None:
    provider = StandIn()
    tokens = provider.tokens(CLIENT)
    transport = endpoint.library.MockTransport(endpoint.handle_async)
    async with endpoint.library.AsyncClient(auth=endpoint.auth(tokens), transport=transport) as http:
        assert (await http.get(URL)).status_code == 200
        provider.clock.sleep(60)
        endpoint.accepts = "Bearer token-2"
        answers = await asyncio.gather(*(http.post(URL, json={"n": number}) for number in range(20)))
    assert {each.status_code for each in answers} == {200}
    assert len(provider.asked) == 2, "one new token for all"


def test_a_refusal_for_another_reason_costs_one_token_and_is_shown(endpoint) -> None:
    provider = StandIn()
    endpoint.accepts = "nobody"
    http = endpoint.client(provider.tokens(CLIENT))
    assert http.get(URL).status_code == 401
    assert len(endpoint.seen) == 1, "another token would be as good as this young one"
    provider.clock.sleep(60)
    for _ in range(10):
        assert http.get(URL).status_code == 401
    assert len(provider.asked) == 2
    assert len(endpoint.seen) == 12


def test_a_token_that_somebody_has_replaced_meanwhile_is_not_replaced_again(endpoint) -> None:
    provider = StandIn()
    tokens = provider.tokens(CLIENT)
    http = endpoint.client(tokens)
    http.get(URL)
    provider.clock.sleep(60)

    def answer(request):
        if request.headers["authorization"] == "Bearer token-1":
            tokens.token(refused="token-1")
            return endpoint.library.Response(401)
        return endpoint.library.Response(200)

    endpoint.answer = answer
    assert http.get(URL).status_code == 200
    assert len(provider.asked) == 2


@pytest.mark.parametrize("young", [True, False])
def test_a_body_that_is_made_while_it_is_sent_is_sent_once(endpoint, *, young: bool) -> None:
    provider = StandIn()
    http = endpoint.client(provider.tokens(CLIENT))
    http.get(URL)
    provider.clock.sleep(0 if young else 60)
    endpoint.accepts = "Bearer token-2"

    def pieces():
        yield b"one"
        yield b"two"

    assert http.post(URL, content=pieces()).status_code == 401
    assert [body for _, body in endpoint.seen] == [b"", b"onetwo"]


def test_a_revoked_grant_shows_as_itself(endpoint) -> None:
    provider = StandIn()
    http = endpoint.client(provider.tokens(CLIENT))
    http.get(URL)
    provider.clock.sleep(60)
    endpoint.accepts = "nobody"
    provider.answer = lambda *_: refusal("invalid_client", "the client is disabled", 401)
    with pytest.raises(GrantRefusedError, match="invalid_client: the client is disabled"):
        http.get(URL)


@pytest.mark.parametrize("why", ["the provider is down", "the provider gives the same token again"])
def test_without_another_token_the_refusal_is_shown(endpoint, why: str) -> None:
    provider = StandIn()
    http = endpoint.client(provider.tokens(CLIENT))
    http.get(URL)
    provider.clock.sleep(60)
    endpoint.accepts = "nobody"
    if why == "the provider is down":
        provider.down = True
    else:
        provider.answer = lambda *_: httpx.Response(
            200, json={"access_token": "token-1", "token_type": "Bearer", "expires_in": 100}
        )
    assert http.get(URL).status_code == 401
    assert len(endpoint.seen) == 2


@pytest.mark.parametrize("status", [400, 403, 404, 429, 500, 503])
def test_other_answers_are_the_callers(endpoint, status: int) -> None:
    provider = StandIn()
    endpoint.answer = lambda _: endpoint.library.Response(status)
    http = endpoint.client(provider.tokens(CLIENT))
    provider.clock.sleep(60)
    assert http.get(URL).status_code == status
    assert len(endpoint.seen) == 1


def test_no_token_goes_to_another_host(endpoint) -> None:
    provider = StandIn()

    def answer(request):
        if request.url.host == "minilm.search.svc":
            return endpoint.library.Response(307, headers={"location": "https://evil.example/x"})
        return endpoint.library.Response(401, headers={"dpop-nonce": "evil", "www-authenticate": "use_dpop_nonce"})

    endpoint.answer = answer
    http = endpoint.client(provider.tokens(CLIENT), follow_redirects=True)
    provider.clock.sleep(60)
    assert http.get(URL).status_code == 401
    assert "authorization" not in endpoint.seen[1][0]
    assert len(endpoint.seen) == 2
    assert len(provider.asked) == 1
    with pytest.raises(InsecureUrlError):
        http.get("http://minilm.search.svc/")


def test_a_servers_nonce_is_used_at_once_and_then_from_the_beginning(endpoint) -> None:
    provider = StandIn(kind="DPoP")

    def answer(request):
        nonce = claims_of(request.headers["dpop"])[1].get("nonce")
        if nonce != "right":
            headers = {"dpop-nonce": "right", "www-authenticate": 'DPoP error="use_dpop_nonce"'}
            return endpoint.library.Response(401, headers=headers)
        return endpoint.library.Response(200)

    endpoint.answer = answer
    http = endpoint.client(provider.tokens(CLIENT, key=SigningKey.generate()))
    assert [http.get(URL).status_code for _ in range(3)] == [200, 200, 200]
    assert len(endpoint.seen) == 4
    assert endpoint.shown() == ["DPoP token-1"] * 4
    assert len({headers["dpop"] for headers, _ in endpoint.seen}) == 4


def test_a_server_that_always_wants_another_nonce_is_asked_three_times_at_most(endpoint) -> None:
    provider = StandIn(kind="DPoP")

    def answer(_):
        headers = {"dpop-nonce": f"n-{len(endpoint.seen)}", "www-authenticate": 'DPoP error="use_dpop_nonce"'}
        return endpoint.library.Response(401, headers=headers)

    endpoint.answer = answer
    tokens = provider.tokens(CLIENT, key=SigningKey.generate())
    tokens()
    provider.clock.sleep(60)
    assert endpoint.client(tokens).get(URL).status_code == 401
    assert len(endpoint.seen) <= 3
    assert len(provider.asked) <= 2
