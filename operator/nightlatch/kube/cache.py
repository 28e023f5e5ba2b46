"""A live copy of one collection: list, then watch; whoever reads it never waits for the API."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

from nightlatch.api.meta import NamespacedName
from nightlatch.kube.client import ApiServer
from nightlatch.kube.errors import ApiServerError

log = logging.getLogger(__name__)

_RETRY_SECONDS = 1.0

Listener = Callable[[dict[str, Any]], None]


class ObjectCache:
    """Objects at `path` that match `query`, followed from the first use on.

    While the API is away the last copy stays, and `connected` is False.
    """

    def __init__(self, api: ApiServer, path: str, query: Mapping[str, str]) -> None:
        self._api = api
        self._path = path
        self._query = dict(query)
        self._objects: dict[NamespacedName, dict[str, Any]] = {}
        self._listeners: list[Listener] = []
        self._synced = asyncio.Event()
        self._following: asyncio.Task[None] | None = None
        self.connected = False

    def add_listener(self, listener: Listener) -> None:
        """Call `listener` with every object that appeared, changed or went."""
        self._listeners.append(listener)

    async def synced(self) -> None:
        """Wait for the first complete list. Starts to follow the collection when nobody did before."""
        if self._following is None or self._following.done():
            self._following = asyncio.create_task(self._follow_on())
        await self._synced.wait()

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

    async def _follow_on(self) -> None:
        while True:
            try:
                version = await self._relist()
                self.connected = True
                await self._follow(version)
            except ApiServerError as error:
                self.connected = False
                if error.code != 410:
                    log.warning("watch of %s broke off: %s", self._path, error)
            except Exception:
                self.connected = False
                log.exception("watch of %s failed", self._path)
            await asyncio.sleep(_RETRY_SECONDS)

    async def _relist(self) -> str:
        answer = await self._api.request("GET", self._path, query=self._query)
        fresh = {NamespacedName.of(obj): obj for obj in answer.get("items") or ()}
        gone = [obj for key, obj in self._objects.items() if key not in fresh]
        self._objects = fresh
        self._synced.set()
        for obj in (*gone, *fresh.values()):
            self._tell(obj)
        return str(answer["metadata"]["resourceVersion"])

    async def _follow(self, version: str) -> None:
        while True:
            async for event in self._events(version):
                version = event["object"]["metadata"]["resourceVersion"]
                self._take(event)

    def _events(self, version: str) -> AsyncIterator[dict[str, Any]]:
        return self._api.watch(self._path, query={**self._query, "resourceVersion": version})

    def _take(self, event: dict[str, Any]) -> None:
        if event["type"] == "BOOKMARK":
            return
        obj = event["object"]
        if event["type"] == "DELETED":
            self._objects.pop(NamespacedName.of(obj), None)
        else:
            self._objects[NamespacedName.of(obj)] = obj
        self._tell(obj)

    def _tell(self, obj: dict[str, Any]) -> None:
        for listener in self._listeners:
            listener(obj)
