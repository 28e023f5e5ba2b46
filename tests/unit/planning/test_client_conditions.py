"""Each chain of a client's conditions as a table: what is the case, and which reason follows."""

from dataclasses import replace

import pytest

from nightlatch import api_keys
from nightlatch.api.client import ClientStatus, KeyStatus
from nightlatch.api.conditions import ClientCondition, Reason
from nightlatch.api.meta import Condition, NamespacedName
from nightlatch.planning.client.api_key import KeyDecision
from nightlatch.planning.client.certificate import CertificateDecision
from nightlatch.planning.client.conditions import ClientConditionInput, chains, client_verdicts
from nightlatch.planning.client.ledger import KeyRules, Ledger
from nightlatch.planning.conditions import evaluate
from nightlatch.planning.inputs import KeyCoverage
from nightlatch.planning.parsed import Rejection
from tests.unit.planning.scene import KEY, NOW, client, endpoint, ledger_key, observed_client

MINILM, OTHER = NamespacedName("search", "minilm"), NamespacedName("search", "other")
NEW = api_keys.mint(lambda size: b"n" * size)
CURRENT, PREVIOUS = ledger_key(), ledger_key(NEW, "Previous", ends=NOW)
DECIDED = KeyDecision(NamespacedName("search", "bot-key"), Ledger((CURRENT,)))
GOOD = ClientConditionInput(client(), observed_client(), DECIDED, NOW.timestamp())
REVOKED = KeyRules(revoked=frozenset({NEW.key_id}))
BOTH = Ledger((CURRENT, ledger_key(NEW, "Revoked", ends=NOW)))
NO_KEY = Ledger()
# A client of cert-manager's issuer, without an API key and with one, and endpoints that trust CAs of their own.
KEYED = client(certificate={"issuerRef": {"name": "corp"}})
CORP = replace(KEYED, spec=KEYED.spec.model_copy(update={"api_key": None}))
TRUST = {"mtls": {"trust": [{"secretName": "corp"}]}}
FOREIGN = endpoint(access=TRUST)
EITHER = endpoint(access={"apiKey": {}, **TRUST})
BOTH_AT_ONCE = endpoint(access={"apiKey": {}, **TRUST, "accept": [["mtls", "apiKey"]]})
UNTRUSTED = CertificateDecision(untrusting=(MINILM,))


def good(**changes):
    return replace(GOOD, **changes)


def key(**changes):
    return good(key=replace(GOOD.key, **changes))


def observed(**changes):
    return good(observed=observed_client(**changes))


def coverage(**changes):
    return observed(coverage={KEY.key_id: KeyCoverage(**changes)})


def revoked_before(message):
    at = "2026-01-01T00:00:00Z"
    condition = Condition(type="Revoked", status="True", reason="Revoked", message=message, last_transition_time=at)
    return replace(client(), status=ClientStatus(conditions=(condition,)))


def programmed_before(**status):
    """A client whose key was programmed, according to its status."""
    before = {"status": "True", "message": "", "observed_generation": 1, "last_transition_time": "2026-01-01T00:00:00Z"}
    conditions = tuple(Condition(type=kind, reason=kind, **before) for kind in ("Programmed", "Ready"))
    keys = (KeyStatus(id=KEY.key_id, state="Current", created_at=""),)
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
        "a foreign Secret": (key(ledger=NO_KEY, taken=True), "False", "SecretConflict"),
        "the keys have expired": (key(rules=KeyRules(expires_at=NOW.timestamp())), "False", "KeyExpired"),
        "a rotation under way": (key(ledger=Ledger((ledger_key(NEW, "Next"), CURRENT))), "True", "Rotating"),
        "a Secret that was deleted during an overlap": (
            key(ledger=Ledger((replace(CURRENT, text=""), PREVIOUS))),
            "False",
            "KeyLost",
        ),
        "no CA and no key": (
            good(observed=observed_client(issuing_ca=None), key=replace(GOOD.key, ledger=NO_KEY)),
            "False",
            "IssuingCAPending",
        ),
        "no CA, but a key": (observed(issuing_ca=None), "True", "Issued"),
        "no key yet": (key(ledger=NO_KEY), "False", "KeyPending"),
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
        "a certificate of a CA that the endpoint does not trust": (
            good(client=CORP, observed=observed_client(endpoints={MINILM: FOREIGN}), certificate=UNTRUSTED),
            "False",
            "CertificateNotTrusted",
        ),
        "the same beside a key that suffices": (
            good(client=KEYED, observed=observed_client(endpoints={MINILM: EITHER}), certificate=UNTRUSTED),
            "True",
            "CertificateNotTrusted",
        ),
        "the same beside a key that does not": (
            good(client=KEYED, observed=observed_client(endpoints={MINILM: BOTH_AT_ONCE}), certificate=UNTRUSTED),
            "False",
            "CertificateNotTrusted",
        ),
        "a name with a dot": (good(client=client(name="a.b")), "False", "InvalidClientName"),
    },
    ClientCondition.PROGRAMMED: {
        "all is well": (GOOD, "True", "Programmed"),
        "a document lacks the key": (coverage(missing=(MINILM,)), "False", "KeyNotProgrammed"),
        "a key that was made at this moment": (observed(coverage={}), "False", "KeyNotProgrammed"),
        "no key": (key(ledger=NO_KEY), "True", "Programmed"),
        "a gateway is behind": (coverage(behind=(MINILM,)), "False", "KeyNotProgrammed"),
        "a gateway is behind with a key that it had": (
            replace(coverage(behind=(MINILM,)), client=programmed_before()),
            "True",
            "Programmed",
        ),
        "a gateway is behind with another key than before": (
            replace(coverage(behind=(MINILM,)), client=programmed_before(keys=())),
            "False",
            "KeyNotProgrammed",
        ),
        "a gateway is behind after a change of the spec": (
            replace(coverage(behind=(MINILM,)), client=programmed_before(observed_generation=0)),
            "False",
            "KeyNotProgrammed",
        ),
        "a document lost a key that it had": (
            replace(coverage(missing=(MINILM,)), client=programmed_before()),
            "False",
            "KeyNotProgrammed",
        ),
    },
    ClientCondition.REVOKED: {
        "all is well": (GOOD, "False", "NothingRevoked"),
        "an id that is no key of this client": (key(rules=REVOKED), "False", "UnknownKeyId"),
        "a key that a gateway may accept": (
            replace(key(ledger=BOTH, rules=REVOKED), observed=observed_client(revoking=("gw-1",))),
            "False",
            "WaitingForGateways",
        ),
        "a key that every gateway refuses": (key(ledger=BOTH, rules=REVOKED), "True", "Revoked"),
        "a key that every gateway refused before": (
            replace(
                key(ledger=BOTH, rules=REVOKED),
                client=revoked_before(f"every gateway refuses {NEW.key_id}"),
                observed=observed_client(revoking=("gw-1",)),
            ),
            "True",
            "Revoked",
        ),
        "another key that every gateway refused before": (
            replace(
                key(ledger=BOTH, rules=REVOKED),
                client=revoked_before("every gateway refuses 0123456789ab"),
                observed=observed_client(revoking=("gw-1",)),
            ),
            "False",
            "WaitingForGateways",
        ),
        "a suspended client that a gateway may accept": (
            good(client=client(suspend=True), observed=observed_client(revoking=("gw-1",))),
            "False",
            "WaitingForGateways",
        ),
        "a suspended client": (good(client=client(suspend=True)), "True", "Revoked"),
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
    assert client_verdicts(key(ledger=NO_KEY))[-1][1].reason == "KeyPending"


def test_while_an_edit_is_applied_ready_stays_true_about_the_generation_before():
    before = programmed_before()
    edit = replace(before, metadata=before.metadata.model_copy(update={"generation": 2}))
    verdicts = dict(client_verdicts(replace(coverage(behind=(MINILM,), missing=(OTHER,)), client=edit)))
    assert (verdicts["Programmed"].status, verdicts["Programmed"].reason) == ("False", "KeyNotProgrammed")
    assert (verdicts["Ready"].status, verdicts["Ready"].earlier) == ("True", True)


def test_a_key_that_is_no_longer_in_a_document_makes_the_client_not_ready():
    verdicts = dict(client_verdicts(replace(coverage(missing=(MINILM,)), client=programmed_before())))
    assert verdicts["Ready"].status == "False"


@pytest.mark.parametrize("case", TABLES[ClientCondition.REVOKED])
def test_ready_does_not_wait_for_a_revocation(case):
    inputs, _, _ = TABLES[ClientCondition.REVOKED][case]
    suspended = inputs.client.spec.suspend
    assert dict(client_verdicts(inputs))["Ready"].status == ("False" if suspended else "True")
