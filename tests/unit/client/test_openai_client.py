"""One line for the openai package."""

from collections.abc import Iterator

import httpx2
import pytest

from nightlatch_client import Client, ClientSecretPost, GrantRefusedError
from nightlatch_client.openai_client import Httpx2Auth, async_openai_client, openai_client
from tests.unit.client.stand_in_provider import ISSUER, SECRET, StandIn, refusal
from tests.unit.client.test_requests_auth import Endpoint

CLIENT = Client(ISSUER, "bot", ClientSecretPost(SECRET))


class Embedding(Endpoint):
    def answer(self, headers) -> tuple[int, dict[str, str]]:
        status, _ = super().answer(headers)
        return status, {"content-type": "application/json"}


@pytest.fixture
def endpoint() -> Iterator[Embedding]:
    server = Embedding()
    yield server
    server.server.shutdown()
    server.server.server_close()


def test_calls_have_tokens_and_a_refused_one_is_replaced(endpoint) -> None:
    provider = StandIn()
    ai = openai_client(provider.tokens(CLIENT), endpoint.url.removesuffix("/embeddings"))
    for accepted in ("Bearer token-1", "Bearer token-2"):
        endpoint.accepts = accepted
        ai.embeddings.with_raw_response.create(model="m", input="x")
        provider.clock.sleep(60)
    assert [headers["authorization"] for headers, _ in endpoint.seen] == [f"Bearer token-{n}" for n in (1, 1, 2)]


async def test_the_same_for_asyncio(endpoint) -> None:
    provider = StandIn()
    ai = async_openai_client(provider.tokens(CLIENT), endpoint.url.removesuffix("/embeddings"))
    for accepted in ("Bearer token-1", "Bearer token-2"):
        endpoint.accepts = accepted
        await ai.embeddings.with_raw_response.create(model="m", input="x")
        provider.clock.sleep(60)
    assert len(endpoint.seen) == 3
    await ai.close()


def test_a_revoked_grant_is_not_hidden_behind_an_error_of_the_connection(endpoint) -> None:
    provider = StandIn(answer=lambda *_: refusal("invalid_client", "the client is disabled", 401))
    ai = openai_client(provider.tokens(CLIENT), endpoint.url.removesuffix("/embeddings"))
    with pytest.raises(GrantRefusedError, match="the client is disabled"):
        ai.embeddings.create(model="m", input="x")
    assert len(provider.asked) == 1


def test_the_auth_is_one_of_httpx2() -> None:
    assert isinstance(Httpx2Auth(StandIn().tokens(CLIENT)), httpx2.Auth)
