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


@pytest.mark.parametrize(
    ("allowed", "namespace", "admitted"),
    [(None, "search", True), (None, "other", False), (["other"], "other", True), (["other"], "third", False)],
)
def test_an_endpoint_admits_clients_of_the_namespaces_it_names(allowed, namespace, admitted):
    access = {"apiKey": {}} | ({"allowedNamespaces": {"names": allowed}} if allowed else {})
    subject = endpoint(namespace="search", access=access)
    found = refusal(GrantRequest(client(namespace=namespace), subject.key, subject))
    assert (found is None) is admitted
    assert admitted or found.reason == "NamespaceNotAllowed"
