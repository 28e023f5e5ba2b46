"""The namespaces of a cluster, for their labels."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace

from nightlatch.api.meta import NAMESPACE, RawObject
from nightlatch.informer import Bookmark, ExpiredError, Listing, WatchEvent
from nightlatch.kube.client import ApiServer
from nightlatch.kube.collection import Collection
from nightlatch.kube.errors import ApiServerError
from nightlatch.kube.paths import collection

# A Role for one namespace gives no right to watch it.
POLL_S = 15.0


@dataclass(frozen=True, slots=True)
class ClusterNamespaces:
    """Every namespace, as an Informer follows them. Each one gets its own name as its namespace."""

    api: ApiServer

    async def list(self) -> Listing:
        listing = await self._all.list()
        return replace(listing, items=tuple(map(_placed, listing.items)))

    async def watch(self, since: str) -> AsyncIterator[WatchEvent | Bookmark]:
        async for event in self._all.watch(since):
            yield replace(event, object=_placed(event.object)) if isinstance(event, WatchEvent) else event

    @property
    def _all(self) -> Collection:
        return Collection(self.api, collection(NAMESPACE, None))


@dataclass(frozen=True, slots=True)
class NamedNamespaces:
    """The namespaces of these names, read again and again."""

    api: ApiServer
    names: tuple[str, ...]
    poll_s: float = POLL_S

    async def list(self) -> Listing:
        found = await asyncio.gather(*(self._get(name) for name in self.names))
        # The versions of single objects do not tell when the others were read.
        return Listing(tuple(_placed(each) for each in found if each is not None), "")

    async def watch(self, since: str) -> AsyncIterator[WatchEvent | Bookmark]:  # noqa: ARG002 - nothing to resume
        await asyncio.sleep(self.poll_s)
        raise ExpiredError("time to read the namespaces again")
        yield Bookmark("")

    async def _get(self, name: str) -> RawObject | None:
        try:
            return await self.api.request("GET", f"{collection(NAMESPACE, None)}/{name}")
        except ApiServerError as error:
            if error.code == 404:
                return None
            raise


def _placed(raw: RawObject) -> RawObject:
    metadata = raw["metadata"]
    return {**raw, "kind": NAMESPACE.kind, "metadata": {**metadata, "namespace": metadata["name"]}}
