"""A person logs in: what is shown, how often the provider is asked, and how it ends."""

import httpx
import pytest

from nightlatch_client import Client
from nightlatch_client.answers import Granted
from nightlatch_client.device import Invitation, invited, log_in, next_interval
from nightlatch_client.state import LoginNeeded, Mismatch, Refused, Unavailable
from tests.unit.client.stand_in_provider import ISSUER, StandIn, described, refusal

CLIENT = Client(ISSUER, "laptop", scope="ml:infer offline_access")
OFFER = {
    "device_code": "device-1",
    "user_code": "ABCD-EFGH",
    "verification_uri": f"{ISSUER}/device",
    "verification_uri_complete": f"{ISSUER}/device?user_code=ABCD-EFGH",
    "expires_in": 100,
    "interval": 5,
}


def answering(*answers) -> StandIn:
    """A provider that offers a code and then gives these answers, the last one again and again."""
    left = list(answers)

    def answer(form, request):
        if request.url.path.endswith("device_authorization_endpoint"):
            return httpx.Response(200, json=OFFER)
        found = left.pop(0) if len(left) > 1 else left[0]
        return found() if callable(found) else refusal(found)

    return StandIn(answer=answer)


def ask(provider: StandIn):
    shown: list[Invitation] = []
    outcome = log_in(provider.exchange(CLIENT), shown.append, provider.clock.surroundings)
    return outcome, shown


def test_a_person_is_shown_the_code_and_the_token_comes_once_they_agreed() -> None:
    provider: StandIn = answering(
        "authorization_pending", "authorization_pending", lambda: provider.granted(refresh_token="r")
    )
    outcome, shown = ask(provider)
    assert isinstance(outcome, Granted)
    assert outcome.refresh_token == "r"
    assert [(each.user_code, each.address) for each in shown] == [("ABCD-EFGH", f"{ISSUER}/device")]
    assert provider.asked[0] == {"scope": "ml:infer offline_access", "client_id": "laptop"}
    assert provider.asked[1]["device_code"] == "device-1"
    assert provider.clock.passed == 15
    assert "device-1" not in repr(shown)


def test_a_provider_that_wants_fewer_questions_gets_fewer() -> None:
    provider: StandIn = answering("slow_down", "slow_down", lambda: provider.granted())  # noqa: PLW0108 - provider is made here
    ask(provider)
    assert provider.clock.passed == 5 + 10 + 15


@pytest.mark.parametrize("error", ["access_denied", "expired_token", "invalid_grant"])
def test_a_person_who_says_no_is_believed(error: str) -> None:
    outcome, _ = ask(answering("authorization_pending", error))
    assert outcome == Refused(error)


def test_nobody_waits_for_longer_than_the_code_lasts() -> None:
    provider = answering("authorization_pending")
    outcome, _ = ask(provider)
    assert outcome == Refused("expired_token", "nobody has decided in time")
    assert provider.clock.passed <= 100


def test_a_provider_that_is_down_meanwhile_is_asked_again_less_often() -> None:
    provider: StandIn = answering(lambda: httpx.Response(503), lambda: provider.granted())  # noqa: PLW0108 - provider is made here
    outcome, _ = ask(provider)
    assert isinstance(outcome, Granted)
    assert provider.clock.passed == 5 + 10


def test_a_provider_without_the_device_flow_is_named() -> None:
    provider = StandIn(document={"issuer": ISSUER, "token_endpoint": described()["token_endpoint"]})
    assert ask(provider)[0] == Mismatch(f"{ISSUER} has no device_authorization_endpoint")
    forbidding = StandIn(answer=lambda *_: refusal("unauthorized_client"))
    assert ask(forbidding)[0] == Refused("unauthorized_client")


@pytest.mark.parametrize(
    "change",
    [
        {"user_code": None},
        {"user_code": "\x1b]0;evil\x07"},
        {"device_code": ""},
        {"verification_uri": "http://id.example/device"},
        {"verification_uri": "javascript:alert(1)"},
        {"verification_uri_complete": "http://evil.example/"},
    ],
)
def test_a_page_that_is_not_safe_is_not_shown(change) -> None:
    assert isinstance(invited({**OFFER, **change}), Mismatch)


def test_an_offer_may_leave_things_out() -> None:
    offer = {name: OFFER[name] for name in ("device_code", "user_code", "verification_uri")}
    found = invited(offer)
    assert isinstance(found, Invitation)
    assert (found.complete, found.interval_s, found.lasts_s) == ("", 5, 600)


@pytest.mark.parametrize(
    ("outcome", "expected"),
    [
        (Refused("authorization_pending"), 5),
        (Refused("slow_down"), 10),
        (Unavailable("x"), 10),
        (Unavailable("x", 30), 30),
        (Refused("access_denied"), None),
        (Mismatch("x"), None),
        (LoginNeeded("x"), None),
    ],
)
def test_how_long_to_wait(outcome, expected) -> None:
    assert next_interval(5, outcome) == expected
