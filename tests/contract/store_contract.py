"""What every store promises, whatever lies beneath. Subclass `StoreContract` in a test module and give the fixtures:

store            the store under test
namespace        the name of a namespace of this test's own, in which objects may be made
expired_version  a resourceVersion so old that a watch cannot be resumed from it

Nothing here knows of files or of Kubernetes.
"""

import asyncio
import base64
import copy
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from nightlatch.api.meta import INFERENCE_CLIENT, INFERENCE_ENDPOINT, SECRET, NamespacedName, ObjectRef, RawObject
from nightlatch.informer import Bookmark, ExpiredError, Informer, WatchEvent
from nightlatch.store.protocol import AlreadyExistsError, ConflictError, InvalidError, NotFoundError, Store
from nightlatch.store.source import StoreSource

SOON = 10.0


def endpoint(namespace: str, name: str = "minilm", **spec: object) -> RawObject:
    """A valid InferenceEndpoint."""
    return {
        "apiVersion": INFERENCE_ENDPOINT.api_version,
        "kind": INFERENCE_ENDPOINT.kind,
        "metadata": {"name": name, "namespace": namespace, "labels": {"team": "search"}},
        "spec": {"model": {"source": {"path": "/models/minilm"}}, "access": {"apiKey": {}}, **spec},
    }


def a_status(**fields: Any) -> dict[str, Any]:
    """A valid status of an InferenceEndpoint."""
    return {"conditions": [], "certificates": [], **fields}


def secret(namespace: str, name: str = "key", **data: bytes) -> RawObject:
    """A Secret."""
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name, "namespace": namespace},
        "type": "Opaque",
        "data": {key: base64.b64encode(value).decode() for key, value in data.items()},
    }


def client(namespace: str, name: str = "bot") -> RawObject:
    """A valid InferenceClient."""
    return {
        "apiVersion": INFERENCE_CLIENT.api_version,
        "kind": INFERENCE_CLIENT.kind,
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"apiKey": {}, "endpoints": [{"name": "minilm"}]},
    }


class Follower:
    """Reads the changes that a watch tells, in the background, from the moment it is made."""

    def __init__(self, events: AsyncIterator[WatchEvent | Bookmark]) -> None:
        self.events: list[WatchEvent] = []
        self._changed = asyncio.Event()
        self._task = asyncio.create_task(self._read(events))

    async def _read(self, events: AsyncIterator[WatchEvent | Bookmark]) -> None:
        async for event in events:
            if isinstance(event, WatchEvent):
                self.events.append(event)
                self._changed.set()

    async def until(self, enough: Callable[[list[WatchEvent]], bool]) -> list[WatchEvent]:
        """The events so far, as soon as they are enough."""
        async with asyncio.timeout(SOON):
            while not enough(self.events):
                if self._task.done():
                    self._task.result()
                self._changed.clear()
                await self._changed.wait()
        return self.events

    async def next(self, count: int = 1) -> list[WatchEvent]:
        """The `count` events after those already taken."""
        taken = getattr(self, "_taken", 0)
        self._taken = taken + count
        return (await self.until(lambda events: len(events) >= taken + count))[taken : taken + count]

    async def stop(self) -> None:
        """End it."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)


@pytest.fixture
async def follow(store: Store, namespace: str):
    """Start a Follower of a kind in the test's namespace from now on, or from `since`."""
    followers: list[Follower] = []

    async def start(kind, since: str | None = None, labels=None) -> Follower:
        version = since or (await store.list(kind, namespace=namespace)).resource_version
        followers.append(Follower(store.watch(kind, since=version, namespace=namespace, labels=labels)))
        return followers[-1]

    yield start
    for follower in followers:
        await follower.stop()


def summary(events: list[WatchEvent]) -> list[tuple[str, str]]:
    return [(event.type, event.ref.key.name) for event in events]


class StoreContract:
    async def test_what_is_created_can_be_read(self, store: Store, namespace: str) -> None:
        created = await store.create(endpoint(namespace))
        assert await store.get(INFERENCE_ENDPOINT, namespace, "minilm") == created
        assert created["metadata"]["uid"]
        assert created["metadata"]["resourceVersion"]
        assert created["metadata"]["creationTimestamp"].endswith("Z")
        assert created["metadata"]["generation"] == 1

    async def test_what_was_read_is_the_reader_s_own(self, store: Store, namespace: str) -> None:
        await store.create(endpoint(namespace))
        read = await store.get(INFERENCE_ENDPOINT, namespace, "minilm")
        read["spec"]["model"]["source"]["path"] = "/elsewhere"
        again = await store.get(INFERENCE_ENDPOINT, namespace, "minilm")
        assert again["spec"]["model"]["source"] == {"path": "/models/minilm"}

    async def test_a_second_create_of_one_name_is_refused(self, store: Store, namespace: str) -> None:
        first = await store.create(endpoint(namespace))
        with pytest.raises(AlreadyExistsError, match="minilm"):
            await store.create(endpoint(namespace, requestTimeout="5s"))
        assert await store.get(INFERENCE_ENDPOINT, namespace, "minilm") == first

    async def test_of_two_that_create_one_name_at_once_one_wins(self, store: Store, namespace: str) -> None:
        outcomes = await asyncio.gather(
            *(store.create(secret(namespace, owner=str(n).encode())) for n in range(4)), return_exceptions=True
        )
        assert sum(isinstance(outcome, dict) for outcome in outcomes) == 1
        assert sum(isinstance(outcome, AlreadyExistsError) for outcome in outcomes) == 3

    async def test_what_is_not_there_is_not_found(self, store: Store, namespace: str) -> None:
        with pytest.raises(NotFoundError, match="absent"):
            await store.get(SECRET, namespace, "absent")
        with pytest.raises(NotFoundError):
            await store.replace(endpoint(namespace, "absent"))
        with pytest.raises(NotFoundError):
            await store.replace_status({**endpoint(namespace, "absent"), "status": a_status()})
        with pytest.raises(NotFoundError):
            await store.delete(ObjectRef.of(endpoint(namespace, "absent")))

    async def test_kinds_do_not_mix(self, store: Store, namespace: str) -> None:
        await store.create(endpoint(namespace, "same"))
        await store.create(client(namespace, "same"))
        await store.delete(ObjectRef.of(endpoint(namespace, "same")))
        assert (await store.get(INFERENCE_CLIENT, namespace, "same"))["kind"] == "InferenceClient"

    async def test_defaults_of_the_schema_are_filled_in(self, store: Store, namespace: str) -> None:
        created = await store.create(endpoint(namespace, scaling={"maxReplicas": 3}))
        assert created["spec"]["requestTimeout"] == "60s"
        assert created["spec"]["scaling"]["maxReplicas"] == 3
        assert created["spec"]["scaling"]["hold"] == {"timeout": "45s", "maxRequests": 256}

    async def test_a_null_is_a_field_left_out(self, store: Store, namespace: str) -> None:
        created = await store.create(endpoint(namespace, requestTimeout=None, rateLimit=None))
        assert created["spec"]["requestTimeout"] == "60s"
        assert "rateLimit" not in created["spec"]

    async def test_a_list_holds_one_kind_in_one_namespace(self, store: Store, namespace: str) -> None:
        await store.create(endpoint(namespace, "a"))
        await store.create(endpoint(namespace, "b"))
        await store.create(client(namespace, "c"))
        listing = await store.list(INFERENCE_ENDPOINT, namespace=namespace)
        assert sorted(item["metadata"]["name"] for item in listing.items) == ["a", "b"]
        everywhere = await store.list(INFERENCE_ENDPOINT)
        assert {"a", "b"} <= {
            item["metadata"]["name"] for item in everywhere.items if item["metadata"]["namespace"] == namespace
        }

    async def test_labels_select_by_equality_on_every_pair(self, store: Store, namespace: str) -> None:
        for name, labels in (("a", {"x": "1", "y": "2"}), ("b", {"x": "1"}), ("c", {})):
            await store.create(
                {**secret(namespace, name), "metadata": {"name": name, "namespace": namespace, "labels": labels}}
            )

        async def selected(labels: dict[str, str]) -> list[str]:
            listing = await store.list(SECRET, namespace=namespace, labels=labels)
            return sorted(item["metadata"]["name"] for item in listing.items)

        assert await selected({"x": "1"}) == ["a", "b"]
        assert await selected({"x": "1", "y": "2"}) == ["a"]
        assert await selected({"x": "2"}) == []

    async def test_generation_grows_with_the_spec_alone(self, store: Store, namespace: str) -> None:
        obj = await store.create(endpoint(namespace))
        obj["metadata"]["labels"] = {"team": "other"}
        relabelled = await store.replace(obj)
        assert relabelled["metadata"]["generation"] == 1
        assert relabelled["metadata"]["labels"] == {"team": "other"}
        relabelled["spec"]["requestTimeout"] = "5s"
        changed = await store.replace(relabelled)
        assert changed["metadata"]["generation"] == 2
        changed["status"] = a_status(url="https://minilm")
        assert (await store.replace_status(changed))["metadata"]["generation"] == 2

    async def test_every_change_has_a_version_of_its_own(self, store: Store, namespace: str) -> None:
        first = await store.create(endpoint(namespace))
        second = await store.replace({**first, "spec": {**first["spec"], "requestTimeout": "5s"}})
        third = await store.replace_status({**second, "status": a_status(url="https://minilm")})
        versions = [obj["metadata"]["resourceVersion"] for obj in (first, second, third)]
        assert len(set(versions)) == 3

    async def test_a_change_that_changes_nothing_is_none(self, store: Store, namespace: str, follow) -> None:
        created = await store.create(endpoint(namespace))
        follower = await follow(INFERENCE_ENDPOINT)
        replaced = await store.replace(created)
        assert replaced["metadata"]["resourceVersion"] == created["metadata"]["resourceVersion"]
        await store.create(endpoint(namespace, "next"))
        assert summary(await follower.next()) == [("Added", "next")]

    async def test_identity_cannot_be_rewritten(self, store: Store, namespace: str) -> None:
        created = await store.create(endpoint(namespace))
        changed = copy.deepcopy(created)
        changed["metadata"] |= {"generation": 77, "creationTimestamp": "2001-01-01T00:00:00Z"}
        changed["spec"]["requestTimeout"] = "5s"
        replaced = await store.replace(changed)
        assert replaced["metadata"]["generation"] == 2
        for field in ("uid", "creationTimestamp"):
            assert replaced["metadata"][field] == created["metadata"][field]

    async def test_status_is_apart_from_the_rest(self, store: Store, namespace: str) -> None:
        born = await store.create({**endpoint(namespace), "status": {"url": "https://forged"}})
        assert "url" not in born.get("status", {})
        with_status = await store.replace_status({**born, "status": a_status(url="https://minilm", replicas=1)})
        assert with_status["status"] == a_status(url="https://minilm", replicas=1)
        renewed = {
            **with_status,
            "spec": {**with_status["spec"], "requestTimeout": "5s"},
            "status": {"url": "https://forged"},
        }
        replaced = await store.replace(renewed)
        assert replaced["status"] == a_status(url="https://minilm", replicas=1)
        assert replaced["spec"]["requestTimeout"] == "5s"
        meddling = {
            **replaced,
            "spec": {**replaced["spec"], "requestTimeout": "9s"},
            "status": a_status(url="https://new"),
        }
        after = await store.replace_status(meddling)
        assert (after["spec"]["requestTimeout"], after["status"]) == ("5s", a_status(url="https://new"))

    async def test_a_stale_writer_is_told(self, store: Store, namespace: str) -> None:
        stale = await store.create(endpoint(namespace))
        await store.replace({**stale, "spec": {**stale["spec"], "requestTimeout": "5s"}})
        with pytest.raises(ConflictError, match="minilm"):
            await store.replace({**stale, "spec": {**stale["spec"], "requestTimeout": "9s"}})
        with pytest.raises(ConflictError):
            await store.replace_status({**stale, "status": a_status(url="https://late")})
        with pytest.raises(ConflictError):
            await store.delete(ObjectRef.of(stale), resource_version=stale["metadata"]["resourceVersion"])
        assert (await store.get(INFERENCE_ENDPOINT, namespace, "minilm"))["spec"]["requestTimeout"] == "5s"

    async def test_a_writer_without_a_version_overwrites(self, store: Store, namespace: str) -> None:
        await store.create(endpoint(namespace))
        replaced = await store.replace(endpoint(namespace, requestTimeout="7s"))
        assert replaced["spec"]["requestTimeout"] == "7s"

    async def test_an_object_made_anew_is_another_one(self, store: Store, namespace: str) -> None:
        old = await store.create(secret(namespace, **{"api-key": b"one"}))
        await store.delete(ObjectRef.of(old))
        new = await store.create(secret(namespace, **{"api-key": b"two"}))
        assert new["metadata"]["uid"] != old["metadata"]["uid"]
        foreign = {**secret(namespace, **{"api-key": b"three"})}
        foreign["metadata"]["uid"] = old["metadata"]["uid"]
        with pytest.raises(ConflictError):
            await store.replace(foreign)
        with pytest.raises(ConflictError):
            await store.delete(ObjectRef.of(old), uid=old["metadata"]["uid"])
        assert await store.get(SECRET, namespace, "key") == new
        await store.delete(ObjectRef.of(new), uid=new["metadata"]["uid"])
        with pytest.raises(NotFoundError):
            await store.get(SECRET, namespace, "key")

    async def test_a_secret_keeps_its_bytes_and_has_no_generation(self, store: Store, namespace: str) -> None:
        created = await store.create(secret(namespace, **{"tls.key": b"\x00\xff private"}))
        assert base64.b64decode(created["data"]["tls.key"]) == b"\x00\xff private"
        assert "generation" not in created["metadata"]

    async def test_plain_text_of_a_secret_becomes_data(self, store: Store, namespace: str) -> None:
        plain = {**secret(namespace), "stringData": {"token": "s3cret"}}
        created = await store.create(plain)
        assert created["data"] == {"token": base64.b64encode(b"s3cret").decode()}
        assert "stringData" not in created

    async def test_a_secret_s_type_stays(self, store: Store, namespace: str) -> None:
        created = await store.create(secret(namespace, a=b"b"))
        with pytest.raises(InvalidError) as caught:
            await store.replace({**created, "type": "example.com/other"})
        assert caught.value.causes[0][0] == "type"

    async def test_owner_references_stay_as_written(self, store: Store, namespace: str) -> None:
        owner = await store.create(endpoint(namespace))
        reference = {
            "apiVersion": owner["apiVersion"],
            "kind": owner["kind"],
            "name": "minilm",
            "uid": owner["metadata"]["uid"],
            "controller": True,
        }
        owned = secret(namespace)
        owned["metadata"]["ownerReferences"] = [reference]
        assert (await store.create(owned))["metadata"]["ownerReferences"] == [reference]

    async def test_a_watch_tells_changes_in_order(self, store: Store, namespace: str, follow) -> None:
        follower = await follow(INFERENCE_ENDPOINT)
        created = await store.create(endpoint(namespace, "a"))
        (added,) = await follower.next()
        assert (added.type, added.object) == ("Added", created)
        changed = await store.replace({**created, "spec": {**created["spec"], "requestTimeout": "5s"}})
        (modified,) = await follower.next()
        assert (modified.type, modified.object) == ("Modified", changed)
        with_status = await store.replace_status({**changed, "status": a_status(url="https://a")})
        (status,) = await follower.next()
        assert (status.type, status.object) == ("Modified", with_status)
        await store.delete(ObjectRef.of(created))
        (deleted,) = await follower.next()
        assert (deleted.type, deleted.ref) == ("Deleted", ObjectRef.of(created))
        assert deleted.object["metadata"]["uid"] == created["metadata"]["uid"]

    async def test_a_watch_sees_its_kind_and_namespace_only(self, store: Store, namespace: str, follow) -> None:
        follower = await follow(INFERENCE_CLIENT)
        await store.create(endpoint(namespace, "other-kind"))
        await store.create(client(namespace, "mine"))
        assert summary(await follower.next()) == [("Added", "mine")]

    async def test_a_watch_resumes_where_it_stopped(self, store: Store, namespace: str, follow) -> None:
        first = await store.create(endpoint(namespace, "a"))
        missed = await store.create(endpoint(namespace, "b"))
        await store.delete(ObjectRef.of(first))
        follower = await follow(INFERENCE_ENDPOINT, since=first["metadata"]["resourceVersion"])
        events = await follower.next(2)
        assert summary(events) == [("Added", "b"), ("Deleted", "a")]
        assert events[0].object == missed
        await store.create(endpoint(namespace, "c"))
        assert summary(await follower.next()) == [("Added", "c")]

    async def test_a_watch_resumes_after_any_event(self, store: Store, namespace: str, follow) -> None:
        follower = await follow(INFERENCE_ENDPOINT)
        await store.create(endpoint(namespace, "a"))
        await store.delete(ObjectRef.of(await store.create(endpoint(namespace, "b"))))
        told = list(await follower.until(lambda events: bool(events) and events[-1].type == "Deleted"))
        await store.create(endpoint(namespace, "c"))
        for number, event in enumerate(told):
            resumed = await follow(INFERENCE_ENDPOINT, since=event.resource_version)
            rest = await resumed.until(lambda events: ("Added", "c") in summary(events))
            # Changes of one object that lie in the past may be told as one.
            assert rest[-1].ref.key.name == "c"
            assert set(summary(rest[:-1])) <= set(summary(told[number + 1 :]))
            assert {each.ref for each in rest[:-1]} == {each.ref for each in told[number + 1 :]}

    async def test_versions_of_a_kind_are_integers_that_grow_with_every_change(
        self, store: Store, namespace: str, follow
    ) -> None:
        follower = await follow(INFERENCE_ENDPOINT)
        for _ in range(2):
            created = await store.create(endpoint(namespace))
            changed = await store.replace({**created, "spec": {**created["spec"], "requestTimeout": "5s"}})
            await store.replace_status({**changed, "status": a_status(url="https://a")})
            await store.delete(ObjectRef.of(created))
            await store.create(endpoint(namespace, f"another-{created['metadata']['uid']}"))
        events = await follower.until(lambda events: sum(event.type == "Deleted" for event in events) == 2)
        versions = [int(event.object["metadata"]["resourceVersion"]) for event in events]
        assert versions == sorted(set(versions))
        listing = await store.list(INFERENCE_ENDPOINT, namespace=namespace)
        assert int(listing.resource_version) >= versions[-1]

    async def test_an_informer_holds_what_is_there_however_it_came_about(self, store: Store, namespace: str) -> None:
        held: dict[NamespacedName, RawObject | None] = {}
        informer = Informer(StoreSource(store, INFERENCE_ENDPOINT, namespace), held.__setitem__, name="endpoints")
        for name in ("kept", "changed", "deleted", "made-again"):
            await store.create(endpoint(namespace, name))
        following = asyncio.create_task(informer.run())
        await asyncio.wait_for(informer.synced.wait(), SOON)
        for name in ("deleted", "made-again"):
            await store.delete(ObjectRef.of(endpoint(namespace, name)))
        await store.create(endpoint(namespace, "made-again"))
        await store.replace(endpoint(namespace, "changed", requestTimeout="5s"))
        await store.create(endpoint(namespace, "new"))
        there = {
            NamespacedName.of(item): item for item in (await store.list(INFERENCE_ENDPOINT, namespace=namespace)).items
        }
        async with asyncio.timeout(SOON):
            while held != {**there, NamespacedName(namespace, "deleted"): None}:
                await asyncio.sleep(0.01)
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)

    async def test_a_list_and_a_watch_from_it_miss_nothing(self, store: Store, namespace: str) -> None:
        writing = asyncio.create_task(self._write_many(store, namespace, 12))
        await asyncio.sleep(0)
        listing = await store.list(INFERENCE_ENDPOINT, namespace=namespace)
        seen = {item["metadata"]["name"] for item in listing.items}
        follower = Follower(store.watch(INFERENCE_ENDPOINT, since=listing.resource_version, namespace=namespace))
        await writing
        wanted = {f"e{n}" for n in range(12)}
        await follower.until(lambda events: seen | {event.ref.key.name for event in events} == wanted)
        await follower.stop()

    async def _write_many(self, store: Store, namespace: str, count: int) -> None:
        for number in range(count):
            await store.create(endpoint(namespace, f"e{number}"))

    async def test_the_last_state_is_always_told(self, store: Store, namespace: str, follow) -> None:
        follower = await follow(INFERENCE_ENDPOINT)
        obj = await store.create(endpoint(namespace))
        for number in range(1, 21):
            obj = await store.replace({**obj, "spec": {**obj["spec"], "requestTimeout": f"{number}s"}})
        events = await follower.until(lambda events: bool(events) and events[-1].object == obj)
        assert events[0].type == "Added"
        versions = [int(event.object["metadata"]["resourceVersion"]) for event in events]
        assert versions == sorted(versions)

    async def test_a_watch_with_labels_sees_objects_come_and_go(self, store: Store, namespace: str, follow) -> None:
        follower = await follow(SECRET, labels={"role": "key"})
        obj = await store.create(secret(namespace, "plain"))
        obj["metadata"]["labels"] = {"role": "key"}
        obj = await store.replace(obj)
        assert summary(await follower.next()) == [("Added", "plain")]
        obj["metadata"]["labels"] = {"role": "other"}
        await store.replace(obj)
        assert summary(await follower.next()) == [("Deleted", "plain")]

    async def test_several_watches_see_the_same(self, store: Store, namespace: str, follow) -> None:
        followers = [await follow(SECRET) for _ in range(3)]
        await store.create(secret(namespace, "one"))
        for follower in followers:
            assert summary(await follower.next()) == [("Added", "one")]

    async def test_a_watch_from_too_long_ago_says_so(self, store: Store, namespace: str, expired_version: str) -> None:
        watch = store.watch(INFERENCE_ENDPOINT, since=expired_version, namespace=namespace)
        with pytest.raises(ExpiredError, match="list again"):
            await asyncio.wait_for(anext(watch), SOON)

    async def test_an_unknown_field_is_refused(self, store: Store, namespace: str) -> None:
        with pytest.raises(InvalidError, match="unknown field") as caught:
            await store.create(endpoint(namespace, scaling={"maxReplica": 2}))
        assert "maxReplica" in str(caught.value)
        with pytest.raises(NotFoundError):
            await store.get(INFERENCE_ENDPOINT, namespace, "minilm")

    async def test_every_cause_is_named_with_its_path(self, store: Store, namespace: str) -> None:
        with pytest.raises(InvalidError) as caught:
            await store.create(endpoint(namespace, scaling={"idle": "Sometimes", "maxReplicas": 0}))
        assert {path for path, _ in caught.value.causes} == {"spec.scaling.idle", "spec.scaling.maxReplicas"}
        assert caught.value.ref.key.name == "minilm"

    async def test_a_replace_is_validated_as_a_create(self, store: Store, namespace: str) -> None:
        created = await store.create(endpoint(namespace))
        with pytest.raises(InvalidError) as caught:
            await store.replace({**created, "spec": {**created["spec"], "access": {}}})
        assert caught.value.causes[0][0] == "spec.access"
        assert await store.get(INFERENCE_ENDPOINT, namespace, "minilm") == created

    async def test_a_status_is_validated_too(self, store: Store, namespace: str) -> None:
        created = await store.create(endpoint(namespace))
        with pytest.raises(InvalidError) as caught:
            await store.replace_status({**created, "status": a_status(state="Dozing")})
        assert caught.value.causes[0][0] == "status.state"

    async def test_a_new_object_has_observed_nothing(self, store: Store, namespace: str) -> None:
        created = await store.create(endpoint(namespace))
        assert created["status"] == a_status(observedGeneration=0)
        assert (await store.get(INFERENCE_ENDPOINT, namespace, "minilm"))["status"] == created["status"]

    async def test_the_lists_of_a_status_are_required(self, store: Store, namespace: str) -> None:
        created = await store.create(endpoint(namespace))
        with pytest.raises(InvalidError) as caught:
            await store.replace_status({**created, "status": {"observedGeneration": 1}})
        assert {path for path, _ in caught.value.causes} == {"status.certificates", "status.conditions"}

    async def test_a_condition_keeps_its_shape(self, store: Store, namespace: str) -> None:
        created = await store.create(endpoint(namespace))
        condition = {
            "type": "Ready",
            "status": "True",
            "reason": "Asleep",
            "message": "asleep until an authenticated call",
            "observedGeneration": 1,
            "lastTransitionTime": "2026-01-01T00:00:00Z",
        }
        updated = await store.replace_status({**created, "status": a_status(conditions=[condition])})
        assert updated["status"]["conditions"] == [condition]

    async def test_a_bad_name_is_refused(self, store: Store, namespace: str) -> None:
        for name in ("Upper", "-dash", "a" * 59, "dotted.name"):
            with pytest.raises(InvalidError) as caught:
                await store.create(endpoint(namespace, name))
            assert caught.value.causes[0][0] == "metadata.name"
