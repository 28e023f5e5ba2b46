"""Which client may use which endpoint, and what a client without a namespace in its grant names."""

import pytest

from nightlatch.api.meta import NamespacedName
from nightlatch.planning.access.grants import GrantRequest, named_endpoints, refusal, requested_grants
from tests.unit.planning.scene import client, endpoint


def test_a_client_names_endpoints_of_its_own_namespace_by_default():
    subject = client(endpoints=({"name": "a"}, {"name": "b", "namespace": "other"}))
    assert list(requested_grants(subject)) == [NamespacedName("search", "a"), NamespacedName("other", "b")]


def test_an_endpoint_that_is_named_with_its_namespace_and_without_gets_both_permissions():
    subject = client(
        endpoints=(
            {"name": "a", "permissions": ["infer"]},
            {"name": "b"},
            {"name": "a", "namespace": "search", "permissions": ["metadata", "metrics"]},
        )
    )
    asked = requested_grants(subject)
    assert list(asked) == [NamespacedName("search", "a"), NamespacedName("search", "b")]
    assert asked[NamespacedName("search", "a")] == {"infer", "metadata", "metrics"}
    assert named_endpoints(subject) == tuple(asked)


def test_a_suspended_client_asks_for_nothing_and_still_names_its_endpoints():
    subject = client(suspend=True)
    assert requested_grants(subject) == {}
    assert named_endpoints(subject) == (NamespacedName("search", "minilm"),)


TEAM_ML = {"matchLabels": {"team": "ml"}}


def allowed_expression(operator, *values):
    expression = {"key": "team", "operator": operator} | ({"values": list(values)} if values else {})
    return {"from": "Selector", "selector": {"matchExpressions": [expression]}}


def asked(allowed, namespace, labels):
    subject = endpoint(access={"apiKey": {}} | ({"allowedNamespaces": allowed} if allowed else {}))
    return refusal(GrantRequest(client(namespace=namespace, labels=labels), subject.key, subject))


@pytest.mark.parametrize(
    ("allowed", "namespace", "labels", "admitted"),
    [
        pytest.param(None, "search", {}, True, id="by default its own"),
        pytest.param(None, "other", {}, False, id="by default no other"),
        pytest.param({"from": "Same"}, "other", {}, False, id="Same"),
        pytest.param({"from": "All"}, "other", {}, True, id="All"),
        pytest.param({"from": "Names", "names": ["other"]}, "other", {}, True, id="named"),
        pytest.param({"from": "Names", "names": ["other"]}, "third", {}, False, id="not named"),
        pytest.param({"from": "Names", "names": ["other"]}, "search", {}, True, id="its own, not named"),
        pytest.param({"from": "Selector", "selector": TEAM_ML}, "other", {"team": "ml", "a": "b"}, True, id="label"),
        pytest.param({"from": "Selector", "selector": TEAM_ML}, "other", {"team": "web"}, False, id="another value"),
        pytest.param({"from": "Selector", "selector": TEAM_ML}, "other", {}, False, id="no label"),
        pytest.param({"from": "Selector", "selector": TEAM_ML}, "search", {}, True, id="its own, without the label"),
        pytest.param({"from": "Selector", "selector": {}}, "other", {}, True, id="an empty selector"),
        pytest.param(allowed_expression("In", "ml", "web"), "other", {"team": "web"}, True, id="In"),
        pytest.param(allowed_expression("In", "ml"), "other", {}, False, id="In, and no label"),
        pytest.param(allowed_expression("NotIn", "ml"), "other", {"team": "ml"}, False, id="NotIn"),
        pytest.param(allowed_expression("NotIn", "ml"), "other", {}, True, id="NotIn, and no label"),
        pytest.param(allowed_expression("Exists"), "other", {"team": ""}, True, id="Exists"),
        pytest.param(allowed_expression("Exists"), "other", {}, False, id="Exists, and no label"),
        pytest.param(allowed_expression("DoesNotExist"), "other", {}, True, id="DoesNotExist"),
        pytest.param(allowed_expression("DoesNotExist"), "other", {"team": ""}, False, id="DoesNotExist, but does"),
    ],
)
def test_an_endpoint_admits_clients_of_the_namespaces_it_allows(allowed, namespace, labels, admitted):
    found = asked(allowed, namespace, labels)
    assert (found is None) is admitted
    assert admitted or found.reason == "NamespaceNotAllowed"


@pytest.mark.parametrize(
    ("allowed", "advice"),
    [
        (None, "write spec.access.allowedNamespaces: {from: Names, names: [...]} in the endpoint"),
        ({"from": "Names", "names": ["b"]}, "add it to the endpoint's spec.access.allowedNamespaces.names"),
        ({"from": "Selector", "selector": TEAM_ML}, "give it the labels"),
    ],
)
def test_a_refused_client_learns_what_would_let_it_in(allowed, advice):
    assert advice in asked(allowed, "other", {}).message
