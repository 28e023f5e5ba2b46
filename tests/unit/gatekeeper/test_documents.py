"""Documents from a real store over files: lists, watches, deletions, what cannot be read, silence."""

import asyncio
import base64
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest

from nightlatch.api import names
from nightlatch.api.meta import SECRET, NamespacedName, ObjectRef
from nightlatch.gatekeeper.documents import DocumentChanges, Documents
from nightlatch.informer import WatchEvent
from nightlatch.pki.ca import new_root
from nightlatch.store.files import store as files_store
from nightlatch.store.files.store import FilesStore
from nightlatch.wire import caller_errors
from nightlatch.wire.issuer_document import IssuerDocument, encode_issuer
from nightlatch.wire.revocations import Revocations, encode_revocations
from nightlatch.wire.route_document import DOCUMENT_JSON, FORMAT, RouteDocument, encode
from tests.unit.wire.test_issuer_document import issuer_document

NAMESPACE = "nightlatch-gateway"
CA = new_root(now=datetime.now(UTC)).trust_pem.decode()
KEY = NamespacedName("search", "minilm")
DOCUMENT = RouteDocument(
    endpoint=KEY,
    uid="u",
    sequence=1,
    hosts=("minilm.search.localhost",),
    operations=(),
    upstream_identity="spiffe://nightlatch.local/ns/search/ie/minilm",
    server_certificate="-----BEGIN CERTIFICATE-----",
    server_private_key="-----BEGIN PRIVATE KEY-----",
    upstream_ca=CA,
)


def secret(document: RouteDocument, **data: bytes) -> dict[str, Any]:
    entries = {**encode(document), **{name.replace("_", "."): value for name, value in data.items()}}
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": names.route_document(document.endpoint),
            "namespace": NAMESPACE,
            "labels": {names.LABEL_ROLE: names.ROLE_ROUTE_DOCUMENT},
        },
        "data": {name: base64.b64encode(value).decode() for name, value in entries.items()},
    }


async def eventually(condition: Callable[[], Any]) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.01)


@pytest.fixture
def store(tmp_path):
    return FilesStore(tmp_path / "state")


@pytest.fixture
async def documents(store):
    news: list[DocumentChanges] = []
    documents = Documents(store, NAMESPACE, news.append, time.monotonic)
    await store.create(secret(DOCUMENT))
    await documents.load()
    following = asyncio.create_task(documents.follow())
    yield documents
    following.cancel()
    await asyncio.gather(following, return_exceptions=True)


async def test_changes_and_deletions_follow_the_store(store, documents) -> None:
    assert documents.routes == {KEY: DOCUMENT}
    await store.replace(secret(replace(DOCUMENT, sequence=2)))
    await eventually(lambda: documents.routes[KEY].sequence == 2)
    await store.delete(ObjectRef("Secret", NamespacedName(NAMESPACE, names.route_document(KEY))))
    await eventually(lambda: not documents.routes)


async def test_an_expired_watch_is_made_good_by_a_new_list(store, documents) -> None:
    await store.replace(secret(replace(DOCUMENT, sequence=2)))
    store.compact()
    await store.replace(secret(replace(DOCUMENT, sequence=3)))
    store.compact()
    await eventually(lambda: documents.routes[KEY].sequence == 3)


async def test_an_unreadable_document_denies_and_a_good_one_restores(store, documents) -> None:
    await store.replace(secret(DOCUMENT, document_json=b"not JSON"))
    await eventually(lambda: documents.routes[KEY].denied == caller_errors.POLICY_INVALID.code)
    assert names.route_document(KEY) in documents.unreadable
    await store.replace(secret(replace(DOCUMENT, sequence=3)))
    await eventually(lambda: documents.routes[KEY] == replace(DOCUMENT, sequence=3))
    assert documents.unreadable == {}


async def test_a_damaged_trust_bundle_is_reported_and_the_rest_of_its_document_is_enforced(store, documents) -> None:
    for number, bundle in enumerate((CA.replace("M", "%", 3), CA + "-----BEGIN CERTIFICATE-----\nMIIB"), start=2):
        damaged = replace(DOCUMENT, sequence=number, upstream_ca=bundle)
        await store.replace(secret(damaged))
        await eventually(lambda number=number: documents.routes[KEY].sequence == number)
        assert documents.routes[KEY] == damaged
        assert "upstream-ca.crt is not a bundle of certificates" in documents.unreadable[names.route_document(KEY)]
        assert documents.too_new == set()
    await store.replace(secret(replace(DOCUMENT, sequence=9)))
    await eventually(lambda: not documents.unreadable)


async def test_a_document_in_another_endpoints_secret_is_not_taken(store, documents) -> None:
    stolen = secret(replace(DOCUMENT, hosts=("evil.localhost",)))
    stolen["metadata"]["name"] = names.route_document(NamespacedName("evil", "x"))
    await store.create(stolen)
    await eventually(lambda: documents.unreadable)
    assert documents.routes == {KEY: DOCUMENT}


async def test_secrets_without_our_label_are_none_of_our_business(store, documents) -> None:
    foreign = secret(replace(DOCUMENT, endpoint=NamespacedName("search", "other")))
    foreign["metadata"]["labels"] = {}
    await store.create(foreign)
    await store.replace(secret(replace(DOCUMENT, sequence=2)))
    await eventually(lambda: documents.routes[KEY].sequence == 2)
    assert list(documents.routes) == [KEY]


def test_age_counts_from_the_last_answer_of_the_store(store) -> None:
    now = [100.0]
    documents = Documents(store, NAMESPACE, lambda _: None, lambda: now[0])
    now[0] = 190.0
    assert documents.age == 90
    assert SECRET.kind == "Secret"


class Deaf(FilesStore):
    """Lists as before; its watches tell nothing, as on a connection that is half open."""

    async def watch(self, *_: Any, **__: Any) -> AsyncIterator[WatchEvent]:
        await asyncio.Event().wait()
        yield WatchEvent("Added", {}, "")


async def test_a_deaf_watch_never_looks_fresh(tmp_path, monkeypatch) -> None:
    now = [0.0]
    documents = Documents(Deaf(tmp_path / "state"), NAMESPACE, lambda _: None, lambda: now[0])
    await documents.load()
    following = asyncio.create_task(documents.follow())
    started, real_sleep = time.monotonic(), asyncio.sleep
    # Let everything that waits for some time wait for none.
    monkeypatch.setattr(asyncio, "sleep", lambda _: real_sleep(0.001))
    while time.monotonic() < started + 0.3:
        now[0] += 1.0
        await real_sleep(0.001)
    assert documents.age == now[0]
    following.cancel()
    await asyncio.gather(following, return_exceptions=True)


async def test_bookmarks_of_a_quiet_store_keep_its_documents_fresh(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(files_store, "BOOKMARK_SECONDS", 0.05)
    FilesStore(tmp_path / "state")
    now = [0.0]
    documents = Documents(FilesStore(tmp_path / "state", read_only=True), NAMESPACE, lambda _: None, lambda: now[0])
    await documents.load()
    following = asyncio.create_task(documents.follow())
    now[0] = 60.0
    await eventually(lambda: documents.age == 0)
    # A bookmark says that the store can be read, which an unchanged journal alone does not.
    (tmp_path / "state" / "lock").unlink()
    now[0] = 120.0
    await asyncio.sleep(0.3)
    assert documents.age >= 60
    following.cancel()
    await asyncio.gather(following, return_exceptions=True)


async def test_a_new_list_is_one_change(tmp_path) -> None:
    store, news = FilesStore(tmp_path / "state"), list[DocumentChanges]()
    for number in range(3):
        await store.create(secret(replace(DOCUMENT, endpoint=NamespacedName("search", f"e{number}"))))
    await Documents(store, NAMESPACE, news.append, time.monotonic).load()
    assert [len(changes.endpoints) for changes in news] == [3]


def too_new(document: RouteDocument, **members: Any) -> dict[str, Any]:
    """The document in the format of the next release, with a body that this one cannot know."""
    json = orjson.loads(encode(document, FORMAT + 1)[DOCUMENT_JSON]) | {"body": {"policy": "?"}} | members
    return secret(document, document_json=orjson.dumps(json))


async def test_a_document_that_is_too_new_leaves_the_last_good_one_in_force(store, documents) -> None:
    name = names.route_document(KEY)
    await store.replace(too_new(replace(DOCUMENT, sequence=5, takes_away_since=1)))
    await eventually(lambda: documents.too_new == {names.route_document(KEY)})
    await eventually(lambda: documents.unreadable)
    assert documents.routes == {KEY: DOCUMENT}
    assert documents.unreadable[name].startswith(f"format {FORMAT + 1} is newer than {FORMAT}")
    await store.replace(secret(replace(DOCUMENT, sequence=6)))
    await eventually(lambda: documents.routes[KEY].sequence == 6)
    assert documents.unreadable == {}


async def test_a_document_that_is_too_new_denies_if_it_took_something_away(store, documents) -> None:
    await store.replace(too_new(replace(DOCUMENT, sequence=5, takes_away_since=2, hosts=("new.search.localhost",))))
    await eventually(lambda: documents.routes[KEY].denied == caller_errors.POLICY_INVALID.code)
    denied = documents.routes[KEY]
    assert (denied.hosts, denied.keys) == (("new.search.localhost",), ())
    assert denied.server_certificate == DOCUMENT.server_certificate
    # An addition after it takes nothing back.
    await store.replace(too_new(replace(DOCUMENT, sequence=6, takes_away_since=2)))
    await eventually(lambda: documents.routes[KEY].sequence == 6)
    assert documents.routes[KEY].denied


async def test_the_last_good_document_returns_if_only_additions_were_missed(store, documents) -> None:
    await store.replace(secret(DOCUMENT, document_json=b"not JSON"))
    await eventually(lambda: documents.routes[KEY].denied)
    await store.replace(too_new(replace(DOCUMENT, sequence=5, takes_away_since=1)))
    await eventually(lambda: documents.routes[KEY] == DOCUMENT)


async def test_an_endpoint_first_seen_in_a_document_that_is_too_new_answers_503(tmp_path) -> None:
    store = FilesStore(tmp_path / "state")
    await store.create(too_new(replace(DOCUMENT, takes_away_since=1)))
    documents = Documents(store, NAMESPACE, lambda _: None, time.monotonic)
    await documents.load()
    assert documents.routes[KEY].denied == caller_errors.POLICY_INVALID.code
    assert documents.routes[KEY].hosts == DOCUMENT.hosts


async def test_an_endpoint_was_never_read_until_a_document_of_a_known_format_comes(store, documents) -> None:
    other = replace(DOCUMENT, endpoint=NamespacedName("search", "other"))
    await store.create(too_new(other, takesAwaySince=1))
    await eventually(lambda: documents.never_read == {other.endpoint})
    await store.replace(secret(replace(other, sequence=2)))
    await eventually(lambda: not documents.never_read)
    assert documents.too_new == set()
    # From now on there is a last good one, also while something that was taken away denies the calls.
    await store.replace(too_new(replace(other, sequence=3, takes_away_since=3)))
    await eventually(lambda: documents.routes[other.endpoint].denied)
    assert not documents.never_read


async def test_an_endpoint_that_is_gone_waits_for_no_document(store, documents) -> None:
    other = replace(DOCUMENT, endpoint=NamespacedName("search", "other"))
    await store.create(too_new(other))
    await eventually(lambda: documents.never_read == {other.endpoint})
    await store.delete(ObjectRef(SECRET.kind, NamespacedName(NAMESPACE, names.route_document(other.endpoint))))
    await eventually(lambda: not documents.never_read)


async def test_a_gateway_of_the_next_release_reads_every_format_of_this_one(tmp_path) -> None:
    store = FilesStore(tmp_path / "state")
    documents = Documents(store, NAMESPACE, lambda _: None, time.monotonic, reads=FORMAT + 1)
    for number, format_ in enumerate((1, 2, 3)):
        document = replace(DOCUMENT, endpoint=NamespacedName("search", f"e{number}"))
        await store.create(secret(document, document_json=encode(document, format_)[DOCUMENT_JSON]))
    await documents.load()
    assert len(documents.routes) == 3
    assert not documents.unreadable


def revocations_secret(sequence: int, *keys: str, role: str = names.ROLE_REVOCATIONS) -> dict[str, Any]:
    data = encode_revocations(Revocations(sequence, frozenset({NamespacedName("search", "bot")}), frozenset(keys)))
    metadata = {"name": names.REVOCATIONS_SECRET, "namespace": NAMESPACE, "labels": {names.LABEL_ROLE: role}}
    encoded = {name: base64.b64encode(value).decode() for name, value in data.items()}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": encoded}


async def test_revocations_are_taken_and_those_that_cannot_be_read_leave_the_last_in_force(store, tmp_path) -> None:
    news: list[DocumentChanges] = []
    documents = Documents(store, NAMESPACE, news.append, time.monotonic)
    await store.create(revocations_secret(3, "a"))
    await documents.load()
    assert news == [DocumentChanges(revocations=True)]
    assert documents.revocations == Revocations(3, frozenset({NamespacedName("search", "bot")}), frozenset({"a"}))
    broken = revocations_secret(4)
    broken["data"] = {"revocations.json": base64.b64encode(b"{}").decode()}
    await store.replace(broken)
    await documents.load()
    assert documents.revocations.sequence == 3
    assert names.REVOCATIONS_SECRET in documents.unreadable
    await store.delete(ObjectRef("Secret", NamespacedName(NAMESPACE, names.REVOCATIONS_SECRET)))
    await documents.load()
    assert documents.revocations.sequence == 3


async def test_a_deaf_watch_is_noticed_by_the_sequence_that_the_leader_knows(tmp_path) -> None:
    store = Deaf(tmp_path / "state")
    documents = Documents(store, NAMESPACE, lambda _: None, time.monotonic)
    await store.create(secret(DOCUMENT))
    await documents.load()
    following = asyncio.create_task(documents.follow())
    await asyncio.sleep(0.05)
    await store.replace(secret(replace(DOCUMENT, sequence=2)))
    started = time.monotonic()
    documents.expect({names.route_document(KEY): 2}, complete=True)
    while documents.routes[KEY].sequence != 2:
        documents.catch_up()
        assert time.monotonic() - started < 5
        await asyncio.sleep(0.05)
    assert time.monotonic() - started >= 1
    await store.delete(ObjectRef("Secret", NamespacedName(NAMESPACE, names.route_document(KEY))))
    documents.expect({names.route_document(KEY): 0}, complete=False)
    while documents.routes:
        documents.catch_up()
        assert time.monotonic() - started < 10
        await asyncio.sleep(0.05)
    following.cancel()
    await asyncio.gather(following, return_exceptions=True)


async def test_a_sequence_that_never_comes_costs_fewer_and_fewer_lists(tmp_path) -> None:
    now = [0.0]
    documents = Documents(FilesStore(tmp_path / "state"), NAMESPACE, lambda _: None, lambda: now[0])
    lists: list[float] = []
    documents._informer.relist = lambda: lists.append(now[0])
    documents.expect({names.route_document(KEY): 2}, complete=True)
    for _ in range(100):
        now[0] += 1.0
        documents.catch_up()
    assert lists == [1, 3, 7, 15, 31, 61, 91]
    documents.expect({}, complete=True)
    documents.catch_up()
    now[0] += 100
    documents.catch_up()
    assert len(lists) == 7


ISSUER = issuer_document(NamespacedName("ids", "corp"))


def issuer_secret(document: IssuerDocument, name: str = "issuer.ids.corp") -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": name,
            "namespace": NAMESPACE,
            "labels": {names.LABEL_ROLE: names.ROLE_ISSUER_DOCUMENT},
        },
        "data": {key: base64.b64encode(value).decode() for key, value in encode_issuer(document).items()},
    }


async def test_an_issuer_that_cannot_be_read_verifies_nothing_and_harms_no_endpoint(store, tmp_path) -> None:
    news: list[DocumentChanges] = []
    documents = Documents(store, NAMESPACE, news.append, time.monotonic)
    await store.create(secret(DOCUMENT))
    await store.create(issuer_secret(ISSUER))
    await documents.load()
    assert news == [DocumentChanges(frozenset({KEY}), issuers=True)]
    assert documents.issuers == {ISSUER.issuer: ISSUER}
    broken = issuer_secret(ISSUER)
    broken["data"] = {"issuer.json": base64.b64encode(b"{}").decode()}
    await store.replace(broken)
    await documents.load()
    assert (documents.issuers, list(documents.unreadable)) == ({}, ["issuer.ids.corp"])
    assert news[1:] == [DocumentChanges(issuers=True)]
    await store.replace(issuer_secret(ISSUER))
    await documents.load()
    assert (documents.issuers, documents.unreadable) == ({ISSUER.issuer: ISSUER}, {})
    await store.delete(ObjectRef("Secret", NamespacedName(NAMESPACE, "issuer.ids.corp")))
    await documents.load()
    assert (documents.issuers, len(news)) == ({}, 4)
    assert documents.routes == {KEY: DOCUMENT}


async def test_an_issuer_in_another_issuers_secret_is_not_taken(store, tmp_path) -> None:
    documents = Documents(store, NAMESPACE, lambda _: None, time.monotonic)
    await store.create(issuer_secret(ISSUER, "issuer.other.corp"))
    await documents.load()
    assert documents.issuers == {}
