"""Who comes first where not every endpoint that asks for certificates can have a filter chain, and who is next."""

import pytest

from nightlatch.api import names
from nightlatch.api.meta import NamespacedName, ObjectRef
from nightlatch.controller.apply import secret_object
from nightlatch.controller.index import Index
from nightlatch.planning.plan import OwnedSecret, Owner
from nightlatch.wire.route_document import RouteDocument, encode
from tests.unit.controller.test_index import stored
from tests.unit.controller.world import SETTINGS, endpoint_object

OLD, MIDDLE, NEW, PLAIN = (NamespacedName("search", name) for name in ("old", "middle", "new", "plain"))
DAYS = {OLD: 1, MIDDLE: 2, NEW: 3, PLAIN: 4}


def declared(key, generation=1, **access):
    found = stored(endpoint_object(key, access=access or {"mtls": {}}), generation, uid=f"uid-{key.name}")
    found["metadata"]["creationTimestamp"] = f"2026-01-0{DAYS[key]}T00:00:00Z"
    return found


def document(key, *, certificates=True):
    """The route document of an endpoint, which has its chain then."""
    pem = "-----BEGIN CERTIFICATE-----\n"
    found = RouteDocument(
        endpoint=key,
        uid=f"uid-{key.name}",
        sequence=1,
        hosts=(f"{key.name}.search.localhost",),
        operations=(),
        upstream_identity="spiffe://nightlatch.local/x",
        keys=(),
        accept=(("mtls",),) if certificates else (),
        server_certificate=pem,
        server_private_key=pem,
        upstream_ca=pem,
        client_ca=pem if certificates else "",
    )
    owner = Owner(ObjectRef("InferenceEndpoint", key), f"uid-{key.name}", "nightlatch.dev/v1alpha1")
    secret = NamespacedName(SETTINGS.gateway_namespace, names.route_document(key))
    return stored(secret_object(OwnedSecret(secret, names.ROLE_ROUTE_DOCUMENT, owner), encode(found)), uid="uid-d")


@pytest.fixture
def index():
    """Three endpoints that ask for certificates, and one that does not. None has a document yet."""
    index = Index(SETTINGS)
    for key in (NEW, OLD, MIDDLE):
        index.put(declared(key))
    index.put(declared(PLAIN, apiKey={}))
    return index


def before(index):
    return {key.name: index.chains_before(key) for key in DAYS}


def requeued(found):
    return {each.ref.key for each in found if each.ref.kind == "InferenceEndpoint"}


def test_older_ones_come_first_and_who_has_a_chain_keeps_it(index):
    assert before(index) == {"old": 0, "middle": 1, "new": 2, "plain": 0}
    index.put(document(NEW))
    assert before(index) == {"old": 1, "middle": 2, "new": 0, "plain": 0}
    # It does not ask any more, but the gateways have its chain until there is another document.
    index.put(declared(NEW, 2, apiKey={}))
    assert before(index) == {"old": 1, "middle": 2, "new": 0, "plain": 0}
    index.put(document(NEW, certificates=False))
    assert before(index) == {"old": 0, "middle": 1, "new": 0, "plain": 0}


@pytest.mark.parametrize("how", ["deleted", "edited", "its document deleted", "its document written"])
def test_those_that_wait_are_looked_at_again_when_another_leaves(index, how):
    for key in (OLD, MIDDLE):
        index.put(document(key))
    secret = ObjectRef("Secret", NamespacedName(SETTINGS.gateway_namespace, names.route_document(OLD)))
    found = {
        "deleted": lambda: index.drop(ObjectRef("InferenceEndpoint", OLD)),
        "edited": lambda: index.put(declared(OLD, 2, apiKey={})),
        "its document deleted": lambda: index.drop(secret),
        "its document written": lambda: index.put(document(OLD, certificates=False)),
    }[how]()
    assert NEW in requeued(found)
    assert not {MIDDLE, PLAIN} & requeued(found)


def test_one_that_comes_or_changes_otherwise_touches_nobody_else(index):
    assert requeued(index.put(document(OLD))) == {OLD}
    assert requeued(index.put(declared(OLD, 2, mtls={}, apiKey={}))) == {OLD}
