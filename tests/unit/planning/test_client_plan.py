"""plan_client(): the key Secret, and what the conditions say when it or an endpoint is not to be had."""

import json
from dataclasses import replace
from datetime import timedelta

import pytest

from nightlatch.api.meta import NamespacedName
from nightlatch.planning.client.plan import plan_client
from nightlatch.planning.plan import MergeSecret, MintKey
from tests.unit.planning.scene import ISSUING_CA, KEY, NOW, client, endpoint, foreign, key_secret, observed_client

COMPLETE = {
    "api-key": KEY.text.encode(),
    "url": b"https://minilm.search.localhost:8443",
    "endpoints.json": b'{\n  "search/minilm": {\n    "url": "https://minilm.search.localhost:8443"\n  }\n}\n',
    "ca.crt": ISSUING_CA.trust_pem,
}


def conditions(subject, observed):
    status = plan_client(subject, observed, NOW).status
    return {each.type: (each.status, each.reason) for each in status.conditions}


def test_a_new_client_gets_a_key_with_url_and_ca():
    (action,) = plan_client(client(), observed_client(), NOW).apply
    assert isinstance(action, MintKey)
    assert action.target.key == NamespacedName("search", "bot-key")
    assert action.data == {entry: value for entry, value in COMPLETE.items() if entry != "api-key"}


def test_the_secrets_name_is_the_users_to_choose():
    (action,) = plan_client(client(apiKey={"secretName": "mine"}), observed_client(), NOW).apply
    assert action.target.key == NamespacedName("search", "mine")


def test_a_complete_secret_is_left_alone_and_told_by_id_only():
    subject = client()
    planned = plan_client(subject, observed_client(secret=key_secret(subject, data=COMPLETE)), NOW)
    assert planned.apply == ()
    assert [(key.id, key.state) for key in planned.status.keys] == [(KEY.key_id, "Current")]
    assert KEY.text not in planned.status.model_dump_json()
    settled = replace(subject, status=planned.status)
    assert plan_client(settled, observed_client(secret=key_secret(subject, data=COMPLETE)), NOW).status is None


@pytest.mark.parametrize("entry", ["url", "endpoints.json", "ca.crt"])
def test_what_is_public_in_the_secret_is_kept_right_without_touching_the_key(entry):
    subject = client()
    secret = key_secret(subject, data=COMPLETE | {entry: b"old"})
    (action,) = plan_client(subject, observed_client(secret=secret), NOW).apply
    assert isinstance(action, MergeSecret)
    assert action.replaces == secret.revision
    assert "api-key" not in action.data


@pytest.mark.parametrize(
    ("subject", "changes", "condition", "reason"),
    [
        (client(), {"secret": foreign(NamespacedName("search", "bot-key"))}, "CredentialsReady", "SecretConflict"),
        (client(), {"secret": key_secret(client(), data={"api-key": b"mine"})}, "CredentialsReady", "KeyUnreadable"),
        (client(), {"issuing_ca": None}, "CredentialsReady", "IssuingCAPending"),
        (client(), {}, "CredentialsReady", "KeyPending"),
        (client(), {"endpoints": {}}, "EndpointsGranted", "EndpointNotFound"),
        (client(suspend=True), {}, "EndpointsGranted", "Suspended"),
        (client(name="a.b"), {}, "EndpointsGranted", "InvalidClientName"),
        (client(apiKey={"rotateEvery": "720h"}), {}, "Accepted", "NotYetSupported"),
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
    said = conditions(subject, observed_client(**changes))
    assert said[condition] == ("False", reason)
    assert said["Ready"][0] == "False"


@pytest.mark.parametrize(
    ("subject", "changes"),
    [
        (client(), {"secret": foreign(NamespacedName("search", "bot-key"))}),
        (client(), {"secret": key_secret(client(), data={"api-key": b"mine"})} | {"issuing_ca": None}),
        (client(apiKey={"rotateEvery": "720h"}), {}),
        (client(), {"issuing_ca": None}),
    ],
)
def test_no_key_is_minted_over_anything_or_for_what_is_not_accepted(subject, changes):
    assert plan_client(subject, observed_client(**changes), NOW).apply == ()


def test_a_key_of_an_earlier_client_of_the_name_is_deleted_and_not_adopted():
    secret = key_secret(client(uid="uid-old"), data=COMPLETE)
    planned = plan_client(client(), observed_client(secret=secret), NOW)
    assert planned.apply == ()
    assert [each.key for each in planned.delete] == [secret.key]


def test_after_a_change_of_name_the_old_secret_goes_once_the_new_one_has_its_key():
    subject = client(apiKey={"secretName": "new"})
    old = key_secret(subject, data=COMPLETE)
    waiting = plan_client(subject, observed_client(others=(old,)), NOW)
    assert waiting.delete == ()
    there = key_secret(subject, data=COMPLETE, name="new")
    assert [each.key for each in plan_client(subject, observed_client(secret=there, others=(old,)), NOW).delete] == [
        old.key
    ]


MINILM = NamespacedName("search", "minilm")


@pytest.mark.parametrize("where", ["missing", "behind"])
def test_a_key_that_a_gateway_would_refuse_is_not_ready_and_looked_at_again(where):
    subject = client()
    observed = observed_client(secret=key_secret(subject, data=COMPLETE), **{where: (MINILM,)})
    assert conditions(subject, observed)["Ready"] == ("False", "KeyNotProgrammed")
    first = plan_client(subject, observed, NOW)
    assert first.requeue_after == 0.2
    waiting = replace(subject, status=first.status)
    assert plan_client(waiting, observed, NOW + timedelta(seconds=3)).requeue_after == 3.0
    assert plan_client(waiting, observed, NOW + timedelta(hours=1)).requeue_after == 10.0


def test_a_programmed_key_stays_so_while_gateways_take_over_a_newer_document_that_has_it():
    subject, secret = client(), key_secret(client(), data=COMPLETE)
    programmed = plan_client(subject, observed_client(secret=secret), NOW)
    assert programmed.requeue_after is None
    settled = replace(subject, status=programmed.status)
    assert plan_client(settled, observed_client(secret=secret, behind=(MINILM,)), NOW).status is None
    lost = plan_client(settled, observed_client(secret=secret, missing=(MINILM,)), NOW)
    assert next(each for each in lost.status.conditions if each.type == "Ready").reason == "KeyNotProgrammed"


def test_a_client_of_several_endpoints_has_the_address_of_each_and_no_url():
    subject = client(endpoints=({"name": "minilm"}, {"name": "later", "namespace": "other"}))
    (minted,) = plan_client(subject, observed_client(), NOW).apply
    assert "url" not in minted.data
    assert json.loads(minted.data["endpoints.json"]) == {
        "search/minilm": {"url": "https://minilm.search.localhost:8443"},
        "other/later": {"url": "https://later.other.localhost:8443"},
    }
    (merged,) = plan_client(subject, observed_client(secret=key_secret(subject, data=COMPLETE)), NOW).apply
    assert merged.data["url"] is None


def test_an_endpoint_that_is_named_twice_counts_as_one():
    subject = client(endpoints=({"name": "minilm"}, {"name": "minilm", "namespace": "search"}))
    (minted,) = plan_client(subject, observed_client(), NOW).apply
    assert minted.data["url"] == COMPLETE["url"]


@pytest.mark.parametrize("subject", [client(suspend=True), client(rateLimit={"requests": 1, "per": "soon"})])
def test_neither_suspension_nor_an_unreadable_spec_takes_the_addresses_away(subject):
    assert plan_client(subject, observed_client(secret=key_secret(subject, data=COMPLETE)), NOW).apply == ()


def test_an_endpoint_that_takes_no_keys_is_named():
    subject, closed = client(), endpoint(access={"mtls": {}})
    said = conditions(subject, observed_client(endpoints={closed.key: closed}))
    assert said["EndpointsGranted"] == ("False", "ApiKeysNotAccepted")
