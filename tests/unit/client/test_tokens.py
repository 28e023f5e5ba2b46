"""Many callers, one request; failures that nobody notices, and those that everybody has to."""

import asyncio
import logging
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from nightlatch_client import (
    Client,
    ClientSecretPost,
    GrantRefusedError,
    InsecureUrlError,
    ProviderMismatchError,
    ProviderUnavailableError,
    Tokens,
)
from nightlatch_client.signing import SigningKey
from tests.unit.client.stand_in_provider import ISSUER, SECRET, StandIn, claims_of, described, refusal

CLIENT = Client(ISSUER, "bot", ClientSecretPost(SECRET))


def settle(tokens: Tokens) -> None:
    """Until nobody asks in the background."""
    while tokens._flight is not None:
        time.sleep(0.001)


def test_however_many_threads_wait_the_provider_is_asked_once() -> None:
    provider = StandIn()
    provider.gate.clear()
    tokens = provider.tokens(CLIENT)
    with ThreadPoolExecutor(50) as pool:
        found = [pool.submit(tokens) for _ in range(50)]
        time.sleep(0.1)
        provider.gate.set()
        assert {each.result(5) for each in found} == {"token-1"}
    assert len(provider.asked) == 1


async def test_however_many_tasks_wait_the_provider_is_asked_once_and_the_loop_runs_on() -> None:
    provider = StandIn()
    provider.gate.clear()
    tokens = provider.tokens(CLIENT)
    waiting = [asyncio.create_task(tokens.token_async()) for _ in range(50)]
    await asyncio.sleep(0.05)
    waiting[0].cancel()
    await asyncio.sleep(0)
    provider.gate.set()
    found = await asyncio.gather(*waiting, return_exceptions=True)
    assert isinstance(found[0], asyncio.CancelledError)
    assert {each.value for each in found[1:]} == {"token-1"}, "one who gave up ends it for nobody else"
    assert len(provider.asked) == 1


async def test_threads_and_event_loops_share() -> None:
    provider = StandIn()
    provider.gate.clear()
    tokens = provider.tokens(CLIENT)
    thread = asyncio.create_task(asyncio.to_thread(tokens))
    other = asyncio.create_task(asyncio.to_thread(lambda: asyncio.run(tokens.token_async()).value))
    ours = asyncio.create_task(tokens.token_async())
    await asyncio.sleep(0.05)
    provider.gate.set()
    assert {await thread, await other, (await ours).value} == {"token-1"}
    assert len(provider.asked) == 1


def test_a_token_is_renewed_in_the_background_and_nobody_waits() -> None:
    provider = StandIn(lifetime=100)
    tokens = provider.tokens(CLIENT)
    assert tokens() == "token-1"
    provider.clock.sleep(75)
    provider.gate.clear()
    assert [tokens() for _ in range(10)] == ["token-1"] * 10
    provider.gate.set()
    settle(tokens)
    assert tokens() == "token-2"
    assert len(provider.asked) == 2


def test_a_provider_that_is_down_is_noticed_only_when_the_token_is_over(caplog) -> None:
    provider = StandIn(lifetime=100)
    tokens = provider.tokens(CLIENT)
    tokens()
    provider.down = True
    asked = len(provider.requests)
    for _ in range(29):
        provider.clock.sleep(1)
        provider.clock.passed = max(provider.clock.passed, 70)
        assert tokens() == "token-1"
        settle(tokens)
    assert 3 <= len(provider.requests) - asked <= 11, "ever more rarely, and each second at its end"
    provider.clock.sleep(10)
    with pytest.raises(ProviderUnavailableError, match=r"id\.example/realms/ml: ConnectError: connection refused"):
        tokens()
    provider.down = False
    provider.clock.sleep(60)
    assert tokens() == "token-2"


def test_a_revoked_grant_shows_as_itself_and_is_not_asked_for_with_each_call(caplog) -> None:
    provider = StandIn(lifetime=100)
    tokens = provider.tokens(CLIENT)
    tokens()
    provider.answer = lambda form, _: refusal("unauthorized_client", f"disabled; {form['client_secret']}", 401)
    provider.clock.sleep(101)
    with caplog.at_level(logging.DEBUG):
        for _ in range(20):
            with pytest.raises(GrantRefusedError) as raised:
                tokens()
    assert (raised.value.error, raised.value.description) == ("unauthorized_client", "disabled; …")
    assert str(raised.value) == f"{ISSUER} refuses a token: unauthorized_client: disabled; …"
    assert len(provider.asked) == 2
    assert "refuses a token: unauthorized_client" in caplog.text
    assert SECRET not in caplog.text + repr([record.__dict__ for record in caplog.records])
    assert "token-1" not in caplog.text + repr([record.__dict__ for record in caplog.records])


def test_a_grant_that_is_given_back_works_again() -> None:
    provider = StandIn(answer=lambda *_: refusal("invalid_client"))
    tokens = provider.tokens(CLIENT)
    with pytest.raises(GrantRefusedError):
        tokens()
    provider.answer = None
    provider.clock.sleep(6)
    assert tokens() == "token-2"


def test_another_issuer_is_named() -> None:
    provider = StandIn(document=described("https://evil.example"))
    with pytest.raises(ProviderMismatchError, match=r"is of 'https://evil\.example'"):
        provider.tokens(CLIENT)()


def test_a_secret_that_cannot_be_read_is_read_again_later(tmp_path) -> None:
    file = tmp_path / "secret"
    provider = StandIn()
    tokens = provider.tokens(Client(ISSUER, "bot", ClientSecretPost(file)))
    with pytest.raises(ProviderUnavailableError, match="cannot read the secret"):
        tokens()
    file.write_text("rotated\n")
    provider.clock.sleep(2)
    assert tokens() == "token-1"
    assert provider.asked[0]["client_secret"] == "rotated"


def test_a_fork_asks_for_itself() -> None:
    provider = StandIn()
    provider.gate.clear()
    tokens = provider.tokens(CLIENT)
    threading.Thread(target=tokens, daemon=True).start()
    while tokens._flight is None:
        time.sleep(0.001)
    reading, writing = os.pipe()
    if (child := os.fork()) == 0:
        provider.gate = threading.Event()
        provider.gate.set()
        os.write(writing, tokens().encode())
        os._exit(0)
    os.close(writing)
    assert os.read(reading, 100) == b"token-1"
    os.waitpid(child, 0)
    provider.gate.set()


def test_a_short_lived_program_waits_for_a_renewal_that_is_due() -> None:
    provider = StandIn(lifetime=100)
    tokens = provider.tokens(CLIENT)
    assert tokens.renewed().value == "token-1"
    provider.clock.sleep(75)
    assert tokens.renewed().value == "token-2"
    provider.clock.sleep(75)
    provider.down = True
    assert tokens.renewed().value == "token-2", "it is not over yet"


def test_a_proof_is_made_for_each_request_and_for_this_token() -> None:
    provider = StandIn(kind="DPoP")
    key = SigningKey.generate()
    tokens = provider.tokens(CLIENT, key=key)
    shown = [tokens.headers(tokens.token(), "get", "https://ml.example/v2/models/m?x=1#y") for _ in range(2)]
    assert shown[0]["Authorization"] == "DPoP token-1"
    (header, one), (_, two) = (claims_of(each["DPoP"]) for each in shown)
    assert header["jwk"] == key.public
    assert one["jti"] != two["jti"]
    assert (one["htm"], one["htu"]) == ("GET", "https://ml.example/v2/models/m")
    # echo -n token-1 | openssl dgst -sha256 -binary | basenc --base64url
    assert one["ath"] == "PwiqzhIu4jaEMsHKI6BJvGQLr78A_fM6UkKfOLoS2_k"


def test_no_token_is_sent_without_tls() -> None:
    tokens = StandIn().tokens(CLIENT)
    with pytest.raises(InsecureUrlError):
        tokens.headers(tokens.token(), "GET", "http://ml.example/")


def test_nothing_that_can_be_printed_has_a_token_in_it() -> None:
    tokens = StandIn().tokens(CLIENT)
    token = tokens.token()
    assert "token-1" not in repr(token) + repr(tokens) + repr(tokens._known)


def test_a_fault_of_ours_reaches_those_who_wait() -> None:
    provider = StandIn(answer=lambda *_: 1 / 0)
    with pytest.raises(ProviderUnavailableError, match="ZeroDivisionError"):
        provider.tokens(CLIENT)()


def test_tokens_without_a_lifetime_are_used_until_they_are_refused() -> None:
    provider = StandIn(lifetime=None)
    tokens = provider.tokens(CLIENT)
    tokens()
    provider.clock.sleep(10**8)
    assert tokens() == "token-1"
    assert tokens.token(refused="token-1").value == "token-2"
    assert isinstance(provider.granted(), httpx.Response)
