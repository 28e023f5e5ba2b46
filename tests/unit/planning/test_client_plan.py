"""plan_client(): the key Secret with its ledger, and what the conditions say when something is missing."""

import json
from dataclasses import replace
from datetime import timedelta

import pytest

from nightlatch import api_keys
from nightlatch.api.meta import NamespacedName
from nightlatch.planning.client.key_secret import read_ledger
from nightlatch.planning.client.plan import plan_client
from nightlatch.planning.inputs import DocumentKey, KeyCoverage
from nightlatch.planning.plan import MergeSecret, PutSecret
from tests.unit.planning.scene import (
    KEY,
    NOW,
    PUBLIC,
    client,
    endpoint,
    foreign,
    found,
    key_secret,
    ledger_key,
    observed_client,
)

MINILM = NamespacedName("search", "minilm")
NEW = api_keys.mint(lambda size: b"n" * size)
HOUR = timedelta(hours=1)
# Not without a cluster.
FOREIGN_ISSUER = {"issuerRef": {"name": "corp"}}


def plan(subject, observed, now=NOW):
    return plan_client(subject, observed, now, lambda size: b"n" * size)


def condition(planned, kind):
    return next(each for each in planned.status.conditions if each.type == kind)


def said(subject, observed):
    return {each.type: (each.status, each.reason) for each in plan(subject, observed).status.conditions}


def states(planned):
    return [(key.id, key.state) for key in planned.status.keys]


def rotating(*, in_force=False, **changes):
    """KEY is Current and NEW is Next."""
    secret = key_secret(client(), keys=(ledger_key(NEW, "Next"), ledger_key()))
    coverage = {KEY.key_id: KeyCoverage(), NEW.key_id: KeyCoverage(in_force=in_force, unconfirmed=("gw-1",))}
    return observed_client(**{"secret": secret, "coverage": coverage} | changes)


def test_a_new_client_gets_a_key_with_url_and_ca():
    planned = plan(client(), observed_client())
    (action,) = planned.apply
    assert isinstance(action, PutSecret)
    assert action.target.key == NamespacedName("search", "bot-key")
    assert action.replaces is None
    assert {entry: value for entry, value in action.data.items() if entry != "keys.json"} == PUBLIC | {
        "api-key": NEW.text.encode()
    }
    assert states(planned) == [(NEW.key_id, "Next")]


def test_the_secrets_name_is_the_users_to_choose():
    (action,) = plan(client(apiKey={"secretName": "mine"}), observed_client()).apply
    assert action.target.key == NamespacedName("search", "mine")


def test_a_complete_secret_is_left_alone_and_told_by_id_only():
    subject = client()
    planned = plan(subject, observed_client(secret=key_secret(subject)))
    assert planned.apply == ()
    assert states(planned) == [(KEY.key_id, "Current")]
    assert KEY.text not in planned.status.model_dump_json()
    assert api_keys.digest(KEY.text) not in planned.status.model_dump_json()
    settled = replace(subject, status=planned.status)
    assert plan(settled, observed_client(secret=key_secret(subject))).status is None


@pytest.mark.parametrize("entry", ["url", "endpoints.json", "ca.crt"])
def test_what_is_public_in_the_secret_is_kept_right_without_touching_the_key(entry):
    subject = client()
    secret = key_secret(subject)
    secret = replace(secret, data={**secret.data, entry: b"old"})
    (action,) = plan(subject, observed_client(secret=secret)).apply
    assert isinstance(action, MergeSecret)
    assert action.replaces == secret.revision
    assert action.data["api-key"] == KEY.text.encode()


def test_a_key_from_the_time_before_ledgers_is_current_in_its_new_ledger():
    secret = key_secret(client(), data=PUBLIC | {"api-key": KEY.text.encode()})
    planned = plan(client(), observed_client(secret=secret))
    (action,) = planned.apply
    assert action.data["api-key"] == KEY.text.encode()
    assert states(planned) == [(KEY.key_id, "Current")]


def test_the_annotation_starts_a_rotation_whose_key_callers_do_not_see_yet():
    subject = client(annotations={"nightlatch.dev/rotate": "monday"})
    planned = plan(subject, observed_client(secret=key_secret(subject)))
    (action,) = planned.apply
    assert action.data["api-key"] == KEY.text.encode()
    assert action.data["next-api-key"] == NEW.text.encode()
    assert states(planned) == [(NEW.key_id, "Next"), (KEY.key_id, "Current")]
    assert condition(planned, "CredentialsReady").reason == "Rotating"
    assert planned.requeue_after == 0.2


def test_a_rotation_names_the_gateways_that_it_waits_for_and_the_client_stays_ready():
    planned = plan(client(), rotating())
    assert "gw-1" in condition(planned, "CredentialsReady").message
    assert condition(planned, "Programmed").status == "True"
    assert plan(client(), rotating(), NOW + HOUR).requeue_after == 10.0


def test_once_every_gateway_accepts_it_callers_are_shown_the_next_key():
    planned = plan(client(), rotating(in_force=True))
    (action,) = planned.apply
    assert (action.data["api-key"], action.data["next-api-key"]) == (NEW.text.encode(), None)
    assert states(planned) == [(NEW.key_id, "Current"), (KEY.key_id, "Previous")]
    assert planned.status.keys[1].expires_at == "2026-03-02T12:00:00Z"
    assert planned.requeue_after == 24 * 3600


def test_status_says_when_the_next_rotation_is():
    subject = client(apiKey={"rotateEvery": "720h"})
    planned = plan(subject, observed_client(secret=key_secret(subject)))
    assert "2026-03-28T12:00:00Z" <= planned.status.keys[0].rotates_at <= "2026-03-31T12:00:00Z"
    waiting = key_secret(subject, keys=(ledger_key(), ledger_key(NEW, "Previous", ends=NOW + HOUR)))
    asked = replace(
        subject, metadata=subject.metadata.model_copy(update={"annotations": {"nightlatch.dev/rotate": "x"}})
    )
    planned = plan(asked, observed_client(secret=waiting))
    assert planned.status.keys[0].rotates_at == "2026-03-01T13:00:00Z"


@pytest.mark.parametrize(
    ("subject", "changes", "condition", "reason"),
    [
        (client(), {"secret": foreign(NamespacedName("search", "bot-key"))}, "CredentialsReady", "SecretConflict"),
        (client(), {"issuing_ca": None}, "CredentialsReady", "IssuingCAPending"),
        (client(apiKey={"expiresAt": "2026-03-01T11:59:59Z"}), {}, "CredentialsReady", "KeyExpired"),
        (client(certificate=FOREIGN_ISSUER), {}, "CredentialsReady", "KeyPending"),
        (client(), {"endpoints": {}}, "EndpointsGranted", "EndpointNotFound"),
        (client(suspend=True), {}, "EndpointsGranted", "Suspended"),
        (client(name="a.b"), {}, "EndpointsGranted", "InvalidClientName"),
        (client(certificate=FOREIGN_ISSUER), {}, "Accepted", "NotOnThisPlatform"),
        (client(rateLimit={"requests": 1, "per": "soon"}), {}, "Accepted", "Invalid"),
        (
            client(namespace="other", endpoints=({"name": "minilm", "namespace": "search"},)),
            {},
            "EndpointsGranted",
            "NamespaceNotAllowed",
        ),
    ],
)
def test_every_problem_has_a_reason_of_its_own_and_ready_follows(subject, changes, condition, reason):
    conditions = said(subject, observed_client(**changes))
    assert conditions[condition] == ("False", reason)
    assert conditions["Ready"][0] == "False"


@pytest.mark.parametrize(
    ("subject", "changes"),
    [
        (client(), {"secret": foreign(NamespacedName("search", "bot-key"))}),
        (client(), {"secret": key_secret(client(), data={"api-key": b"mine"}), "issuing_ca": None}),
        (client(certificate=FOREIGN_ISSUER), {}),
        (client(), {"issuing_ca": None}),
        (client(apiKey={"expiresAt": "2026-03-01T11:59:59Z"}), {}),
    ],
)
def test_no_key_is_minted_over_anything_or_for_what_is_not_accepted(subject, changes):
    assert plan(subject, observed_client(**changes)).apply == ()


def test_a_spec_that_is_not_accepted_still_revokes_and_does_nothing_else():
    subject = client(certificate=FOREIGN_ISSUER, apiKey={"revokedKeyIds": [KEY.key_id], "overlap": "0s"})
    secret = key_secret(subject, keys=(ledger_key(), ledger_key(NEW, "Previous", ends=NOW + HOUR)))
    planned = plan(subject, observed_client(secret=secret))
    assert states(planned) == [(KEY.key_id, "Revoked"), (NEW.key_id, "Previous")]


def test_a_key_of_an_earlier_client_of_the_name_is_deleted_and_not_adopted():
    secret = key_secret(client(uid="uid-old"))
    planned = plan(client(), observed_client(secret=secret))
    assert planned.apply == ()
    assert [each.key for each in planned.delete] == [secret.key]


def test_a_restored_secret_is_adopted_where_a_person_asks_for_it():
    secret = key_secret(client(uid="uid-old"), annotations={"nightlatch.dev/adopt": ""})
    planned = plan(client(), observed_client(secret=secret))
    (action,) = planned.apply
    assert isinstance(action, MergeSecret)
    assert action.target.owner.uid == "uid-c"
    assert action.data["api-key"] == KEY.text.encode()
    assert planned.delete == ()
    assert states(planned) == [(KEY.key_id, "Current")]


def test_another_clients_secret_is_not_adopted():
    theirs = key_secret(client(name="other", uid="uid-o"), name="bot-key", annotations={"nightlatch.dev/adopt": ""})
    planned = plan(client(), observed_client(secret=theirs))
    assert (planned.apply, planned.delete) == ((), ())
    assert condition(planned, "CredentialsReady").reason == "SecretConflict"


def test_after_a_change_of_name_the_keys_move_and_the_old_secret_goes_once_they_have():
    subject = client(apiKey={"secretName": "new"})
    old = key_secret(subject, keys=(ledger_key(), ledger_key(NEW, "Previous", ends=NOW + HOUR)))
    moving = plan(subject, observed_client(others=(old,)))
    (action,) = moving.apply
    assert (action.target.key.name, action.data["api-key"]) == ("new", KEY.text.encode())
    assert states(moving) == [(KEY.key_id, "Current"), (NEW.key_id, "Previous")]
    assert moving.delete == ()
    there = found(action.target, action.data)
    assert read_ledger(there, subject.status, ()) == read_ledger(old, subject.status, ())
    moved = plan(subject, observed_client(secret=there, others=(old,)))
    assert [each.key for each in moved.delete] == [old.key]


def test_after_its_secret_was_deleted_a_key_works_on_until_a_new_one_does_and_then_for_the_overlap():
    subject = client()
    subject = replace(subject, status=plan(subject, observed_client(secret=key_secret(subject))).status)
    held = (DocumentKey(KEY.key_id, api_keys.digest(KEY.text)),)
    planned = plan(subject, observed_client(documents=held))
    (action,) = planned.apply
    assert action.data["api-key"] == NEW.text.encode()
    assert states(planned) == [(NEW.key_id, "Next"), (KEY.key_id, "Current")]
    there = found(action.target, action.data)
    coverage = {KEY.key_id: KeyCoverage(), NEW.key_id: KeyCoverage()}
    assert states(plan(subject, observed_client(secret=there, documents=held, coverage=coverage))) == [
        (NEW.key_id, "Current"),
        (KEY.key_id, "Previous"),
    ]


def test_a_secret_that_was_deleted_during_an_overlap_comes_back_when_the_overlap_ends():
    subject, keys = client(), (ledger_key(), ledger_key(NEW, "Previous", ends=NOW + HOUR))
    subject = replace(subject, status=plan(subject, observed_client(secret=key_secret(subject, keys=keys))).status)
    end = int((NOW + HOUR).timestamp())
    held = tuple(DocumentKey(key.key_id, api_keys.digest(key.text), at) for key, at in ((KEY, None), (NEW, end)))
    planned = plan(subject, observed_client(documents=held))
    assert planned.apply == ()
    assert condition(planned, "CredentialsReady").reason == "KeyLost"
    assert planned.requeue_after == 3600


@pytest.mark.parametrize("where", ["missing", "behind"])
def test_a_key_that_a_gateway_would_refuse_is_not_ready_and_looked_at_again(where):
    subject = client()
    coverage = {KEY.key_id: KeyCoverage(**{where: (MINILM,)}, in_force=False)}
    observed = observed_client(secret=key_secret(subject), coverage=coverage)
    assert said(subject, observed)["Ready"] == ("False", "KeyNotProgrammed")
    first = plan(subject, observed)
    assert first.requeue_after == 0.2
    waiting = replace(subject, status=first.status)
    assert plan(waiting, observed, NOW + timedelta(seconds=3)).requeue_after == 3.0
    assert plan(waiting, observed, NOW + HOUR).requeue_after == 10.0


def test_a_programmed_key_stays_so_while_gateways_take_over_a_newer_document_that_has_it():
    subject, secret = client(), key_secret(client())
    programmed = plan(subject, observed_client(secret=secret))
    assert programmed.requeue_after is None
    settled = replace(subject, status=programmed.status)
    behind = {KEY.key_id: KeyCoverage(behind=(MINILM,), in_force=False)}
    assert plan(settled, observed_client(secret=secret, coverage=behind)).status is None
    missing = {KEY.key_id: KeyCoverage(missing=(MINILM,), in_force=False)}
    lost = plan(settled, observed_client(secret=secret, coverage=missing))
    assert condition(lost, "Ready").reason == "KeyNotProgrammed"


def test_revoked_waits_for_the_gateways_and_names_them_and_then_stays_true():
    subject = client(apiKey={"revokedKeyIds": [KEY.key_id]})
    secret = key_secret(subject, keys=(ledger_key(NEW), ledger_key(KEY, "Revoked", ends=NOW)))
    coverage = {NEW.key_id: KeyCoverage()}
    waiting = plan(subject, observed_client(secret=secret, coverage=coverage, revoking=("gw-1", "gw-2")))
    revoked = condition(waiting, "Revoked")
    assert (revoked.status, revoked.reason) == ("False", "WaitingForGateways")
    assert "gw-1, gw-2" in revoked.message
    assert waiting.requeue_after == 0.2
    assert condition(waiting, "Ready").status == "True"
    done = plan(subject, observed_client(secret=secret, coverage=coverage))
    assert condition(done, "Revoked").status == "True"
    settled = replace(subject, status=done.status)
    assert plan(settled, observed_client(secret=secret, coverage=coverage, revoking=("gw-3",))).status is None


def test_a_client_whose_only_key_is_revoked_gets_a_new_one():
    subject = client(apiKey={"revokedKeyIds": [KEY.key_id]})
    planned = plan(subject, observed_client(secret=key_secret(subject)))
    (action,) = planned.apply
    assert action.data["api-key"] == NEW.text.encode()
    assert states(planned) == [(NEW.key_id, "Next"), (KEY.key_id, "Revoked")]


def test_a_client_of_several_endpoints_has_the_address_of_each_and_no_url():
    subject = client(endpoints=({"name": "minilm"}, {"name": "later", "namespace": "other"}))
    (created,) = plan(subject, observed_client()).apply
    assert "url" not in created.data
    assert json.loads(created.data["endpoints.json"]) == {
        "search/minilm": {"url": "https://minilm.search.localhost:8443"},
        "other/later": {"url": "https://later.other.localhost:8443"},
    }
    (merged,) = plan(subject, observed_client(secret=key_secret(subject))).apply
    assert merged.data["url"] is None


def test_an_endpoint_that_is_named_twice_counts_as_one():
    subject = client(endpoints=({"name": "minilm"}, {"name": "minilm", "namespace": "search"}))
    (created,) = plan(subject, observed_client()).apply
    assert created.data["url"] == PUBLIC["url"]


@pytest.mark.parametrize("subject", [client(suspend=True), client(rateLimit={"requests": 1, "per": "soon"})])
def test_neither_suspension_nor_an_unreadable_spec_takes_the_addresses_away(subject):
    assert plan(subject, observed_client(secret=key_secret(subject))).apply == ()


@pytest.mark.parametrize("spec", [{"certificate": FOREIGN_ISSUER}, {"rateLimit": {"requests": 1, "per": "soon"}}])
def test_a_spec_that_is_not_accepted_moves_no_key(spec):
    subject = client(**spec)
    old = key_secret(subject, name="mine")
    planned = plan(subject, observed_client(others=(old,)))
    assert (planned.apply, planned.delete) == ((), ())
    assert states(planned) == [(KEY.key_id, "Current")]


def test_an_endpoint_that_takes_no_keys_is_named():
    subject, closed = client(), endpoint(access={"mtls": {}})
    conditions = said(subject, observed_client(endpoints={closed.key: closed}))
    assert conditions["EndpointsGranted"] == ("False", "ApiKeysNotAccepted")


def test_the_last_use_of_a_key_is_told_and_remembered_by_the_status():
    subject, used = client(), int((NOW + HOUR).timestamp())
    secret = key_secret(subject)
    planned = plan(subject, observed_client(secret=secret, last_uses={KEY.key_id: used}))
    assert planned.status.keys[0].last_used_at == "2026-03-01T13:00:00Z"
    settled = replace(subject, status=planned.status)
    for said in ({}, {KEY.key_id: used - 600}):
        assert plan(settled, observed_client(secret=secret, last_uses=said)).status is None


def test_a_use_that_was_rounded_down_is_not_before_the_key_was_made():
    rounded = int((NOW - timedelta(minutes=5)).timestamp())
    planned = plan(client(), observed_client(secret=key_secret(client()), last_uses={KEY.key_id: rounded}))
    assert planned.status.keys[0].last_used_at == planned.status.keys[0].created_at


def test_a_status_has_no_more_keys_than_it_may_and_those_that_live_among_them():
    many = tuple(ledger_key(KEY, "Revoked", ends=NOW) for _ in range(200))
    revoked = tuple(replace(key, id=f"revoked{number:05}") for number, key in enumerate(many))
    subject = client(apiKey={"revokedKeyIds": [key.id for key in revoked]})
    planned = plan(subject, observed_client(secret=key_secret(subject, keys=(ledger_key(), *revoked))))
    assert len(planned.status.keys) == 128
    assert planned.status.keys[0].state == "Current"
