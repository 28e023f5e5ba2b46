"""One collection of objects of the API server, as an Informer follows it."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

from nightlatch.informer import Bookmark, ExpiredError, Listing, WatchEvent
from nightlatch.kube.client import ApiServer, Query
from nightlatch.kube.errors import ApiServerError

_TYPES: dict[str, Any] = {"ADDED": "Added", "MODIFIED": "Modified", "DELETED": "Deleted"}


@dataclass(frozen=True, slots=True)
class Collection:
    """The objects at `path` that match `query`. Raises ApiServerError."""

    api: ApiServer
    path: str
    query: Query = field(default_factory=dict)

    async def list(self) -> Listing:
        """One request without pages: our collections are small, and a list of pages would not be of one moment."""
        answer = await self.api.request("GET", self.path, query=self.query)
        return Listing(tuple(answer.get("items") or ()), str(answer["metadata"]["resourceVersion"]))

    async def watch(self, since: str) -> AsyncIterator[WatchEvent | Bookmark]:
        """One watch request, until the server ends it. Raises ExpiredError, too."""
        try:
            async for event in self.api.watch(self.path, query={**self.query, "resourceVersion": since}):
                version = str(event["object"]["metadata"]["resourceVersion"])
                if event["type"] == "BOOKMARK":
                    yield Bookmark(version)
                elif event["type"] in _TYPES:
                    yield WatchEvent(_TYPES[event["type"]], event["object"], version)
        except ApiServerError as error:
            if error.code == 410:
                raise ExpiredError(f"the watch of {self.path} cannot be resumed: list again") from error
            raise
