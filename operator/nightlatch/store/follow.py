"""A kind's objects as they are now and as they change, over list, watch and list again."""

from collections.abc import AsyncIterator

from nightlatch.api.meta import Key, Kind, RawObject
from nightlatch.store.protocol import ExpiredError, Store


async def follow(store: Store, kind: Kind) -> AsyncIterator[tuple[Key, RawObject | None]]:
    """Each object, then each change, without end; None for an object that is gone."""
    known: set[Key] = set()
    while True:
        listing = await store.list(kind)
        present = {Key.of(obj): obj for obj in listing.items}
        for key in known - present.keys():
            yield key, None
        for key, obj in present.items():
            yield key, obj
        known = set(present)
        try:
            async for event in store.watch(kind, since=listing.resource_version):
                gone = event.type == "Deleted"
                (known.discard if gone else known.add)(event.ref.key)
                yield event.ref.key, None if gone else event.object
        except ExpiredError:
            continue
