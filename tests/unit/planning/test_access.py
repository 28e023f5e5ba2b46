"""What a change takes away from callers, and where a key is not accepted yet."""

from dataclasses import replace

import pytest

from nightlatch.api.meta import NamespacedName
from nightlatch.planning.access.programmed import missing_and_behind
from nightlatch.planning.access.revocation import access_changed, granted_permissions, losing_endpoints
from nightlatch.planning.inputs import ClientView
from nightlatch.scaling.runtime import EndpointRuntime
from tests.unit.planning.scene import KEY, client, endpoint, held

MINILM = NamespacedName("search", "minilm")
ENDPOINTS = {MINILM: endpoint()}
BOTH = {**ENDPOINTS, NamespacedName("search", "other"): endpoint(name="other")}


def lost(before, after, endpoints_after=ENDPOINTS):
    return losing_endpoints(granted_permissions(before, ENDPOINTS), granted_permissions(after, endpoints_after))


@pytest.mark.parametrize(
    "after",
    [
        pytest.param(None, id="the client is gone"),
        pytest.param(ClientView(client()), id="the key is gone"),
        pytest.param(held(client(suspend=True)), id="suspended"),
        pytest.param(held(client(apiKey={"revokedKeyIds": [KEY.key_id]})), id="the key is revoked"),
        pytest.param(held(client(endpoints=({"name": "other"},))), id="another endpoint is named"),
        pytest.param(held(client(endpoints=({"name": "minilm", "permissions": ["infer"]},))), id="fewer permissions"),
    ],
)
def test_what_takes_from_a_client_names_the_endpoint(after):
    assert lost(held(), after) == {MINILM}


def test_an_endpoint_that_is_gone_is_lost():
    assert lost(held(), held(), {}) == {MINILM}


def test_more_permissions_and_more_endpoints_take_nothing_away():
    narrow = held(client(endpoints=({"name": "minilm", "permissions": ["infer"]},)))
    assert lost(narrow, held(client(endpoints=({"name": "minilm"}, {"name": "other"}))), BOTH) == frozenset()


def test_only_an_endpoint_that_was_there_can_take_access_away():
    narrower = endpoint(access={"apiKey": {}, "allowedNamespaces": {"from": "Names", "names": ["b"]}})
    assert access_changed(endpoint(), narrower)
    assert not access_changed(endpoint(), endpoint(scaling={"idleAfter": "1m"}))
    assert not access_changed(None, narrower)


@pytest.mark.parametrize(
    ("view", "sequences", "applied", "expected"),
    [
        pytest.param(held(), {}, {}, ((MINILM,), ()), id="not in the document"),
        pytest.param(held(), {MINILM: 7}, {}, ((), (MINILM,)), id="no gateway reports"),
        pytest.param(held(), {MINILM: 7}, {"a": 7, "b": 6}, ((), (MINILM,)), id="one gateway is behind"),
        pytest.param(held(), {MINILM: 7}, {"a": 7, "b": 8}, ((), ()), id="every gateway has it"),
        pytest.param(ClientView(client()), {}, {}, ((), ()), id="no key"),
        pytest.param(held(client(suspend=True)), {}, {}, ((), ()), id="suspended"),
        pytest.param(held(client(endpoints=({"name": "nobody"},))), {}, {}, ((), ()), id="no such endpoint"),
    ],
)
def test_where_a_key_is_not_accepted_yet(view, sequences, applied, expected):
    runtimes = {MINILM: replace(EndpointRuntime(), applied=applied)}
    assert missing_and_behind(view, ENDPOINTS, sequences, runtimes) == expected
