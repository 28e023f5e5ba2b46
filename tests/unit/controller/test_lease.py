"""The Lease changes hands only when its holder gave it up or stopped renewing it."""

from datetime import UTC, datetime

import pytest

from nightlatch.controller.cluster.lease import DURATION_SECONDS, Sighting, decide, held, released, sighting


def lease(holder: str | None, version: str = "7") -> dict:
    return {"metadata": {"resourceVersion": version}, "spec": {"holderIdentity": holder, "leaseDurationSeconds": 6}}


@pytest.mark.parametrize(
    ("found", "seen_ago", "move"),
    [
        pytest.param(None, 0.0, "Create", id="no lease yet"),
        pytest.param(lease("me"), 0.0, "Renew", id="mine"),
        pytest.param(lease("me"), 60.0, "Renew", id="mine, however old"),
        pytest.param(lease("other"), 0.0, "Wait", id="another's, seen just now"),
        pytest.param(lease("other"), DURATION_SECONDS - 0.1, "Wait", id="another's, not expired"),
        pytest.param(lease("other"), DURATION_SECONDS, "Take", id="another's, expired"),
        pytest.param(lease(""), 0.0, "Take", id="given back"),
    ],
)
def test_the_candidate_takes_only_what_nobody_holds(found, seen_ago, move):
    assert decide(found, Sighting("7", at=100.0), "me", 100.0 + seen_ago) == move


def test_a_renewed_lease_is_seen_as_new_and_an_unchanged_one_ages():
    first = sighting(None, lease("other", "7"), 10.0)
    assert sighting(first, lease("other", "7"), 14.0).at == 10.0
    assert sighting(first, lease("other", "8"), 14.0).at == 14.0


def test_taking_counts_a_transition_and_renewing_does_not():
    wall = datetime(2026, 1, 1, tzinfo=UTC)
    taken = held(lease("other"), "me", wall, taken=True)
    renewed = held(taken, "me", wall, taken=False)
    assert taken["spec"]["leaseTransitions"] == 1
    assert renewed["spec"]["leaseTransitions"] == 1
    assert taken["spec"]["renewTime"] == "2026-01-01T00:00:00.000000Z"


def test_a_released_lease_can_be_taken_at_once():
    assert decide(released(lease("me")), Sighting("7", at=0.0), "other", 0.0) == "Take"
