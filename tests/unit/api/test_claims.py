"""How claims are named: dots lead inward, and some names have dots of their own."""

import pytest

from nightlatch.api.claims import claim_path


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("sub", ("sub",)),
        ("realm_access.roles", ("realm_access", "roles")),
        ("https://corp.example/roles", ("https://corp.example/roles",)),
        ("kubernetes.io", ("kubernetes.io",)),
        ("kubernetes.io.namespace", ("kubernetes.io", "namespace")),
        ("kubernetes.io.serviceaccount.name", ("kubernetes.io", "serviceaccount", "name")),
        ("kubernetes.iot", ("kubernetes", "iot")),
    ],
)
def test_a_claim_is_named_by_the_way_to_it(text, path):
    assert claim_path(text) == path
