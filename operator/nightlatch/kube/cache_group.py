"""Live copies of one kind in several namespaces, read as one."""

import asyncio
from collections.abc import Sequence
from typing import Any

from nightlatch.api.meta import NamespacedName
from nightlatch.kube.cache import Listener, ObjectCache


class CacheGroup:
    """Has the methods of an ObjectCache, over all of `caches`."""

    def __init__(self, caches: Sequence[ObjectCache]) -> None:
        self._caches = tuple(caches)

    def add_listener(self, listener: Listener) -> None:
        for cache in self._caches:
            cache.add_listener(listener)

    async def synced(self) -> None:
        await asyncio.gather(*(cache.synced() for cache in self._caches))

    async def close(self) -> None:
        await asyncio.gather(*(cache.close() for cache in self._caches))

    def get(self, key: NamespacedName) -> dict[str, Any] | None:
        return next((found for cache in self._caches if (found := cache.get(key))), None)

    def values(self) -> list[dict[str, Any]]:
        return [obj for cache in self._caches for obj in cache.values()]
