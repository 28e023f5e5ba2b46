"""A copy that is there at once, follows every change, and outlives an API server that fails."""

import asyncio
import contextlib

from nightlatch.api.meta import NamespacedName
from nightlatch.informer import Timing
from nightlatch.kube.cache import ObjectCache
from nightlatch.kube.cache_group import CacheGroup
from tests.unit.kube.stand_in_api import StandInApi, event, listing, pod, status

A, B = NamespacedName("search", "a"), NamespacedName("search", "b")


IMPATIENT = Timing(sleep=lambda _: asyncio.sleep(0.01))


@contextlib.asynccontextmanager
async def followed(api):
    """A cache that is synced, and what its listener heard."""
    async with api.serving() as connection:
        cache, heard = ObjectCache(connection, "/api/v1/pods", {"labelSelector": "a=b"}, timing=IMPATIENT), []
        cache.add_listener(lambda obj: heard.append((obj["metadata"]["name"], obj["metadata"]["resourceVersion"])))
        await cache.synced()
        yield cache, heard
        await cache.close()


async def until(condition):
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.001)


def names(cache):
    return sorted(obj["metadata"]["name"] for obj in cache.values())


async def test_events_change_the_copy_and_are_told():
    api = StandInApi(lambda _: listing(5, pod("a", 3)))
    async with followed(api) as (cache, heard):
        assert cache.get(A)["metadata"]["resourceVersion"] == "3"
        assert cache.connected
        await until(lambda: api.watches)
        api.watches[0].send(event("ADDED", pod("b", 6)), event("MODIFIED", pod("a", 7)), event("DELETED", pod("b", 8)))
        await until(lambda: len(heard) == 4)
        assert (names(cache), cache.get(A)["metadata"]["resourceVersion"]) == (["a"], "7")
        # One that went is told as it was last seen.
        assert heard == [("a", "3"), ("b", "6"), ("a", "7"), ("b", "6")]
    assert all(request.query["labelSelector"] == "a=b" for request in api.requests)


async def test_a_watch_that_ends_goes_on_where_it_was_without_a_list():
    api = StandInApi(lambda _: listing(5))
    async with followed(api) as (cache, heard):
        await until(lambda: api.watches)
        # A bookmark moves on and is no object.
        api.watches[0].send(event("ADDED", pod("a", 6)), event("BOOKMARK", {"metadata": {"resourceVersion": "40"}}))
        api.watches[0].end()
        await until(lambda: len(api.watches) == 2)
        assert [watch.since for watch in api.watches] == ["5", "40"]
        assert (heard, names(cache)) == ([("a", "6")], ["a"])
    assert sum("watch" not in request.query for request in api.requests) == 1


async def test_after_expiry_a_list_tells_what_went_meanwhile():
    api = StandInApi(lambda _: listing(5, pod("a", 3), pod("b", 4)), lambda _: listing(90, pod("b", 80)))
    async with followed(api) as (cache, heard):
        await until(lambda: api.watches)
        api.watches[0].send(event("ERROR", {"code": 410, "reason": "Expired", "message": "too old"}))
        await until(lambda: len(api.watches) == 2)
        assert api.watches[1].since == "90"
        assert names(cache) == ["b"]
        assert heard == [("a", "3"), ("b", "4"), ("a", "3"), ("b", "80")]


async def test_while_the_api_is_away_the_last_copy_stays_and_says_so():
    answers = [lambda _: listing(5, pod("a", 3)), *[lambda _: status(503, "ServiceUnavailable", "away")] * 3]
    api = StandInApi(*answers, lambda _: listing(9, pod("b", 8)))
    async with followed(api) as (cache, _):
        await until(lambda: api.watches)
        api.watches[0].send(event("ERROR", {"code": 500, "message": "etcd"}))
        await until(lambda: not cache.connected)
        assert names(cache) == ["a"]
        await until(lambda: names(cache) == ["b"])
        assert cache.connected


async def test_what_no_api_server_sends_is_survived(caplog):
    api = StandInApi(lambda _: listing(5), lambda _: listing(9, pod("a", 8)))
    async with followed(api) as (cache, _):
        await until(lambda: api.watches)
        api.watches[0].send(b"{half a line\n")
        await until(lambda: names(cache) == ["a"])
        (record,) = [each for each in caplog.records if each.message == "cannot follow objects"]
        assert (record.objects, record.error) == ("/api/v1/pods", "JSONDecodeError")


async def test_a_first_list_that_fails_is_waited_for():
    api = StandInApi(lambda _: status(403, "Forbidden", "no"), lambda _: listing(5, pod("a", 3)))
    async with followed(api) as (cache, _):
        assert names(cache) == ["a"]


async def test_a_closed_cache_asks_nothing_more():
    api = StandInApi(lambda _: listing(5))
    async with followed(api) as (cache, _):
        await until(lambda: api.watches)
        await cache.close()
        api.watches[0].end()
        before = asyncio.all_tasks()
        await asyncio.sleep(0.05)
        assert len(api.watches) == 1
        assert cache._following.done()
        assert asyncio.all_tasks() <= before


async def test_several_namespaces_read_as_one():
    async def group(connection):
        caches = [ObjectCache(connection, f"/api/v1/namespaces/{name}/pods", {}) for name in ("search", "ml")]
        made = CacheGroup(caches)
        await made.synced()
        return made

    def listed(request):
        namespace = request.path.split("/")[4]
        return listing(5, pod("a", 3, namespace))

    api = StandInApi(listed)
    async with api.serving() as connection:
        both, heard = await group(connection), []
        both.add_listener(heard.append)
        assert sorted(obj["metadata"]["namespace"] for obj in both.values()) == ["ml", "search"]
        assert both.get(NamespacedName("ml", "a"))["metadata"]["namespace"] == "ml"
        assert both.get(NamespacedName("other", "a")) is None
        await until(lambda: len(api.watches) == 2)
        for watch in api.watches:
            watch.send(event("MODIFIED", pod("a", 9, "ml")))
        await until(lambda: len(heard) == 2)
        await both.close()
