"""A kind of a store's objects as an Informer follows it."""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass

from nightlatch.api.meta import Kind
from nightlatch.informer import Bookmark, Listing, WatchEvent
from nightlatch.store.protocol import Store


@dataclass(frozen=True, slots=True)
class StoreSource:
    """All objects of a kind, or those of one namespace, or those with certain labels."""

    store: Store
    kind: Kind
    namespace: str | None = None
    labels: Mapping[str, str] | None = None

    async def list(self) -> Listing:
        return await self.store.list(self.kind, namespace=self.namespace, labels=self.labels)

    def watch(self, since: str) -> AsyncIterator[WatchEvent | Bookmark]:
        return self.store.watch(self.kind, since=since, namespace=self.namespace, labels=self.labels)
