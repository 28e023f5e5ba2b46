"""Each chain of a client's conditions as a table: what is the case, and which reason follows."""

from dataclasses import replace

import pytest

from nightlatch.api.client import ClientStatus, KeyStatus
from nightlatch.api.conditions import ClientCondition, Reason
from nightlatch.api.meta import Condition, NamespacedName
from nightlatch.planning.client.api_key import KeyDecision
from nightlatch.planning.client.conditions import ClientConditionInput, chains, client_verdicts
from nightlatch.planning.conditions import evaluate
from nightlatch.planning.inputs import LiveKey
from nightlatch.planning.parsed import Rejection
from tests.unit.planning.scene import client, endpoint, observed_client

MINILM, OTHER = NamespacedName("search", "minilm"), NamespacedName("search", "other")
LIVE = LiveKey("0123456789ab", "00" * 32)
GOOD = ClientConditionInput(client(), observed_client(), KeyDecision(NamespacedName("search", "bot-key"), LIVE))
REVOKED = replace(
    client(),
    spec=client().spec.model_copy(
        update={"api_key": client().spec.api_key.model_copy(update={"revoked_key_ids": (LIVE.key_id,)})}
    ),
)


def good(**changes):
    return replace(GOOD, **changes)


def key(**changes):
    return good(key=replace(GOOD.key, **changes))


def observed(**changes):
    return good(observed=observed_client(**changes))


def programmed_before(**status):
    """A client whose key was programmed, according to its status."""
    before = {"status": "True", "message": "", "observed_generation": 1, "last_transition_time": "2026-01-01T00:00:00Z"}
    conditions = tuple(Condition(type=kind, reason=kind, **before) for kind in ("Programmed", "Ready"))
    keys = (KeyStatus(id=LIVE.key_id, state="Current", created_at=""),)
    given = {"observed_generation": 1, "conditions": conditions, "keys": keys} | status
    return replace(client(), status=ClientStatus(**given))


TABLES = {
    ClientCondition.ACCEPTED: {
        "all is well": (GOOD, "True", "Accepted"),
        "the spec is rejected": (
            good(client=replace(client(), rejection=Rejection(Reason.NOT_YET_SUPPORTED, "remove it"))),
            "False",
            "NotYetSupported",
        ),
    },
    ClientCondition.CREDENTIALS_READY: {
        "all is well": (GOOD, "True", "Issued"),
        "a foreign Secret": (key(live=None, taken=True), "False", "SecretConflict"),
        "no key in our Secret": (key(live=None, broken=True), "False", "KeyUnreadable"),
        "a revoked key": (good(client=REVOKED), "False", "KeyRevoked"),
        "no CA and no key": (
            good(observed=observed_client(issuing_ca=None), key=replace(GOOD.key, live=None)),
            "False",
            "IssuingCAPending",
        ),
        "no CA, but a key": (observed(issuing_ca=None), "True", "Issued"),
        "no key yet": (key(live=None), "False", "KeyPending"),
    },
    ClientCondition.ENDPOINTS_GRANTED: {
        "all is well": (GOOD, "True", "Granted"),
        "suspended": (good(client=client(suspend=True)), "False", "Suspended"),
        "no endpoint named": (good(client=client(endpoints=())), "True", "NoEndpoints"),
        "an endpoint that does not exist": (observed(endpoints={}), "False", "EndpointNotFound"),
        "an endpoint that does not let the namespace in": (
            good(client=client(namespace="other", endpoints=({"name": "minilm", "namespace": "search"},))),
            "False",
            "NamespaceNotAllowed",
        ),
        "an endpoint without API keys": (
            observed(endpoints={MINILM: endpoint(access={"mtls": {}})}),
            "False",
            "ApiKeysNotAccepted",
        ),
        "a name with a dot": (good(client=client(name="a.b")), "False", "InvalidClientName"),
    },
    ClientCondition.PROGRAMMED: {
        "all is well": (GOOD, "True", "Programmed"),
        "a document lacks the key": (observed(missing=(MINILM,)), "False", "KeyNotProgrammed"),
        "a gateway is behind": (observed(behind=(MINILM,)), "False", "KeyNotProgrammed"),
        "a gateway is behind with a key that it had": (
            replace(observed(behind=(MINILM,)), client=programmed_before()),
            "True",
            "Programmed",
        ),
        "a gateway is behind with another key than before": (
            replace(observed(behind=(MINILM,)), client=programmed_before(keys=())),
            "False",
            "KeyNotProgrammed",
        ),
        "a gateway is behind after a change of the spec": (
            replace(observed(behind=(MINILM,)), client=programmed_before(observed_generation=0)),
            "False",
            "KeyNotProgrammed",
        ),
        "a document lost a key that it had": (
            replace(observed(missing=(MINILM,)), client=programmed_before()),
            "False",
            "KeyNotProgrammed",
        ),
    },
}


@pytest.mark.parametrize(
    ("condition", "inputs", "status", "reason"),
    [
        pytest.param(condition, *row, id=f"{condition}: {case}")
        for condition, table in TABLES.items()
        for case, row in table.items()
    ],
)
def test_the_first_predicate_that_fires_gives_the_reason(condition, inputs, status, reason):
    verdict = evaluate(inputs, chains()[condition])
    assert (verdict.status, verdict.reason) == (status, reason)
    assert verdict.message


def test_every_chain_has_a_table():
    assert set(TABLES) == set(chains())


def test_ready_comes_last_and_sums_up_the_others():
    assert client_verdicts(GOOD)[-1][0] == "Ready"
    assert client_verdicts(GOOD)[-1][1].reason == "Ready"
    assert client_verdicts(key(live=None))[-1][1].reason == "KeyPending"


def test_while_an_edit_is_applied_ready_stays_true_about_the_generation_before():
    before = programmed_before()
    edit = replace(before, metadata=before.metadata.model_copy(update={"generation": 2}))
    verdicts = dict(client_verdicts(replace(observed(behind=(MINILM,), missing=(OTHER,)), client=edit)))
    assert (verdicts["Programmed"].status, verdicts["Programmed"].reason) == ("False", "KeyNotProgrammed")
    assert (verdicts["Ready"].status, verdicts["Ready"].earlier) == ("True", True)


def test_a_key_that_is_no_longer_in_a_document_makes_the_client_not_ready():
    verdicts = dict(client_verdicts(replace(observed(missing=(MINILM,)), client=programmed_before())))
    assert verdicts["Ready"].status == "False"
