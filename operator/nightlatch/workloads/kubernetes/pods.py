"""The read-only half of the workloads seam in a cluster: the endpoints' pods, which are all a gatekeeper may see."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

from nightlatch.api.meta import Kind, NamespacedName
from nightlatch.api.names import LABEL_ENDPOINT
from nightlatch.kube.cache import ObjectCache
from nightlatch.kube.cache_group import CacheGroup
from nightlatch.kube.client import ApiServer
from nightlatch.kube.paths import collection
from nightlatch.workloads.kubernetes.pod_state import replica
from nightlatch.workloads.protocol import WorkloadState

POD = Kind("v1", "Pod", "pods")


def endpoint_of(obj: dict[str, Any]) -> NamespacedName:
    """The endpoint that a labelled object belongs to."""
    return NamespacedName(obj["metadata"]["namespace"], obj["metadata"]["labels"][LABEL_ENDPOINT])


def labelled(api: ApiServer, kind: Kind, namespaces: tuple[str, ...]) -> CacheGroup:
    """A cache of all objects of a kind that belong to an endpoint, in these namespaces or (empty) in all."""
    query = {"labelSelector": LABEL_ENDPOINT}
    scopes: tuple[str | None, ...] = namespaces or (None,)
    return CacheGroup([ObjectCache(api, collection(kind, scope), query) for scope in scopes])


class PodReader:
    """A WorkloadReader over pods.

    `desired` is the number of pods that are not terminating, because a gatekeeper may not read Deployments.
    """

    def __init__(self, api: ApiServer, namespaces: tuple[str, ...] = ()) -> None:
        self._pods = labelled(api, POD, namespaces)

    async def close(self) -> None:
        """Stop following the pods."""
        await self._pods.close()

    async def observe(self, endpoint: NamespacedName) -> WorkloadState | None:
        await self._pods.synced()
        replicas = tuple(replica(pod) for pod in pods_of(self._pods, endpoint))
        alive = sum(not item.terminating for item in replicas)
        return WorkloadState(desired=alive, replicas=replicas) if replicas else None

    async def changes(self) -> AsyncIterator[NamespacedName]:
        async for key in changes_of(self._pods):
            yield key


def pods_of(cache: CacheGroup, endpoint: NamespacedName) -> list[dict[str, Any]]:
    """The endpoint's pods, oldest first, without those that ended."""
    pods = [pod for pod in cache.values() if endpoint_of(pod) == endpoint and not _ended(pod)]
    return sorted(pods, key=lambda pod: (pod["metadata"]["creationTimestamp"], pod["metadata"]["name"]))


def _ended(pod: dict[str, Any]) -> bool:
    return pod.get("status", {}).get("phase") in {"Succeeded", "Failed"}


async def changes_of(
    *caches: CacheGroup, of: Callable[[dict[str, Any]], NamespacedName] = endpoint_of
) -> AsyncIterator[NamespacedName]:
    """Yield the endpoints (`of` an object) that changes in the caches concern, first those of every object.

    An endpoint that changes several times before it is read is yielded once.
    """
    pending: dict[NamespacedName, None] = {}
    changed = asyncio.Event()
    for cache in caches:
        await cache.synced()
        cache.add_listener(_collector(pending, changed, of))
        for obj in cache.values():
            pending[of(obj)] = None
    if pending:
        changed.set()
    while True:
        await changed.wait()
        changed.clear()
        while pending:
            key = next(iter(pending))
            del pending[key]
            yield key


def _collector(
    pending: dict[NamespacedName, None], changed: asyncio.Event, of: Callable[[dict[str, Any]], NamespacedName]
) -> Callable[[dict[str, Any]], None]:
    def collect(obj: dict[str, Any]) -> None:
        pending[of(obj)] = None
        changed.set()

    return collect
