"""What `rotate` says before it writes, what it refuses, and when it has waited long enough."""

import pytest

from nightlatch.cli.rotate import announcement, begins_in, judge, obstacle
from nightlatch.cli.wait import Done, Impossible, Pending
from tests.unit.cli.keyed import LATER, NEW, NOW, OLD, client, condition, key, raw_client


def test_a_client_at_rest_gets_its_key_now_and_is_told_how_long_the_old_one_works():
    said = announcement(client(key(), apiKey={"overlap": "2h"}), NOW)
    assert said[0] == "it is made now"
    assert "Secret bot-key, entry api-key" in said[1]
    assert said[2] == "the key before works for 120m more (spec.apiKey.overlap)"


def test_without_an_overlap_the_old_key_ends_at_the_promotion():
    assert "refused at that moment" in announcement(client(key(), apiKey={"overlap": "0s"}), NOW)[-1]


def test_during_an_overlap_the_new_key_waits_for_its_end_which_can_be_now():
    rotated = client(key(NEW), key(OLD, "Previous", expiresAt=3600))
    assert begins_in(rotated, NOW) == 3600
    said = announcement(rotated, NOW)
    assert f"in 60m, when the overlap ends and {OLD} is refused" in said[0]
    assert f"nightlatch revoke ic/bot --key {OLD} -n search" in said[1]


def test_during_a_rotation_the_one_after_it_waits_for_the_overlap():
    rotating = client(key(NEW, "Next"), key(OLD), apiKey={"overlap": "2h"})
    assert begins_in(rotating, NOW) == 7200
    assert f"{NEW} is Next" in announcement(rotating, NOW)[0]


def test_a_client_without_a_key_yet_gets_its_first():
    assert begins_in(client(), NOW) == 0
    assert "its first" in announcement(client(), NOW)[0]


@pytest.mark.parametrize(
    ("subject", "text", "hint"),
    [
        (client(key(), suspend=True), "is suspended", "set spec.suspend to false"),
        (client(apiKey=None, certificate={}), "has no API key", "apiKey: {}"),
        (client(key(), apiKey={"expiresAt": "2026-03-01T11:00:00Z"}), "has passed, 60m ago", "write a later time"),
        (
            client(conditions=[condition("CredentialsReady", "False", "SecretConflict", "Secret bot-key is not ours")]),
            "Secret bot-key is not ours",
            "",
        ),
        (client(conditions=[condition("Accepted", "False", "Invalid", "spec.x: write y")]), "spec.x: write y", ""),
    ],
    ids=["suspended", "no API key", "expired", "secret of another", "not accepted"],
)
def test_a_client_that_would_get_no_key_is_refused_with_what_to_do(subject, text, hint):
    found = obstacle(subject, NOW)
    assert found
    assert text in found.text
    assert hint in found.hint


def test_a_client_that_can_have_a_key_is_not_refused():
    assert obstacle(client(key()), NOW) is None


def test_waiting_ends_with_a_current_key_that_was_not_there_before():
    known = frozenset({OLD, NEW})
    rotating = "key cccccccccccc takes its place: waiting for gateway-1"
    shown = [condition("CredentialsReady", "True", "Rotating", rotating)]
    assert judge(raw_client(key(OLD)), known) == Pending("for the new key to be made")
    assert judge(raw_client(key(LATER, "Next"), key(OLD), conditions=shown), known) == Pending(rotating)
    assert isinstance(judge(raw_client(key(NEW)), known), Pending)
    done = judge(raw_client(key(LATER), key(OLD, "Previous", expiresAt=60)), known)
    assert isinstance(done, Done)
    assert f"{LATER} is Current" in done.text
    assert f"{OLD} works until 2026-03-01T12:01:00Z" in done.text


def test_waiting_ends_with_an_error_when_the_client_is_suspended_meanwhile():
    assert isinstance(judge(raw_client(key(), suspend=True), frozenset({OLD})), Impossible)
