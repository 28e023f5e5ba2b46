"""The key ledger: one test for each row of its table, and schedules by an injected clock."""

import itertools
from dataclasses import replace

import pytest

from nightlatch import api_keys
from nightlatch.planning.client.ledger import JITTER, REMEMBERED, KeyRules, Ledger, LedgerKey, step

NOW = 1_800_000_000
DAY = 86_400
NOBODY = frozenset()
MONTHLY = KeyRules(rotate_every=30 * DAY, overlap=DAY)


class Dice:
    """Randomness that differs at each use and is the same in each run."""

    def __init__(self):
        self.rolled = 0

    def __call__(self, size):
        self.rolled += 1
        return self.rolled.to_bytes(size, "big")


def key(state, *, id="", created=NOW, ends=None, text=True):  # noqa: A002 - as in the ledger
    minted = api_keys.mint(lambda size: state.encode().ljust(size, b"."))
    name = id or minted.key_id
    sha256 = api_keys.digest(minted.text) if state != "Revoked" else ""
    return LedgerKey(name, sha256, state, created, ends, minted.text if text and state in ("Next", "Current") else "")


NEXT, CURRENT, PREVIOUS = key("Next"), key("Current"), key("Previous", ends=NOW + DAY)


def after(ledger, rules=KeyRules(), in_force=NOBODY, now=NOW):  # noqa: B008 - frozen
    return step(ledger, rules, frozenset(in_force), now, Dice()).ledger


def states(ledger):
    return [found.state for found in ledger.keys]


def test_a_client_without_keys_gets_one_and_is_shown_it():
    ledger = after(Ledger())
    assert states(ledger) == ["Next"]
    assert api_keys.parse(ledger.shown.text).key_id == ledger.shown.id


def test_next_becomes_current_once_every_gateway_accepts_it_and_current_previous_for_the_overlap():
    before = Ledger((NEXT, CURRENT))
    assert after(before) is before
    assert before.shown == CURRENT
    ledger = after(before, in_force={NEXT.id, CURRENT.id})
    assert [(found.id, found.state) for found in ledger.keys] == [(NEXT.id, "Current"), (CURRENT.id, "Previous")]
    assert ledger.shown.text == NEXT.text
    assert ledger.key("Previous").ends_at == NOW + DAY
    assert ledger.key("Previous").text == ""


def test_previous_ends_at_its_end_and_not_before():
    before = Ledger((CURRENT, PREVIOUS))
    assert after(before, now=NOW + DAY - 1) is before
    assert states(after(before, now=NOW + DAY)) == ["Current", "Revoked"]
    assert after(before, now=NOW + DAY).keys[1].sha256 == ""


def test_an_overlap_of_zero_ends_the_old_key_when_the_new_one_is_in_force():
    rules = KeyRules(overlap=0, request="now")
    started = after(Ledger((CURRENT,)), rules)
    assert states(started) == ["Next", "Current"]
    assert states(after(started, rules, {started.keys[0].id})) == ["Current", "Revoked"]


def test_an_overlap_that_is_shortened_ends_the_one_under_way():
    assert states(after(Ledger((CURRENT, PREVIOUS)), KeyRules(overlap=0))) == ["Current", "Revoked"]
    assert after(Ledger((CURRENT, PREVIOUS)), KeyRules(overlap=60)).key("Previous").ends_at == NOW + 60
    longer = Ledger((CURRENT, PREVIOUS))
    assert after(longer, KeyRules(overlap=10 * DAY)) is longer


def test_a_rotation_comes_when_it_is_due_and_at_most_a_tenth_early():
    due = MONTHLY.rotates_at(CURRENT)
    assert NOW + (1 - JITTER) * 30 * DAY <= due <= NOW + 30 * DAY
    assert states(after(Ledger((CURRENT,)), MONTHLY, now=due - 1)) == ["Current"]
    assert states(after(Ledger((CURRENT,)), MONTHLY, now=due)) == ["Next", "Current"]
    assert states(after(Ledger((CURRENT,)), MONTHLY, now=due + 365 * DAY)) == ["Next", "Current"]


def test_rotations_of_clients_that_were_created_together_are_spread():
    dice = Dice()
    keys = [LedgerKey(api_keys.mint(dice).key_id, "", "Current", NOW) for _ in range(1000)]
    times = sorted(MONTHLY.rotates_at(each) for each in keys)
    assert times[-1] - times[0] > 0.9 * JITTER * 30 * DAY
    assert max(later - earlier for earlier, later in itertools.pairwise(times)) < 0.02 * JITTER * 30 * DAY


def test_each_new_value_of_the_annotation_is_one_rotation():
    ledger = after(Ledger((CURRENT,), "monday"), KeyRules(request="tuesday"))
    assert (states(ledger), ledger.request) == (["Next", "Current"], "tuesday")
    settled = Ledger((CURRENT,), "tuesday")
    assert after(settled, KeyRules(request="tuesday")) is settled
    assert after(settled, KeyRules()) is settled


@pytest.mark.parametrize("rules", [KeyRules(request="again"), KeyRules(rotate_every=60, overlap=30)])
def test_a_rotation_during_an_overlap_waits_for_its_end(rules):
    during = Ledger((key("Current", created=NOW - DAY), replace(PREVIOUS, ends_at=NOW + 30)))
    assert after(during, rules) is during
    assert states(after(during, rules, now=NOW + 30)) == ["Next", "Current", "Revoked"]


def test_a_rotation_under_way_is_not_started_again():
    under_way = Ledger((NEXT, CURRENT), "monday")
    assert after(under_way, KeyRules(request="tuesday")) is under_way


@pytest.mark.parametrize(
    ("keys", "revoked", "expected"),
    [
        ((CURRENT,), CURRENT, ["Next", "Revoked"]),
        ((NEXT, CURRENT), CURRENT, ["Next", "Revoked"]),
        ((NEXT, CURRENT), NEXT, ["Current", "Revoked"]),
        ((CURRENT, PREVIOUS), CURRENT, ["Next", "Previous", "Revoked"]),
        ((CURRENT, PREVIOUS), PREVIOUS, ["Current", "Revoked"]),
        ((NEXT,), NEXT, ["Next", "Revoked"]),
    ],
)
def test_a_revoked_key_is_replaced_where_no_other_takes_its_place(keys, revoked, expected):
    ledger = after(Ledger(keys), KeyRules(revoked=frozenset({revoked.id})))
    assert states(ledger) == expected
    assert revoked.id not in {live.id for live in ledger.live}
    assert ledger.shown.text


def test_a_revoked_key_stays_revoked_when_the_spec_no_longer_names_it():
    revoked = after(Ledger((CURRENT, PREVIOUS)), KeyRules(revoked=frozenset({PREVIOUS.id})))
    assert states(after(revoked)) == ["Current", "Revoked"]


def test_a_revocation_is_recorded_once():
    rules = KeyRules(revoked=frozenset({PREVIOUS.id}))
    revoked = after(Ledger((CURRENT, PREVIOUS)), rules)
    assert after(revoked, rules, now=NOW + 60) is revoked


def test_revoked_keys_that_the_spec_names_are_remembered_and_of_the_others_the_newest():
    old = [key("Revoked", id=f"old{at}", ends=at) for at in range(1, 2 * REMEMBERED + 1)]
    ledger = after(Ledger((CURRENT, *old)), KeyRules(revoked=frozenset({"old1", "old2"})))
    assert {found.id for found in ledger.keys if found.state == "Revoked"} == {
        "old1",
        "old2",
        *(f"old{at}" for at in range(REMEMBERED + 1, 2 * REMEMBERED + 1)),
    }


def test_a_key_whose_text_is_lost_works_until_the_new_one_is_in_force_and_then_for_the_overlap():
    started = after(Ledger((replace(CURRENT, text=""),)))
    assert states(started) == ["Next", "Current"]
    assert started.shown == started.key("Next")
    promoted = after(started, in_force={started.keys[0].id})
    assert [(found.id, found.state) for found in promoted.keys][1] == (CURRENT.id, "Previous")


def test_a_lost_key_is_replaced_after_the_overlap_so_that_previous_is_not_cut_short():
    during = Ledger((replace(CURRENT, text=""), PREVIOUS))
    assert after(during) is during
    assert during.shown is None
    assert states(after(during, now=NOW + DAY)) == ["Next", "Current", "Revoked"]


def test_a_next_whose_text_is_lost_is_given_up_and_the_rotation_is_started_again():
    ledger = after(Ledger((replace(NEXT, text=""), CURRENT), "monday"), KeyRules(request="monday"))
    assert states(ledger) == ["Next", "Current", "Revoked"]
    assert ledger.shown == CURRENT


def test_a_lost_next_that_callers_were_shown_keeps_working():
    ledger = after(Ledger((replace(NEXT, text=""),)))
    assert [(found.state, bool(found.text)) for found in ledger.keys] == [("Next", True), ("Current", False)]


def test_after_expires_at_no_key_is_made_and_none_is_revoked():
    expired = KeyRules(rotate_every=60, overlap=30, expires_at=NOW, request="please")
    before = Ledger((CURRENT,))
    assert after(before, expired, now=NOW + 3600) is before
    assert after(Ledger(), expired).keys == ()
    assert states(after(before, replace(expired, expires_at=NOW + 7200), now=NOW + 3600)) == ["Next", "Current"]


def test_times_from_a_clock_that_was_ahead_are_corrected():
    ahead = Ledger((key("Current", created=NOW + 365 * DAY), replace(PREVIOUS, ends_at=NOW + 365 * DAY)))
    ledger = after(ahead, MONTHLY)
    assert ledger.key("Current").created_at == NOW
    assert ledger.key("Previous").ends_at == NOW + DAY


def test_a_clock_that_jumped_ahead_and_came_back_leaves_the_current_key():
    rules = replace(MONTHLY, expires_at=NOW + 90 * DAY)
    ledger = Ledger((CURRENT,))
    for now in (NOW + 40 * DAY, NOW + 1000 * DAY, NOW):
        result = step(ledger, rules, frozenset(found.id for found in ledger.live), now, Dice())
        ledger = result.ledger
    assert ledger.key("Current") is not None
    assert ledger.shown == ledger.key("Current")


@pytest.mark.parametrize(
    ("ledger", "rules", "expected"),
    [
        (Ledger((CURRENT,)), KeyRules(), None),
        (Ledger((CURRENT,)), MONTHLY, MONTHLY.rotates_at(CURRENT)),
        (Ledger((CURRENT, PREVIOUS)), MONTHLY, NOW + DAY),
        (Ledger((CURRENT,)), KeyRules(expires_at=NOW + 5), NOW + 5),
        (Ledger((CURRENT,)), KeyRules(expires_at=NOW - 5), None),
        (Ledger((NEXT, CURRENT)), MONTHLY, None),
    ],
)
def test_it_says_when_time_alone_changes_something(ledger, rules, expected):
    assert step(ledger, rules, NOBODY, NOW, Dice()).look_again == expected


def test_no_key_is_in_the_text_of_a_ledger():
    assert NEXT.text not in repr(Ledger((NEXT, CURRENT)))
