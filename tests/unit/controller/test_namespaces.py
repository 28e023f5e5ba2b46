"""The labels of namespaces reach the index, from the whole cluster or from the namespaces that a Role allows."""

import asyncio
import contextlib

from aiohttp import web

from nightlatch.api.meta import NamespacedName
from nightlatch.controller.cluster.namespaces import ClusterNamespaces, NamedNamespaces
from nightlatch.informer import Informer, Timing
from tests.unit.kube.stand_in_api import StandInApi, event, listing, status

IMPATIENT = Timing(sleep=lambda _: asyncio.sleep(0.001))


def namespace(name, version, **labels):
    return {"metadata": {"name": name, "uid": name, "resourceVersion": str(version), "labels": labels}}


@contextlib.asynccontextmanager
async def followed(source):
    """By name of the namespace: its labels, or None once it is gone."""
    heard = {}

    def changed(key, raw):
        assert key == NamespacedName(key.name, key.name)
        heard[key.name] = raw["metadata"]["labels"] if raw else None

    task = asyncio.create_task(Informer(source, changed, name="namespaces", timing=IMPATIENT).run())
    try:
        yield heard
    finally:
        task.cancel()
        await asyncio.wait({task})


async def until(condition):
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.001)


async def test_every_namespace_of_a_cluster_is_followed():
    api = StandInApi(lambda _: listing(5, namespace("a", 3, team="ml"), namespace("b", 4)))
    async with api.serving() as connection, followed(ClusterNamespaces(connection)) as heard:
        await until(lambda: api.watches)
        assert heard == {"a": {"team": "ml"}, "b": {}}
        api.watches[0].send(event("MODIFIED", namespace("b", 6, team="ml")), event("DELETED", namespace("a", 7)))
        await until(lambda: heard == {"a": None, "b": {"team": "ml"}})
    assert {request.path for request in api.requests} == {"/api/v1/namespaces"}


async def test_named_namespaces_are_read_one_by_one_again_and_again():
    there = {"a": namespace("a", 3, team="ml"), "b": namespace("b", 4)}

    def answer(request):
        found = there.get(request.path.rpartition("/")[2])
        return web.json_response(found) if found else status(404, "NotFound")

    api = StandInApi(answer)
    async with api.serving() as connection, followed(NamedNamespaces(connection, ("a", "b"), 0.001)) as heard:
        await until(lambda: heard == {"a": {"team": "ml"}, "b": {}})
        there["b"] = namespace("b", 9, team="ml")
        del there["a"]
        await until(lambda: heard == {"a": None, "b": {"team": "ml"}})
    assert {request.path for request in api.requests} == {"/api/v1/namespaces/a", "/api/v1/namespaces/b"}
