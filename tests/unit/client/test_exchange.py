"""How a provider is spoken to: discovery, authentication, nonces, clocks, and what is never shown."""

import httpx
import pytest

from nightlatch_client import Certificate, Client, ClientSecretBasic, ClientSecretPost, PrivateKeyJwt, TokenError
from nightlatch_client.answers import Granted
from nightlatch_client.signing import SigningKey
from nightlatch_client.state import Mismatch, Refused, Unavailable
from tests.unit.client.stand_in_provider import ISSUER, SECRET, Clock, StandIn, claims_of, described, refusal
from tests.unit.client.test_authentication import ec, pem

CREDENTIALS = {"grant_type": "client_credentials"}
CLIENT = Client(ISSUER, "bot", ClientSecretPost(SECRET))


def test_discovery_is_asked_once_in_an_hour() -> None:
    provider = StandIn()
    exchange = provider.exchange(CLIENT)
    for _ in range(3):
        assert isinstance(exchange.grant(CREDENTIALS), Granted)
    provider.clock.sleep(3601)
    exchange.grant(CREDENTIALS)
    assert [each.method for each in provider.requests] == ["GET", "POST", "POST", "POST", "GET", "POST"]
    assert str(provider.requests[1].url) == f"{ISSUER}/token_endpoint"


def test_a_provider_without_openid_connect_is_found_by_rfc_8414() -> None:
    def discovery(request: httpx.Request) -> httpx.Response:
        if "openid-configuration" in request.url.path:
            return httpx.Response(404)
        return httpx.Response(200, json=described())

    provider = StandIn(discovery=discovery)
    assert isinstance(provider.exchange(CLIENT).grant(CREDENTIALS), Granted)
    assert provider.requests[1].url.path == "/.well-known/oauth-authorization-server/realms/ml"


def test_no_secret_goes_to_another_issuer_or_after_a_redirect() -> None:
    provider = StandIn(document=described("https://evil.example"))
    assert isinstance(provider.exchange(CLIENT).grant(CREDENTIALS), Mismatch)

    moved = StandIn(discovery=lambda _: httpx.Response(302, headers={"location": "https://evil.example/x"}))
    assert isinstance(moved.exchange(CLIENT).grant(CREDENTIALS), Unavailable)

    said = StandIn(answer=lambda *_: httpx.Response(307, headers={"location": "https://evil.example/x"}))
    assert isinstance(said.exchange(CLIENT).grant(CREDENTIALS), Unavailable)
    for each in (provider, moved, said):
        assert {request.url.host for request in each.requests} == {"id.example"}
    assert provider.asked == moved.asked == []


def test_a_provider_that_is_down_for_a_while_is_found_where_it_was() -> None:
    provider = StandIn()
    exchange = provider.exchange(CLIENT)
    provider.down = True
    found = exchange.grant(CREDENTIALS)
    assert found == Unavailable("ConnectError: connection refused")
    provider.down = False
    assert isinstance(exchange.grant(CREDENTIALS), Granted)


def test_discovery_that_fails_later_does_not_matter() -> None:
    provider = StandIn()
    exchange = provider.exchange(CLIENT)
    exchange.grant(CREDENTIALS)
    provider.clock.sleep(4000)
    provider.discovery = lambda _: httpx.Response(503)
    assert isinstance(exchange.grant(CREDENTIALS), Granted)


@pytest.mark.parametrize("size", [2 << 20])
def test_an_answer_that_does_not_end_is_left(size: int) -> None:
    provider = StandIn(answer=lambda *_: httpx.Response(200, content=b" " * size))
    found = provider.exchange(CLIENT).grant(CREDENTIALS)
    assert isinstance(found, Unavailable)
    assert "larger than 1 MiB" in found.reason


def test_a_refusal_has_the_providers_words_and_not_the_secret() -> None:
    provider = StandIn(answer=lambda form, _: refusal("invalid_client", f"bad secret {form['client_secret']}", 401))
    assert provider.exchange(CLIENT).grant(CREDENTIALS) == Refused("invalid_client", "bad secret …")


def test_a_refresh_token_that_is_repeated_is_taken_out() -> None:
    provider = StandIn(answer=lambda form, _: refusal("invalid_grant", f"unknown {form['refresh_token']}"))
    asked = {"grant_type": "refresh_token", "refresh_token": "r-1"}
    assert provider.exchange(CLIENT).grant(asked) == Refused("invalid_grant", "unknown …")


@pytest.mark.parametrize(("again", "asked"), [(1, 2), (99, 2)])
def test_a_nonce_is_used_and_asked_for_no_more_than_once(again: int, asked: int) -> None:
    def answer(form, request):
        if len(provider.asked) <= again:
            return refusal("use_dpop_nonce", **{"DPoP-Nonce": f"nonce-{len(provider.asked)}"})
        return provider.granted()

    provider = StandIn(answer=answer, kind="DPoP")
    found = provider.exchange(CLIENT, key=SigningKey.generate()).grant(CREDENTIALS)
    assert len(provider.asked) == asked
    assert isinstance(found, Granted if again == 1 else Refused)
    proofs = [claims_of(each.headers["DPoP"]) for each in provider.requests if each.method == "POST"]
    assert [claims.get("nonce") for _, claims in proofs] == [None, "nonce-1"]
    assert len({claims["jti"] for _, claims in proofs}) == 2, "no proof is sent twice"
    (header, claims) = proofs[0]
    assert header["typ"] == "dpop+jwt"
    assert "d" not in header["jwk"]
    assert (claims["htm"], claims["htu"]) == ("POST", f"{ISSUER}/token_endpoint")
    assert "ath" not in claims


def test_the_next_nonce_comes_with_a_success() -> None:
    provider = StandIn(kind="DPoP")
    provider.answer = lambda *_: httpx.Response(200, json=provider.granted().json(), headers={"dpop-nonce": "later"})
    exchange = provider.exchange(CLIENT, key=SigningKey.generate())
    exchange.grant(CREDENTIALS)
    exchange.grant(CREDENTIALS)
    assert claims_of(provider.requests[-1].headers["DPoP"])[1]["nonce"] == "later"


@pytest.mark.parametrize("ahead", [-3600.0, 3600.0, 86400.0 * 30])
def test_a_clock_that_is_wrong_is_not_in_the_way(ahead: float) -> None:
    key = pem(ec.generate_private_key(ec.SECP256R1()))

    def answer(form, _):
        claims = claims_of(form["client_assertion"])[1]
        if abs(claims["iat"] - provider.clock.theirs) > 30:
            return refusal("invalid_client", "iat is out of range", 401)
        return provider.granted()

    # The clock went wrong after discovery, which would have shown it.
    provider = StandIn(Clock(), answer=answer)
    exchange = provider.exchange(Client(ISSUER, "bot", PrivateKeyJwt(key)))
    assert isinstance(exchange.grant(CREDENTIALS), Granted)
    provider.clock.ahead = ahead
    assert isinstance(exchange.grant(CREDENTIALS), Granted)
    assert len(provider.asked) == 3, "one is refused, and its answer says what time it is"
    assert isinstance(exchange.grant(CREDENTIALS), Granted)
    assert len(provider.asked) == 4


def test_a_refusal_that_is_not_about_the_clock_is_not_repeated() -> None:
    provider = StandIn(Clock(ahead=3600), answer=lambda *_: refusal("invalid_scope"))
    provider.exchange(CLIENT).grant(CREDENTIALS)
    assert len(provider.asked) == 1


def test_what_a_token_is_for_is_asked() -> None:
    client = Client(ISSUER, "bot", ClientSecretBasic(SECRET), scope="ml:infer", resource="https://ml.example")
    provider = StandIn()
    provider.tokens(client).token()
    assert provider.asked == [{**CREDENTIALS, "scope": "ml:infer", "resource": "https://ml.example"}]
    assert SECRET not in str(provider.requests[-1].url)


def test_mutual_tls_needs_a_certificate_that_can_be_read(tmp_path) -> None:
    from nightlatch_client import TlsClientAuth
    from nightlatch_client.exchange import Exchange

    with pytest.raises(TokenError, match="needs a certificate"):
        Client(ISSUER, "bot", TlsClientAuth())
    shown = Certificate(tmp_path / "tls.crt", tmp_path / "tls.key")
    with pytest.raises(TokenError, match=r"tls\.crt.*No such file"):
        Exchange(Client(ISSUER, "bot", TlsClientAuth(), certificate=shown)).grant(CREDENTIALS)
