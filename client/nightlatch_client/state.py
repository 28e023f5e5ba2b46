"""When to ask for a token, and what to do about the answer. Pure: time and randomness are handed in."""

from dataclasses import dataclass, field, replace

from nightlatch_client.instant import Instant

# A share of the lifetime, chosen at random in between: many callers do not renew at the same moment, and a provider
# may be down for a third of the lifetime before anybody notices.
_RENEW_AT, _RENEW_SPREAD = 0.6, 0.2
# A token that ends within this time may expire on its way.
_LEEWAY_S, _LEEWAY_SHARE = 5.0, 0.1
# A token that is refused although it is this young: another one would be refused as well.
_YOUNG_S, _YOUNG_SHARE = 10.0, 0.25
_PAUSE_S, _LONGEST_PAUSE_S = 1.0, 60.0
# Providers lock clients out that repeat a wrong secret.
_PAUSE_AFTER_REFUSAL_S = 5.0
_LONGEST_RETRY_AFTER_S = 300.0


@dataclass(frozen=True, slots=True)
class Token:
    """kind: how it is presented. asked_at: just before the request. lifetime_s: None if the provider did not say."""

    value: str = field(repr=False)
    kind: str
    asked_at: Instant
    lifetime_s: float | None

    def ends_in(self, now: Instant) -> float:
        """Seconds; less than zero once it has expired, infinity if that is not known."""
        return float("inf") if self.lifetime_s is None else self.lifetime_s - now.since(self.asked_at)


@dataclass(frozen=True, slots=True)
class Refused:
    """The provider has decided: code and description by RFC 6749, 5.2."""

    error: str
    description: str = ""


@dataclass(frozen=True, slots=True)
class Unavailable:
    """The provider has not decided. retry_after_s: what it asked for."""

    reason: str
    retry_after_s: float | None = None


@dataclass(frozen=True, slots=True)
class Mismatch:
    """This is not the issuer that was asked for, or it cannot be spoken to safely."""

    reason: str


@dataclass(frozen=True, slots=True)
class LoginNeeded:
    """Nothing is left to ask the provider with."""

    reason: str


Failure = Refused | Unavailable | Mismatch | LoginNeeded
Outcome = Token | Failure


@dataclass(frozen=True, slots=True)
class State:
    """What is known. renew_at_s: the token's age from which on it is renewed. The rest is of failures since then."""

    token: Token | None = None
    renew_at_s: float = float("inf")
    failure: Failure | None = None
    failures: int = 0
    failed_at: Instant | None = None
    pause_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Use:
    """Present this token. renew: ask for the next one meanwhile."""

    token: Token
    renew: bool = False


@dataclass(frozen=True, slots=True)
class Fetch:
    """Nobody can go on before the provider has answered."""


@dataclass(frozen=True, slots=True)
class Fail:
    """The provider said so a moment ago; it is not asked again yet."""

    failure: Failure


def decide(state: State, now: Instant, refused: str | None = None) -> Use | Fetch | Fail:
    """What somebody does who needs a token now. refused: the value of one that a server has just refused to them."""
    paused = _paused(state, now)
    token = state.token
    if token is not None and token.value != refused:
        left = token.ends_in(now)
        if left > _leeway(token):
            due = now.since(token.asked_at) >= state.renew_at_s
            return Use(token, renew=due and not paused)
        if paused and left > 0:
            return Use(token)
    if paused and state.failure is not None:
        return Fail(state.failure)
    return Fetch()


def settled(state: State, now: Instant, refused: str | None = None) -> Use | Fail:
    """What somebody does who has waited for the provider's answer. It never says to ask again.

    Some providers give the same token until it is almost over: that may be the refused one.
    """
    token, failure = state.token, state.failure
    if token is not None and (failure is None or (token.value != refused and token.ends_in(now) > 0)):
        return Use(token)
    return Fail(failure or Unavailable("there is no answer"))


def worth_replacing(state: State, refused: str, now: Instant) -> bool:
    """Whether a call whose token a server has refused may succeed with another token."""
    token = state.token
    if token is None or token.value != refused:
        return True
    young = _YOUNG_S if token.lifetime_s is None else min(_YOUNG_S, token.lifetime_s * _YOUNG_SHARE)
    return now.since(token.asked_at) >= young


def after(state: State, outcome: Outcome, now: Instant, chance: float) -> State:
    """What is known once the provider has answered. chance: a random number in [0, 1)."""
    if isinstance(outcome, Token):
        lifetime = float("inf") if outcome.lifetime_s is None else outcome.lifetime_s
        return State(outcome, renew_at_s=lifetime * (_RENEW_AT + _RENEW_SPREAD * chance))
    pause = min(_LONGEST_PAUSE_S, _PAUSE_S * 2 ** min(state.failures, 10)) * (1 + chance) / 2
    if isinstance(outcome, Refused):
        pause = max(pause, _PAUSE_AFTER_REFUSAL_S)
    elif state.token is not None:
        # Once more just before the token is over, so that a pause never outlives it.
        pause = min(pause, max(_PAUSE_S, state.token.ends_in(now) - _leeway(state.token)))
    if isinstance(outcome, Unavailable) and outcome.retry_after_s is not None:
        pause = max(pause, min(outcome.retry_after_s, _LONGEST_RETRY_AFTER_S))
    return replace(state, failure=outcome, failures=state.failures + 1, failed_at=now, pause_s=pause)


def _paused(state: State, now: Instant) -> bool:
    return state.failed_at is not None and now.since(state.failed_at) < state.pause_s


def _leeway(token: Token) -> float:
    return 0.0 if token.lifetime_s is None else min(_LEEWAY_S, token.lifetime_s * _LEEWAY_SHARE)
