"""What a change takes away from callers, and where a key is not accepted yet."""

from datetime import UTC, datetime

import pytest

from nightlatch.api.meta import NamespacedName
from nightlatch.planning.access.api_keys import key_grants
from nightlatch.planning.access.programmed import ANY_GATEWAY, key_coverage, may_still_accept
from nightlatch.planning.access.revocation import access_changed, granted_permissions, losing_endpoints
from nightlatch.planning.inputs import ClientView, DocumentKey, DocumentView, KeyCoverage, LiveKey
from nightlatch.scaling.runtime import EndpointRuntime
from tests.unit.planning.scene import KEY, client, endpoint, held

BOT = NamespacedName("search", "bot")
MINILM, OTHER = NamespacedName("search", "minilm"), NamespacedName("search", "other")
ENDPOINTS = {MINILM: endpoint()}
BOTH = {**ENDPOINTS, OTHER: endpoint(name="other")}


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


def document(*key_ids, endpoint=MINILM, sequence=7):
    keys = tuple(DocumentKey(key_id, "00" * 32) for key_id in key_ids)
    return DocumentView(endpoint, sequence, {BOT: keys} if keys else {})


def runtime(**members):
    reporting = {gateway: applied for gateway, applied in members.items() if applied is not None}
    return EndpointRuntime(applied=reporting, members=members)


HELD = document(KEY.key_id)


@pytest.mark.parametrize(
    ("subject", "found", "members", "expected"),
    [
        pytest.param(client(), document(), {"a": 7}, KeyCoverage((MINILM,), (), False), id="not in the document"),
        pytest.param(client(), None, {}, KeyCoverage((MINILM,), (), True), id="there is no document"),
        pytest.param(client(), HELD, {}, KeyCoverage((), (MINILM,), False, (ANY_GATEWAY,)), id="no gateway reports"),
        pytest.param(client(), HELD, {"a": 7, "b": 6}, KeyCoverage((), (MINILM,), False, ("b",)), id="one is behind"),
        pytest.param(client(), HELD, {"a": 7, "b": None}, KeyCoverage((), (), False, ("b",)), id="one says nothing"),
        pytest.param(client(), HELD, {"a": 7, "b": 8}, KeyCoverage(), id="every gateway has it"),
        pytest.param(client(suspend=True), HELD, {}, KeyCoverage(), id="suspended"),
        pytest.param(client(endpoints=({"name": "nobody"},)), HELD, {}, KeyCoverage(), id="no such endpoint"),
    ],
)
def test_where_a_key_is_accepted(subject, found, members, expected):
    documents = {MINILM: found} if found else {}
    key = LiveKey(KEY.key_id, "00" * 32)
    assert key_coverage(subject, key, ENDPOINTS, documents, {MINILM: runtime(**members)}) == expected


@pytest.mark.parametrize(
    ("documents", "members", "expected"),
    [
        pytest.param((), {"a": 7}, (), id="no document"),
        pytest.param((document(),), {"a": 7, "b": 9}, (), id="every gateway has the document without it"),
        pytest.param((document(),), {"a": 6, "b": 7}, ("a",), id="one is behind"),
        pytest.param((document(),), {"a": None, "b": 7}, ("a",), id="one says nothing"),
        pytest.param((document("other"),), {"a": 7}, (), id="another key"),
        pytest.param((HELD,), {"a": 7, "b": 7}, ("a", "b"), id="it is still in the document"),
        pytest.param((document(), document(KEY.key_id, endpoint=OTHER)), {"a": 7}, ("a",), id="in one of two"),
        pytest.param((document(),), {}, (ANY_GATEWAY,), id="no gateway reports"),
    ],
)
def test_which_gateways_may_still_accept_a_revoked_key(documents, members, expected):
    runtimes = {MINILM: runtime(**members), OTHER: runtime(**members)}
    assert may_still_accept(BOT, frozenset({KEY.key_id}), documents, runtimes) == expected


def test_a_suspended_client_is_accepted_as_long_as_a_document_has_any_key_of_it():
    runtimes = {MINILM: runtime(a=7)}
    assert may_still_accept(BOT, None, (document("any"),), runtimes) == ("a",)
    assert may_still_accept(BOT, None, (document(),), runtimes) == ()


def test_a_key_ends_at_the_end_of_its_overlap_or_at_expires_at_whichever_is_first():
    subject = client(apiKey={"expiresAt": "2026-03-01T00:00:00Z"})
    expires_at = int(datetime(2026, 3, 1, tzinfo=UTC).timestamp())
    for not_after, expected in ((None, expires_at), (expires_at - 5, expires_at - 5), (expires_at + 5, expires_at)):
        view = ClientView(subject, (LiveKey("k", "00" * 32, not_after),))
        assert [grant.not_after for grant in key_grants(endpoint(), (view,))] == [expected]
