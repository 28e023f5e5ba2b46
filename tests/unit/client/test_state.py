"""When a token is asked for, and what happens meanwhile."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nightlatch_client.instant import Instant
from nightlatch_client.state import (
    Fail,
    Fetch,
    LoginNeeded,
    Mismatch,
    Refused,
    State,
    Token,
    Unavailable,
    Use,
    after,
    decide,
    settled,
    worth_replacing,
)

DOWN = Unavailable("connection refused")
REVOKED = Refused("invalid_client", "the client was disabled")


def at(seconds: float) -> Instant:
    return Instant(seconds, 5000 + seconds)


def token(asked_at: float = 0.0, lifetime: float | None = 100.0, value: str = "one") -> Token:
    return Token(value, "Bearer", at(asked_at), lifetime)


def having(*outcomes: tuple[float, Token | Refused | Unavailable], chance: float = 0.5) -> State:
    state = State()
    for when, outcome in outcomes:
        state = after(state, outcome, at(when), chance)
    return state


@pytest.mark.parametrize(
    ("state", "now", "expected"),
    [
        (State(), 0, Fetch()),
        (having((0, token())), 69, Use(token())),
        (having((0, token())), 71, Use(token(), renew=True)),
        (having((0, token())), 94, Use(token(), renew=True)),
        (having((0, token())), 96, Fetch()),
        (having((0, token(lifetime=None))), 10**9, Use(token(lifetime=None))),
        # The provider is down: the token goes on being used until its last second, and nobody waits in between.
        (having((0, token()), (71, DOWN)), 71.1, Use(token())),
        (having((0, token()), (71, DOWN)), 73, Use(token(), renew=True)),
        (having((0, token()), (99, DOWN)), 99.5, Use(token())),
        (having((0, token()), (100, DOWN)), 100.1, Fail(DOWN)),
        (having((0, token()), (100, DOWN)), 101, Fetch()),
        # A revoked grant shows once its token is over, and the provider is not asked for each call.
        (having((0, token()), (71, REVOKED)), 90, Use(token(), renew=True)),
        (having((0, token()), (94, REVOKED)), 100.1, Fetch()),
        (having((0, token()), (98, REVOKED)), 100.1, Fail(REVOKED)),
        (having((0, REVOKED)), 4, Fail(REVOKED)),
        (having((0, REVOKED)), 6, Fetch()),
        (having((0, DOWN), (2, token(2))), 3, Use(token(2))),
    ],
)
def test_what_somebody_does_who_needs_a_token(state: State, now: float, expected) -> None:
    assert decide(state, at(now)) == expected


def test_a_clock_that_was_set_back_makes_no_token_younger() -> None:
    state = having((0, token()))
    assert decide(state, Instant(97, 5000 - 3600)) == Fetch()


def test_a_machine_that_slept_does_not_present_what_expired_meanwhile() -> None:
    state = having((0, token()))
    assert decide(state, Instant(1, 5000 + 3600)) == Fetch()


def test_a_refused_token_is_not_given_again_to_whom_it_was_refused() -> None:
    state = having((0, token()))
    assert decide(state, at(50), refused="one") == Fetch()
    assert decide(state, at(50), refused="zero") == Use(token()), "somebody has replaced it already"
    assert settled(after(state, DOWN, at(50), 0.5), at(50), refused="one") == Fail(DOWN)


@pytest.mark.parametrize(
    ("refused", "now", "expected"),
    [("one", 9, False), ("one", 10, True), ("zero", 1, True)],
)
def test_a_young_token_that_is_refused_is_not_replaced(refused: str, now: float, *, expected: bool) -> None:
    assert worth_replacing(having((0, token())), refused, at(now)) is expected


def test_short_tokens_are_replaced_sooner() -> None:
    assert worth_replacing(having((0, token(lifetime=30))), "one", at(8))


def test_whoever_has_waited_uses_what_came_however_short_it_lives() -> None:
    brief = token(lifetime=0)
    assert settled(having((0, brief)), at(1)) == Use(brief)


def test_whoever_has_waited_in_vain_uses_the_old_token_while_it_lives() -> None:
    state = having((0, token()), (96, DOWN))
    assert settled(state, at(99)) == Use(token())
    assert settled(state, at(101)) == Fail(DOWN)


def test_pauses_grow_to_a_minute_and_end_with_success() -> None:
    state, pauses = State(), []
    for _ in range(9):
        state = after(state, DOWN, at(0), 1.0)
        pauses.append(state.pause_s)
    assert pauses == [1, 2, 4, 8, 16, 32, 60, 60, 60]
    assert after(state, token(), at(0), 0.5).failures == 0


def test_a_pause_never_outlives_the_token() -> None:
    state = having((0, token()))
    for when in (50, 51, 53, 57, 65, 81):
        state = after(state, DOWN, at(when), 0.999)
    assert decide(state, at(94.9)) == Use(token())
    assert decide(state, at(95)) == Fetch(), "half a minute would have been the pause"
    assert after(having((0, token())), DOWN, at(99.9), 0.0).pause_s == 0.5


def test_the_provider_is_asked_no_sooner_than_it_wants() -> None:
    assert after(State(), Unavailable("busy", 120.0), at(0), 0.0).pause_s == 120
    assert after(State(), Unavailable("busy", 1e9), at(0), 0.0).pause_s == 300


OUTCOMES = st.one_of(
    st.builds(token, st.just(0.0), st.one_of(st.none(), st.floats(0, 1e7)), st.text("ab", min_size=1, max_size=2)),
    st.builds(Unavailable, st.just("down"), st.one_of(st.none(), st.floats(0, 1e9))),
    st.sampled_from([REVOKED, Mismatch("x"), LoginNeeded("x")]),
)


@settings(deadline=None)
@given(st.lists(st.tuples(st.floats(0, 1000), OUTCOMES, st.floats(0, 0.999)), max_size=12), st.floats(0, 2000))
def test_an_expired_token_is_never_used_and_a_living_one_never_lost(steps, later: float) -> None:
    state, now, last = State(), 0.0, None
    for wait, said, chance in steps:
        now += wait
        if isinstance(said, Token):
            last = Token(said.value, "Bearer", at(now), said.lifetime_s)
        state = after(state, last if isinstance(said, Token) else said, at(now), chance)
    now += later
    found = decide(state, at(now))
    alive = last is not None and last.ends_in(at(now)) > 0
    if isinstance(found, Use):
        assert found.token == last
        assert alive
    else:
        # At most its last seconds are given up, and only where the provider may be asked for more.
        assert not alive or (isinstance(found, Fetch) and last.ends_in(at(now)) <= 5)
    if isinstance(found, Fail):
        assert found.failure == state.failure
    assert state.pause_s <= 300


@settings(deadline=None)
@given(st.lists(st.floats(0, 0.999), min_size=1, max_size=100))
def test_a_provider_that_is_down_is_asked_ever_more_rarely(chances: list[float]) -> None:
    state, now, asked = State(), 0.0, 0
    for chance in chances * 20:
        now += 0.25
        if decide(state, at(now)) == Fetch():
            asked += 1
            state = after(state, DOWN, at(now), chance)
    assert asked <= 8 + now / 30
