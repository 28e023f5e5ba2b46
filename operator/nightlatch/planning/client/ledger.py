"""The key ledger: which API keys a client has, and what happens to them next. Pure.

`step()` is called at every reconcile. It does what is due at this moment, in the order of the table, and asks for
nothing that it cannot do again: a step whose result was never written is repeated from the same ledger.

| when                                                                | what                                        |
|---------------------------------------------------------------------|---------------------------------------------|
| a key is in `revokedKeyIds`                                         | it becomes Revoked                          |
| Previous has reached its end                                        | it becomes Revoked                          |
| every gateway accepts Next                                          | Next becomes Current, and Current becomes   |
|                                                                     | Previous for the overlap                    |
| there is no Next and no Current                                     | a Next is made                              |
| there is no Next and no Previous, and a rotation is due, was asked  | a Next is made                              |
| for, or the text of Current is lost because its Secret was deleted  |                                             |

So a rotation that is due or asked for during an overlap waits for its end. At most two keys are live, which are those
that are not Revoked. No key is made when `expiresAt` has passed.

Callers are shown Current, or Next where there is no Current with a text: nothing better exists then.

`expiresAt` revokes nothing here: gateways refuse expired keys by their own clocks, and a later `expiresAt` lets the
same keys in again. Times too far in the future, because the clock was ahead when they were written, are corrected.
"""

import math
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from nightlatch import api_keys
from nightlatch.api.client import KeyState

# The part of `rotateEvery` by which a rotation comes early, at most. It depends on the key, so that clients that were
# created together do not rotate together.
JITTER = 0.1
# How many revoked keys are remembered, besides those in `revokedKeyIds`.
REMEMBERED = 8


@dataclass(frozen=True, slots=True)
class LedgerKey:
    """One key. Times are Unix seconds. `ends_at`: when a Previous ends or a Revoked ended.

    text: the key itself, of Next and Current; empty if it is lost. A Revoked key has no digest either.
    """

    id: str
    sha256: str
    state: KeyState
    created_at: int
    ends_at: int | None = None
    text: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Ledger:
    """At most one Next, one Current and one Previous; then Revoked keys, the newest first.

    request: the newest `nightlatch.dev/rotate` that was acted upon.
    """

    keys: tuple[LedgerKey, ...] = ()
    request: str = ""

    def key(self, state: KeyState) -> LedgerKey | None:
        """The first key in this state."""
        return next((key for key in self.keys if key.state == state), None)

    @property
    def live(self) -> tuple[LedgerKey, ...]:
        """The keys that gateways should accept, the newest first."""
        return tuple(key for key in self.keys if key.state != "Revoked")

    @property
    def ids(self) -> frozenset[str]:
        """Every key that is remembered."""
        return frozenset(key.id for key in self.keys)

    @property
    def shown(self) -> LedgerKey | None:
        """The key that callers should use."""
        current = self.key("Current")
        return current if current and current.text else self.key("Next")


@dataclass(frozen=True, slots=True)
class KeyRules:
    """What a client's spec and annotations want of its keys. Durations are in seconds, times in Unix seconds.

    rotate_every: None for never. expires_at: None for never. request: the value of `nightlatch.dev/rotate`, or empty.
    """

    rotate_every: float | None = None
    overlap: float = 86_400.0
    expires_at: float | None = None
    revoked: frozenset[str] = frozenset()
    request: str = ""

    def rotates_at(self, key: LedgerKey) -> int | None:
        """When a Current is to be replaced, with jitter; None if it never is."""
        if self.rotate_every is None:
            return None
        early = JITTER * zlib.crc32(key.id.encode()) / 2**32
        return key.created_at + math.ceil(self.rotate_every * (1 - early))

    def expired(self, now: float) -> bool:
        """Whether no key of the client is accepted any more."""
        return self.expires_at is not None and now >= self.expires_at


@dataclass(frozen=True, slots=True)
class Step:
    """The ledger from now on. `look_again`: when the passing of time alone changes something, in Unix seconds."""

    ledger: Ledger
    look_again: float | None = None


def revoke(ledger: Ledger, ids: frozenset[str], now: float) -> Ledger:
    """The keys with these ids become Revoked, and nothing else happens: for a spec that is otherwise not in use."""
    return replace(ledger, keys=tuple(_end(key, now) if key.id in ids else key for key in ledger.keys))


def next_rotation(ledger: Ledger, spec: KeyRules, now: float) -> int | None:
    """When Current is to be replaced, not before a present overlap ends; None if nothing is planned or it is done."""
    current, previous = ledger.key("Current"), ledger.key("Previous")
    if current is None or ledger.key("Next"):
        return None
    asked = int(now) if spec.request and spec.request != ledger.request else None
    wanted = [time for time in (spec.rotates_at(current), asked) if time is not None]
    return max(min(wanted), (previous.ends_at or 0) if previous else 0) if wanted else None


def step(ledger: Ledger, spec: KeyRules, in_force: frozenset[str], now: float, random: Callable[[int], bytes]) -> Step:
    """What is due now, see the table above. The result is the same ledger if nothing is.

    in_force: the ids of the keys that every gateway accepts, of those that serve and of those that say nothing.
    random(n): n bytes of cryptographic quality.
    """
    after = revoke(_corrected(ledger, spec, now), spec.revoked, now)
    after = _ended(after, now)
    after = _ended(_promoted(after, spec, in_force, now), now)
    after = _with_next(after, spec, now, random)
    after = replace(after, keys=_remembered(after.keys, spec.revoked))
    return Step(ledger if after == ledger else after, _look_again(after, spec, now))


def _corrected(ledger: Ledger, spec: KeyRules, now: float) -> Ledger:
    """No key was created later than now, none is Previous for longer than the overlap, and Next has a text."""
    latest_end = _end_of_overlap(spec, now)

    def corrected(key: LedgerKey) -> LedgerKey:
        key = replace(key, created_at=min(key.created_at, int(now)))
        if key.state == "Previous":
            return replace(key, ends_at=latest_end if key.ends_at is None else min(key.ends_at, latest_end))
        if key.state == "Next" and not key.text:
            # Callers may know it if they were shown nothing else; otherwise nobody does.
            return _end(key, now) if ledger.key("Current") else replace(key, state="Current")
        return key

    keys = tuple(map(corrected, ledger.keys))
    following = ledger.key("Next")
    # The rotation that was asked for has not happened if its key is lost.
    return Ledger(keys, "" if following and not following.text else ledger.request)


def _end_of_overlap(spec: KeyRules, now: float) -> int:
    # Rounded up, so that the overlap is not shorter than asked for; an overlap of zero ends now.
    return math.ceil(now + spec.overlap) if spec.overlap > 0 else int(now)


def _ended(ledger: Ledger, now: float) -> Ledger:
    def over(key: LedgerKey) -> bool:
        return key.state == "Previous" and key.ends_at is not None and key.ends_at <= now

    return replace(ledger, keys=tuple(_end(key, now) if over(key) else key for key in ledger.keys))


def _end(key: LedgerKey, now: float) -> LedgerKey:
    if key.state == "Revoked":
        return key
    return LedgerKey(key.id, "", "Revoked", key.created_at, int(now))


def _promoted(ledger: Ledger, spec: KeyRules, in_force: frozenset[str], now: float) -> Ledger:
    following = ledger.key("Next")
    if following is None or following.id not in in_force:
        return ledger

    def moved(key: LedgerKey) -> LedgerKey:
        if key.state == "Next":
            return replace(key, state="Current")
        if key.state == "Current":
            return replace(key, state="Previous", ends_at=_end_of_overlap(spec, now), text="")
        return key

    return replace(ledger, keys=tuple(map(moved, ledger.keys)))


def _with_next(ledger: Ledger, spec: KeyRules, now: float, random: Callable[[int], bytes]) -> Ledger:
    current, previous = ledger.key("Current"), ledger.key("Previous")
    if ledger.key("Next") or spec.expired(now):
        return ledger
    if current is None:
        return _minted(ledger, spec, now, random)
    if previous is None and (not current.text or _rotation_due(ledger, current, spec, now)):
        return _minted(ledger, spec, now, random)
    return ledger


def _rotation_due(ledger: Ledger, current: LedgerKey, spec: KeyRules, now: float) -> bool:
    rotates_at = spec.rotates_at(current)
    return (rotates_at is not None and rotates_at <= now) or bool(spec.request and spec.request != ledger.request)


def _minted(ledger: Ledger, spec: KeyRules, now: float, random: Callable[[int], bytes]) -> Ledger:
    minted = api_keys.mint(random)
    new = LedgerKey(minted.key_id, api_keys.digest(minted.text), "Next", int(now), text=minted.text)
    return Ledger((new, *ledger.keys), spec.request)


def _remembered(keys: tuple[LedgerKey, ...], revoked: frozenset[str]) -> tuple[LedgerKey, ...]:
    """Live keys, and of the revoked ones those that the spec names and the newest of the others."""
    live = [key for key in keys if key.state != "Revoked"]
    ended = sorted((key for key in keys if key.state == "Revoked"), key=lambda key: (-(key.ends_at or 0), key.id))
    others = [key.id for key in ended if key.id not in revoked][:REMEMBERED]
    return (*live, *(key for key in ended if key.id in revoked or key.id in others))


def _look_again(ledger: Ledger, spec: KeyRules, now: float) -> float | None:
    """A Next that not every gateway accepts yet is not a matter of time."""
    current, previous = ledger.key("Current"), ledger.key("Previous")
    times = [spec.expires_at, previous.ends_at if previous else None]
    if current and not ledger.key("Next") and not previous:
        times.append(spec.rotates_at(current))
    coming = [time for time in times if time is not None and time > now]
    return min(coming) if coming else None
