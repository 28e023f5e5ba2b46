"""Which client may use which endpoint, and what a client without a namespace in its grant names."""

import pytest

from nightlatch.api.meta import NamespacedName
from nightlatch.planning.access.grants import GrantRequest, refusal, requested_grants
from tests.unit.planning.scene import client, endpoint


def test_a_client_names_endpoints_of_its_own_namespace_by_default():
    subject = client(endpoints=({"name": "a"}, {"name": "b", "namespace": "other"}))
    named = [key for key, _ in requested_grants(subject)]
    assert named == [NamespacedName("search", "a"), NamespacedName("other", "b")]


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
