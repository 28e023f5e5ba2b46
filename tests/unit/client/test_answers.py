"""What answers of a token endpoint mean."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nightlatch_client.answers import Granted, Reply, read
from nightlatch_client.instant import Instant
from nightlatch_client.state import Mismatch, Refused, Unavailable

NOW = Instant(1.0, 2.0)
GOOD = {"access_token": "a.b.c", "token_type": "bearer", "expires_in": 30}


def answered(status: int, document, *, dpop: bool = False, secrets=(), **headers: str):
    return read(Reply(status, headers, document), NOW, dpop=dpop, secrets=secrets)


@pytest.mark.parametrize(
    ("lifetime", "expected"),
    [(30, 30), ("30", 30), (None, None), (-1, None), ("soon", None), (True, None), (float("nan"), None), (0, 0)],
)
def test_lifetimes_as_providers_write_them(lifetime, expected) -> None:
    found = answered(200, {**GOOD, "expires_in": lifetime})
    assert isinstance(found, Granted)
    assert found.token.lifetime_s == expected


@pytest.mark.parametrize("document", [None, [], {}, {"access_token": ""}, {**GOOD, "access_token": "a\r\nX: y"}])
def test_a_success_without_a_token_is_no_success(document) -> None:
    assert isinstance(answered(200, document), Unavailable)


def test_kinds_of_tokens_have_to_be_those_that_were_asked_for() -> None:
    assert isinstance(answered(200, {**GOOD, "token_type": "mac"}), Mismatch)
    assert isinstance(answered(200, GOOD, dpop=True), Mismatch), "a token that is bound to nothing"
    assert isinstance(answered(200, {**GOOD, "token_type": "DPoP"}), Mismatch)
    assert answered(200, {**GOOD, "token_type": "dPoP"}, dpop=True).token.kind == "DPoP"


@pytest.mark.parametrize(
    ("status", "document", "expected"),
    [
        (400, {"error": "invalid_grant"}, Refused("invalid_grant")),
        (401, {"error": "invalid_client", "error_description": "no"}, Refused("invalid_client", "no")),
        (400, {"error": "temporarily_unavailable"}, Unavailable("it answers 400 temporarily_unavailable")),
        (503, None, Unavailable("it answers 503")),
        (429, {"error": "slow_down"}, Unavailable("it answers 429 slow_down")),
        (302, None, Unavailable("it answers 302 without an error of OAuth 2.0")),
        (404, {"error": 5}, Unavailable("it answers 404 without an error of OAuth 2.0")),
    ],
)
def test_a_refusal_is_told_from_a_failure(status: int, document, expected) -> None:
    assert answered(status, document) == expected


def test_the_provider_says_when_to_come_again() -> None:
    assert answered(503, None, **{"retry-after": "7"}).retry_after_s == 7
    assert answered(503, None, **{"retry-after": "Wed, 21 Oct 2026 07:28:00 GMT"}).retry_after_s is None


def test_what_the_provider_repeats_of_a_secret_is_taken_out() -> None:
    document = {"error": "invalid_client", "error_description": "hunter2 is wrong for \x1b[31mbot"}
    assert answered(401, document, secrets=("hunter2", "")) == Refused("invalid_client", "… is wrong for ?[31mbot")


JSON = st.recursive(st.none() | st.booleans() | st.floats() | st.text(), lambda each: st.lists(each, max_size=3))


@settings(deadline=None)
@given(
    st.integers(100, 599),
    st.dictionaries(st.sampled_from([*GOOD, "error", "error_description"]), JSON | st.sampled_from([*GOOD.values()])),
    st.booleans(),
)
def test_no_answer_breaks_the_reader(status: int, document, dpop: bool) -> None:
    found = answered(status, document, dpop=dpop, **{"retry-after": "x"})
    assert not isinstance(found, Granted) or (status == 200 and found.token.value)
