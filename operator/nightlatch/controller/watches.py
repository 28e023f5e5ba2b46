"""Store watches into the index and from there into the queue: list, follow, and list again when a watch expires."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from nightlatch.api import names
from nightlatch.api.meta import OUR_KINDS, SECRET, Kind, NamespacedName, ObjectRef, RawObject
from nightlatch.controller.index import Index, Requeue
from nightlatch.store.protocol import ExpiredError, Listing, Store, StoreError, WatchEvent

_log = logging.getLogger(__name__)
_PAUSE = 1.0
# One watch for each role: the only Secrets outside our own namespaces that we ever read carry our label.
SECRET_ROLES = (
    names.ROLE_API_KEY,
    names.ROLE_ROUTE_DOCUMENT,
    names.ROLE_SERVER_TLS,
    names.ROLE_UPSTREAM_TLS,
    names.ROLE_CA,
    names.ROLE_GATEWAY_TLS,
    names.ROLE_OPERATOR_TLS,
)


class Watch(Protocol):
    """Changes of a kind after `since`, in order for each object. Raises ExpiredError when it is time to list again."""

    def __call__(self, kind: Kind, *, since: str, labels: Mapping[str, str] | None = None) -> AsyncIterator[WatchEvent]:
        """See the class."""


@dataclass(frozen=True, slots=True)
class Follower:
    """One list and watch. `watch` gives the events. `synced` is set once the first list is in the index."""

    store: Store
    watch: Watch
    index: Index
    enqueue: Callable[[Requeue], None]
    kind: Kind
    role: str | None = None
    synced: asyncio.Event = field(default_factory=asyncio.Event)

    async def run(self) -> None:
        """Without end. A store that does not answer is asked again; the index keeps what it knew."""
        while True:
            try:
                listing = await self.store.list(self.kind, labels=self._labels())
                self._take(listing)
                self.synced.set()
                async for event in self.watch(self.kind, since=listing.resource_version, labels=self._labels()):
                    self._handle(event)
            except ExpiredError:
                continue
            except StoreError as error:
                _log.warning("watching %s: %s", self.kind.plural, error)
            await asyncio.sleep(_PAUSE)

    def _labels(self) -> Mapping[str, str] | None:
        return {names.LABEL_ROLE: self.role} if self.role else None

    def _take(self, listing: Listing) -> None:
        """What is not in the list any more is gone: no event will tell."""
        listed = {NamespacedName.of(raw) for raw in listing.items}
        for key in sorted(self.index.known(self.kind.kind, self.role) - listed):
            self._spread(self.index.drop(ObjectRef(self.kind.kind, key)))
        for raw in listing.items:
            self._put(raw)

    def _handle(self, event: WatchEvent) -> None:
        gone = event.type == "Deleted" or event.object["metadata"].get("deletionTimestamp")
        if gone:
            self._spread(self.index.drop(event.ref))
        else:
            self._put(event.object)

    def _put(self, raw: RawObject) -> None:
        try:
            self._spread(self.index.put(raw))
        except Exception as error:  # noqa: BLE001 - one object that we cannot read must not blind us to the others
            _log.error("reading %s: %s", ObjectRef.of(raw), type(error).__name__)

    def _spread(self, requeue: Iterable[Requeue]) -> None:
        for each in requeue:
            self.enqueue(each)


def followers(
    store: Store, index: Index, enqueue: Callable[[Requeue], None], watch_ours: Watch | None = None
) -> tuple[Follower, ...]:
    """One for each of our kinds, by `watch_ours` where given; and one for each role of Secrets, by the store."""
    ours = tuple(Follower(store, watch_ours or store.watch, index, enqueue, kind) for kind in OUR_KINDS)
    return (*ours, *(Follower(store, store.watch, index, enqueue, SECRET, role) for role in SECRET_ROLES))
