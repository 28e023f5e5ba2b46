"""The trust ledger: which generations of CA the installation has, and what happens to them next. Pure.

A generation is one issuing CA with the anchors that a verifier of its leaves needs. `step()` is called at every
reconcile. It does what is due at this moment, in the order of the table, and asks for nothing that it cannot do again:
a step whose result was never written is repeated from the same ledger.

| when                                                                  | what                                      |
|-----------------------------------------------------------------------|-------------------------------------------|
| a CA is there that is not in the ledger                               | it becomes Prepared: its anchors go into  |
|                                                                       | every bundle, and nothing is signed by it |
| there is no Active, and nothing was ever signed                       | Prepared becomes Active                   |
| everything that verifies has Prepared's anchors in force, and callers | Prepared becomes Active, and Active       |
| had `callers` seconds to take them                                    | becomes Retiring: it signs no more        |
| no leaf of Retiring is in use, and callers had `callers` seconds to   | Retiring becomes Retired: its anchors     |
| take the new leaves                                                   | leave the bundles that need them no more  |

At most one generation is Prepared, one Active and one Retiring. A newer CA takes the place of a Prepared one, because
nothing was signed by it. While one is Retiring, a newer CA waits.

What cannot be confirmed holds a step back: a gateway that says nothing counts as one that has nothing. Times in the
future, because the clock was ahead when they were written, are corrected, so that a step comes later and not earlier.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal

State = Literal["Prepared", "Active", "Retiring", "Retired"]

# How many retired generations are remembered, for people who read the ledger.
REMEMBERED = 8


@dataclass(frozen=True, slots=True)
class Generation:
    """One issuing CA. `since`: when its state began, in Unix seconds.

    key_id: the CA's subject key identifier. anchors: the SHA-256 of each certificate that verifiers must trust.
    settled: since when nothing that can be heard holds the next step back, in Unix seconds; None while something does.
    """

    key_id: str
    anchors: frozenset[str]
    state: State
    since: int
    settled: int | None = None


@dataclass(frozen=True, slots=True)
class Ledger:
    """The newest generation first. `request`: the newest wish for a roll-over that was acted upon."""

    generations: tuple[Generation, ...] = ()
    request: str = ""

    def find(self, state: State) -> Generation | None:
        """The first generation in this state."""
        return next((each for each in self.generations if each.state == state), None)

    @property
    def anchors(self) -> frozenset[str]:
        """What belongs into every bundle."""
        return frozenset().union(*(each.anchors for each in self.generations if each.state != "Retired"))


@dataclass(frozen=True, slots=True)
class Holder:
    """Something that verifies certificates, shows one, or both: a gateway, a model server, a Secret, a document.

    trusts: the anchors that are known to be in force there; None for something that verifies nothing.
    shows: the key ids of the CAs whose leaves it shows, or may still show.
    """

    name: str
    trusts: frozenset[str] | None = None
    shows: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class CAFound:
    """A CA that could sign: its key id and its anchors."""

    key_id: str
    anchors: frozenset[str]


@dataclass(frozen=True, slots=True)
class Step:
    """The ledger from now on.

    look_again: when the passing of time alone changes something, in Unix seconds. waiting_for: the holders that hold
    the next step back.
    """

    ledger: Ledger
    look_again: float | None = None
    waiting_for: tuple[str, ...] = ()


def step(ledger: Ledger, newest: CAFound | None, holders: Iterable[Holder], now: float, *, callers: float) -> Step:
    """What is due now, see the table above. The result is the same ledger if nothing is.

    newest: the CA that should sign from now on; None if it cannot be read at the moment. holders: all there are.
    callers: seconds after which callers, of whom nothing is known, have taken a new bundle or a new certificate.
    """
    known = tuple(holders)
    before, after = None, _corrected(ledger, now)
    # A generation that retires makes room for the newer CA that waited for it.
    while after != before:
        before = after
        after = _prepared(after, newest, now)
        after = _activated(after, known, now, callers)
        after = _retired(after, known, now, callers)
        after = replace(after, generations=_remembered(after.generations))
    return Step(ledger if after == ledger else after, *_next(after, known, now, callers))


def _corrected(ledger: Ledger, now: float) -> Ledger:
    latest = math.ceil(now)

    def corrected(each: Generation) -> Generation:
        settled = each.settled if each.settled is None else min(each.settled, latest)
        return replace(each, since=min(each.since, int(now)), settled=settled)

    return replace(ledger, generations=tuple(map(corrected, ledger.generations)))


def _prepared(ledger: Ledger, newest: CAFound | None, now: float) -> Ledger:
    live = {each.key_id for each in ledger.generations if each.state != "Retired"}
    # A generation is known by its key: the same key with other anchors is not a new one.
    if newest is None or newest.key_id in live or ledger.find("Retiring") is not None:
        return ledger
    new = Generation(newest.key_id, newest.anchors, "Prepared", int(now))
    return replace(ledger, generations=(new, *(g for g in ledger.generations if g.state != "Prepared")))


def _activated(ledger: Ledger, holders: tuple[Holder, ...], now: float, callers: float) -> Ledger:
    prepared, active = ledger.find("Prepared"), ledger.find("Active")
    if prepared is None:
        return ledger
    if active is None:
        return _with(ledger, replace(prepared, state="Active", since=int(now)))
    prepared = _settled(prepared, _distrusting(prepared, holders), now)
    if prepared.settled is None or now < _taken_at(prepared, active, callers):
        return _with(ledger, prepared)
    signed_before = replace(active, state="Retiring", since=int(now), settled=None)
    return _with(_with(ledger, replace(prepared, state="Active", since=int(now), settled=None)), signed_before)


def _retired(ledger: Ledger, holders: tuple[Holder, ...], now: float, callers: float) -> Ledger:
    retiring = ledger.find("Retiring")
    if retiring is None:
        return ledger
    retiring = _settled(retiring, _showing(retiring, holders), now)
    if retiring.settled is None or now < retiring.settled + callers:
        return _with(ledger, retiring)
    return _with(ledger, replace(retiring, state="Retired", since=int(now), settled=None))


def _settled(generation: Generation, holding_back: tuple[str, ...], now: float) -> Generation:
    """Callers take what is new from the time on at which it is seen to lie ready for all of them."""
    if holding_back:
        return replace(generation, settled=None)
    return generation if generation.settled is not None else replace(generation, settled=math.ceil(now))


def _distrusting(generation: Generation, holders: Iterable[Holder]) -> tuple[str, ...]:
    return tuple(sorted(h.name for h in holders if h.trusts is not None and not generation.anchors <= h.trusts))


def _showing(generation: Generation, holders: Iterable[Holder]) -> tuple[str, ...]:
    return tuple(sorted(h.name for h in holders if generation.key_id in h.shows))


def _taken_at(prepared: Generation, active: Generation, callers: float) -> float:
    """Callers need no time for anchors that they trust already, as when a CA is replaced under the same root."""
    settled = prepared.settled or 0
    return prepared.since if prepared.anchors <= active.anchors else settled + callers


def _next(
    ledger: Ledger, holders: tuple[Holder, ...], now: float, callers: float
) -> tuple[float | None, tuple[str, ...]]:
    prepared, active, retiring = (ledger.find(state) for state in ("Prepared", "Active", "Retiring"))
    waiting: tuple[str, ...] = ()
    times = []
    if prepared and active:
        waiting = _distrusting(prepared, holders)
        times += [_taken_at(prepared, active, callers)] if prepared.settled is not None else []
    if retiring:
        waiting = (*waiting, *_showing(retiring, holders))
        times += [retiring.settled + callers] if retiring.settled is not None else []
    return min((time for time in times if time > now), default=None), waiting


def _with(ledger: Ledger, changed: Generation) -> Ledger:
    """The ledger with this generation in the place of the live one of its key id."""
    found = (
        changed if each.key_id == changed.key_id and each.state != "Retired" else each for each in ledger.generations
    )
    return replace(ledger, generations=tuple(found))


def _remembered(generations: tuple[Generation, ...]) -> tuple[Generation, ...]:
    retired = [each for each in generations if each.state == "Retired"][:REMEMBERED]
    return (*(each for each in generations if each.state != "Retired"), *retired)
