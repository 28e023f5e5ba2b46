"""A watch that is deaf is given up, one that ends at once is not asked for again and again, and no two end together."""

import asyncio
import socket

import pytest

from nightlatch.api.meta import SECRET, NamespacedName
from nightlatch.informer import Bookmark, Informer, Timing
from nightlatch.kube.cache import ObjectCache
from nightlatch.kube.client import WATCH_SILENCE_S, keepalive_socket
from nightlatch.kube.collection import Collection
from nightlatch.kube.errors import ApiServerError
from nightlatch.store.kubernetes.store import KubernetesStore
from nightlatch.store.protocol import UnavailableError
from nightlatch.store.source import StoreSource
from tests.unit.kube.stand_in_api import StandInApi, event, listing, pod
from tests.unit.kube.test_cache import until

BOOKMARK = event("BOOKMARK", {"metadata": {"resourceVersion": "7"}})


class EndingAtOnce(StandInApi):
    """Answers every watch with nothing, and its end."""

    async def _answer(self, request):
        answering = asyncio.create_task(super()._answer(request))
        if request.query.get("watch"):
            await until(lambda: len(self.watches) == sum("watch" in each.query for each in self.requests))
            self.watches[-1].end()
        return await answering


async def test_a_deaf_watch_ends_and_a_list_finds_what_it_did_not_tell():
    api = StandInApi(lambda _: listing(5, pod("a", 3)), lambda _: listing(9, pod("a", 8)))
    async with api.serving(watch_silence=0.2) as connection:
        cache = ObjectCache(connection, "/api/v1/pods", {}, timing=Timing(sleep=lambda _: asyncio.sleep(0)))
        await cache.synced()
        await until(lambda: cache.get(NamespacedName("search", "a"))["metadata"]["resourceVersion"] == "8")
        await cache.close()


async def test_bookmarks_keep_a_quiet_watch_open():
    api = StandInApi(lambda _: listing(5))
    async with api.serving(watch_silence=0.5) as connection:
        reading = asyncio.ensure_future(take(Collection(connection, "/api/v1/pods").watch("5"), 5))
        await until(lambda: api.watches)
        for _ in range(5):
            await asyncio.sleep(0.2)
            api.watches[0].send(BOOKMARK)
        assert await reading == [Bookmark("7")] * 5
    assert all(request.query["allowWatchBookmarks"] == "true" for request in api.requests)


async def take(stream, count):
    return [await anext(stream) for _ in range(count)]


async def test_silence_is_an_error_of_the_watch_in_every_layer():
    api = StandInApi(lambda _: listing(5))
    async with api.serving(watch_silence=0.1) as connection:
        with pytest.raises(ApiServerError, match="broke off"):
            await anext(Collection(connection, "/api/v1/pods").watch("5"))
        with pytest.raises(UnavailableError, match="broke off"):
            await anext(KubernetesStore(connection).watch(SECRET, since="5"))


def test_silence_and_dead_peers_are_noticed_within_90_seconds():
    assert 75 <= WATCH_SILENCE_S <= 90
    with keepalive_socket((socket.AF_INET, socket.SOCK_STREAM, 0, "", ("127.0.0.1", 1))) as made:
        assert made.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        if hasattr(socket, "TCP_KEEPIDLE"):
            idle, interval, count = (
                made.getsockopt(socket.IPPROTO_TCP, option)
                for option in (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT)
            )
            assert idle + interval * count <= 90


async def test_connections_to_the_api_server_are_kept_alive():
    api = StandInApi(lambda _: listing(5))
    async with api.serving() as connection:
        await connection.request("GET", "/api/v1/pods")
        assert connection._client.rest_client.pool_manager.connector._socket_factory is keepalive_socket


async def test_watches_are_asked_for_5_to_10_minutes_at_random():
    asked = []
    for drawn in (0.0, 0.5, 0.999):
        api = StandInApi(lambda _: listing(5))
        async with api.serving(random=lambda drawn=drawn: drawn) as connection:
            reading = asyncio.ensure_future(anext(connection.watch("/api/v1/pods", query={"resourceVersion": "1"})))
            await until(lambda api=api: api.watches)
            api.watches[0].send(BOOKMARK)
            await reading
            asked.append(int(api.requests[0].query["timeoutSeconds"]))
    assert asked == [300, 450, 599]


@pytest.mark.parametrize("layer", ["cache", "store", "store over namespaces"])
async def test_watches_that_the_server_ends_at_once_are_no_hot_loop(layer):
    api = EndingAtOnce(lambda _: listing(5))
    scopes = ("search", "ml") if layer == "store over namespaces" else ()
    async with api.serving() as connection:
        if layer == "cache":
            source = Collection(connection, "/api/v1/pods")
        else:
            source = StoreSource(KubernetesStore(connection, namespaces=scopes), SECRET)
        following = asyncio.create_task(Informer(source, lambda *_: None, name=layer).run())
        await asyncio.sleep(1.8)
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
    # At 0 s and after 1 to 1.5 s.
    assert 2 <= len(api.watches) <= 2 * max(len(scopes), 1)
