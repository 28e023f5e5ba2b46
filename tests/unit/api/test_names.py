"""Names: each one that we derive is valid for the longest name that a user can choose."""

import inspect
import itertools
import re
from collections.abc import Callable

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

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


# Every kind of Secret that gets its name from an object.
SECRETS = (
    names.upstream_tls,
    names.api_key,
    names.client_tls,
    names.route_document,
    names.server_tls,
    names.serving_cert,
)
FIXED = {value for name, value in vars(names).items() if name.endswith("_SECRET")}
LABELS = st.from_regex(r"[a-z]([-a-z0-9]{0,20}[a-z0-9])?", fullmatch=True)
# Names that end as derived names do are those that could meet one.
ENDINGS = ("", "-key", "-tls", "-upstream", "-upstream-tls", "-certificate", "-serving", "-pods", "-model-server")
KEYS = st.builds(NamespacedName, LABELS, st.builds("".join, st.tuples(LABELS, st.sampled_from(ENDINGS))))


def owner(secret: str, derive: Callable[[NamespacedName], str]) -> tuple[str | None, str] | None:
    """Namespace and name of the object whose Secret of this kind has this name; None if there can be none. The
    namespace is None if the Secret's name does not tell it."""
    form = re.escape(derive(NamespacedName("NS", "NAME")))
    pattern = form.replace("NS", "(?P<ns>[-a-z0-9]+)").replace("NAME", f"(?P<name>{names.NAME_PATTERN.strip('^$')})")
    found = re.fullmatch(pattern, secret)
    return (found.groupdict().get("ns"), found["name"]) if found else None


@example(NamespacedName("search", "chat"))
@given(KEYS)
def test_no_two_secrets_share_a_name(key: NamespacedName) -> None:
    """Whatever the namespace: the operator's and the gateways' may have endpoints and clients, too."""
    for derive, other in itertools.product(SECRETS, repeat=2):
        found = owner(derive(key), other)
        if derive is other:
            assert found in ((key.namespace, key.name), (None, key.name))
        else:
            assert found is None, (derive.__name__, other.__name__)


@pytest.mark.parametrize("fixed", sorted(FIXED))
@pytest.mark.parametrize("derive", SECRETS)
def test_no_object_gets_a_secret_that_nightlatch_has_for_itself(fixed: str, derive) -> None:
    assert owner(fixed, derive) is None


def test_every_function_that_names_a_secret_is_among_them() -> None:
    """What names a Service or a ServiceAccount is no Secret."""
    others = {names.pods_service, names.service_account}
    derived = {
        each
        for each in vars(names).values()
        if inspect.isfunction(each) and list(inspect.signature(each).parameters) in (["endpoint"], ["client"])
    }
    assert derived - others == set(SECRETS)
    assert FIXED
