"""Names: each one that we derive is valid for the longest name that a user can choose."""

import re

import pytest

from nightlatch.api import names
from nightlatch.api.meta import NamespacedName
from nightlatch.store.admission.schema import admitted
from nightlatch.store.protocol import InvalidError
from tests.contract.store_contract import endpoint

LONGEST = NamespacedName("n" * 63, "a" * names.MAX_NAME_LENGTH)


@pytest.mark.parametrize(
    "derive", [names.pods_service, names.service_account, names.upstream_tls, names.api_key, names.client_tls]
)
def test_a_name_in_the_objects_own_namespace_is_one_dns_label(derive):
    assert re.fullmatch(r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?", derive(LONGEST))


@pytest.mark.parametrize("derive", [names.route_document, names.server_tls])
def test_a_name_in_another_namespace_is_a_dns_subdomain(derive):
    assert re.fullmatch(r"[-a-z0-9.]{1,253}", derive(LONGEST))


@pytest.mark.parametrize(("name", "shown"), [(7, "7"), (1e3, "1000.0"), (True, "True")])
def test_a_name_that_yaml_reads_as_something_else_is_to_be_quoted(name, shown):
    obj = endpoint("ns")
    with pytest.raises(InvalidError, match=rf'metadata.name: {shown} is not text: quote it, name: "{shown}"'):
        admitted({**obj, "metadata": {**obj["metadata"], "name": name}})
