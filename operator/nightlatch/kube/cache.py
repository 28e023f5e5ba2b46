"""A live copy of one collection: reading it never waits for the API."""

import asyncio
from collections.abc import Callable
from typing import Any

from nightlatch.api.meta import NamespacedName
from nightlatch.informer import Informer, Timing
from nightlatch.kube.client import ApiServer, Query
from nightlatch.kube.collection import Collection

Listener = Callable[[dict[str, Any]], None]


class ObjectCache:
    """Objects at `path` that match `query`, followed from the first use on.

    An object that is being deleted stays until it is gone: a pod that shuts down still answers calls. While the API is
    away the last copy stays, and `connected` is False.
    """

    def __init__(self, api: ApiServer, path: str, query: Query, *, timing: Timing | None = None) -> None:
        self._objects: dict[NamespacedName, dict[str, Any]] = {}
        self._listeners: list[Listener] = []
        self._following: asyncio.Task[None] | None = None
        self._informer = Informer(
            Collection(api, path, query), self._changed, name=path, is_live=lambda _: True, timing=timing
        )

    @property
    def connected(self) -> bool:
        """Whether the API answers."""
        return self._informer.connected

    def add_listener(self, listener: Listener) -> None:
        """Call `listener` with every object that appeared, changed or went; one that went as it was last seen."""
        self._listeners.append(listener)

    async def synced(self) -> None:
        """Wait for the first complete list. Starts to follow the collection when nobody did before."""
        if self._following is None or self._following.done():
            self._following = asyncio.create_task(self._informer.run())
        await self._informer.synced.wait()

    async def close(self) -> None:
        """Stop following."""
        if self._following is not None:
            self._following.cancel()
            await asyncio.gather(self._following, return_exceptions=True)

    def get(self, key: NamespacedName) -> dict[str, Any] | None:
        """One object, or None."""
        return self._objects.get(key)

    def values(self) -> list[dict[str, Any]]:
        """All objects."""
        return list(self._objects.values())

    def _changed(self, key: NamespacedName, obj: dict[str, Any] | None) -> None:
        last_seen = self._objects.pop(key, None)
        if obj is not None:
            self._objects[key] = last_seen = obj
        for listener in self._listeners:
            if last_seen is not None:
                listener(last_seen)
