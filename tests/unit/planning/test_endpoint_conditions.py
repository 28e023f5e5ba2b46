"""Each chain of an endpoint's conditions as a table: what is the case, and which reason follows."""

from dataclasses import replace

import pytest

from nightlatch.api.conditions import EndpointCondition, Reason
from nightlatch.pki import Finding, Violation
from nightlatch.planning.access.api_keys import MAX_KEYS
from nightlatch.planning.conditions import evaluate
from nightlatch.planning.endpoint.certificates import server_leaf
from nightlatch.planning.endpoint.conditions import ConditionInput, chains, endpoint_verdicts
from nightlatch.planning.endpoint.document import DocumentDecision
from nightlatch.planning.endpoint.issuers import Tokens
from nightlatch.planning.endpoint.plan import owner_of, plan_endpoint
from nightlatch.planning.leaves import LeafDecision
from nightlatch.planning.parsed import Rejection
from nightlatch.scaling.runtime import EndpointRuntime
from nightlatch.wire import route_document as routing
from nightlatch.wire.report import WakeFailure
from tests.unit.planning.scene import NOW, SETTINGS, endpoint, held, issued

SUBJECT = endpoint()
OBSERVED = issued(SUBJECT, clients=(held(),))
DOCUMENT = routing.decode(plan_endpoint(SUBJECT, OBSERVED, NOW).apply[0].data)
GRANT = DOCUMENT.keys[0]
LEAF = LeafDecision(server_leaf(SETTINGS, SUBJECT.key, owner_of(SUBJECT), SUBJECT.spec.tls))
GOOD = ConditionInput(
    endpoint=SUBJECT,
    observed=replace(OBSERVED, runtime=EndpointRuntime(applied={"g0": DOCUMENT.sequence})),
    leaves=(),
    document=DocumentDecision(DOCUMENT, DOCUMENT.keys),
    document_taken=False,
)
REJECTED = replace(SUBJECT, rejection=Rejection(Reason.HOST_CONFLICT, "choose another name"))


def good(**changes):
    return replace(GOOD, **changes)


def observed(**changes):
    return good(observed=replace(GOOD.observed, **changes))


def running(**changes):
    return observed(runtime=replace(GOOD.observed.runtime, **changes))


def documented(**changes):
    return good(document=replace(GOOD.document, **changes))


def leaf(**changes):
    return good(leaves=(replace(LEAF, **changes),))


EXPIRED = Violation(Reason.CERTIFICATE_EXPIRED, "the certificate has expired")

TABLES = {
    EndpointCondition.ACCEPTED: {
        "all is well": (GOOD, "True", "Accepted"),
        "the spec is rejected": (good(endpoint=REJECTED), "False", "HostConflict"),
        "more replicas than one": (good(endpoint=endpoint(scaling={"maxReplicas": 4})), "True", "Accepted"),
    },
    EndpointCondition.CREDENTIALS_READY: {
        "all is well": (GOOD, "True", "Issued"),
        "no client": (documented(keys=()), "True", "NoClients"),
        "as many keys as a gateway takes": (documented(keys=(GRANT,) * MAX_KEYS), "True", "Issued"),
        "one key more": (documented(keys=(GRANT,) * (MAX_KEYS + 1)), "False", "TooManyKeys"),
    },
    EndpointCondition.ISSUERS_READY: {
        "all is well": (documented(tokens=Tokens()), "True", "IssuersReady"),
        "an issuer is missing": (
            documented(tokens=Tokens(problems=(Finding(Reason.ISSUER_NOT_FOUND, "create it"),))),
            "False",
            "IssuerNotFound",
        ),
    },
    EndpointCondition.CERTIFICATES_READY: {
        "all is well": (GOOD, "True", "Issued"),
        "a foreign Secret": (leaf(taken=True), "False", "SecretConflict"),
        "a foreign Secret and no CA": (
            replace(leaf(taken=True), observed=replace(GOOD.observed, issuing_ca=None)),
            "False",
            "SecretConflict",
        ),
        "no CA": (observed(issuing_ca=None), "False", "IssuingCAPending"),
        "no certificate": (leaf(), "False", "CertificateMissing"),
        "an expired certificate": (leaf(violation=EXPIRED), "False", "CertificateExpired"),
    },
    EndpointCondition.PROGRAMMED: {
        "all is well": (GOOD, "True", "Programmed"),
        "a foreign Secret": (good(document_taken=True), "False", "SecretConflict"),
        "a document that gateways would refuse": (documented(problem="too long"), "False", "InvalidConfiguration"),
        "no document": (documented(current=None), "False", "ConfigurationPending"),
        "Envoy refused": (running(nacks={"g0": "no such cluster"}), "False", "GatewayRefused"),
        "a gateway cannot read the document": (
            running(nacks={"g0": "format 3", "g1": "no such cluster"}, too_old=("g0",)),
            "False",
            "GatewayTooOld",
        ),
        "no gateway yet": (running(applied={}), "Unknown", "NoGateway"),
        "no gateway any more": (running(applied={}, disconnected=("g0",)), "False", "GatewayDisconnected"),
        "a gateway is behind": (running(applied={"g0": DOCUMENT.sequence - 1}), "False", "GatewayBehind"),
        "a gateway is behind, another disconnected": (
            running(applied={"g0": DOCUMENT.sequence - 1}, disconnected=("g1",)),
            "False",
            "GatewayBehind",
        ),
        "a gateway has nothing yet, another is behind": (
            running(applied={"g0": 0, "g1": DOCUMENT.sequence - 1}),
            "False",
            "GatewayBehind",
        ),
        "one of two is disconnected": (running(disconnected=("g1",)), "True", "GatewayDisconnected"),
    },
    EndpointCondition.WORKLOAD_AVAILABLE: {
        "asleep": (GOOD, "True", "Asleep"),
        "waking": (running(state="Waking"), "True", "Waking"),
        "awake": (running(state="Awake"), "True", "Awake"),
        "draining": (running(state="Draining"), "True", "Draining"),
        "never accepted": (
            good(endpoint=REJECTED, document=replace(GOOD.document, current=None)),
            "False",
            "NotAccepted",
        ),
        "rejected, but a good configuration is left": (good(endpoint=REJECTED), "True", "Asleep"),
        "the platform refused": (observed(workload_error="exceeded quota"), "False", "WorkloadRefused"),
        "the start failed": (
            running(failure=WakeFailure(1, Reason.UNSCHEDULABLE, "no room")),
            "False",
            "Unschedulable",
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


@pytest.mark.parametrize(
    ("inputs", "status", "reason"),
    [
        (GOOD, "True", "Ready"),
        (running(applied={}), "Unknown", "NoGateway"),
        (replace(running(applied={}), document_taken=True), "False", "SecretConflict"),
        (replace(leaf(taken=True), endpoint=REJECTED), "False", "HostConflict"),
        (running(applied={"g0": 0}), "False", "GatewayBehind"),
        (running(applied={"g0": DOCUMENT.sequence - 1}), "True", "Ready"),
    ],
    ids=[
        "all is well",
        "one is unknown",
        "false goes before unknown",
        "the first that is false",
        "no gateway serves it yet",
        "the configuration before serves meanwhile",
    ],
)
def test_ready_comes_last_and_sums_up_the_others(inputs, status, reason):
    *_, (kind, verdict) = endpoint_verdicts(inputs)
    assert (kind, verdict.status, verdict.reason) == ("Ready", status, reason)


def test_a_cap_on_replicas_has_a_condition_of_its_own_and_does_not_touch_ready():
    verdicts = dict(endpoint_verdicts(good(endpoint=endpoint(scaling={"maxReplicas": 4}))))
    capped = verdicts[EndpointCondition.REPLICAS_CAPPED]
    assert (capped.status, capped.reason) == ("True", "MaxReplicasCapped")
    assert "maxReplicas is 4" in capped.message
    assert verdicts[EndpointCondition.READY].reason == "Ready"
    assert list(verdicts)[-1] == EndpointCondition.READY


@pytest.mark.parametrize(
    "subject",
    [
        pytest.param(SUBJECT, id="one replica is wanted"),
        pytest.param(replace(endpoint(scaling={"maxReplicas": 4}), rejection=REJECTED.rejection), id="rejected"),
        pytest.param(endpoint(requestTimeout="soon"), id="unreadable"),
    ],
)
def test_no_cap_is_told_where_none_applies(subject):
    assert EndpointCondition.REPLICAS_CAPPED not in dict(endpoint_verdicts(good(endpoint=subject)))


def test_a_configuration_that_gateways_would_refuse_leaves_the_one_before_in_use() -> None:
    subject = documented(problem="too long")
    verdict = evaluate(subject, chains()[EndpointCondition.PROGRAMMED])
    assert verdict.message.endswith("the last good configuration stays in use")
