"""A kind's objects as they are now and as they change, over list, watch and list again."""

import asyncio
import logging
from collections.abc import AsyncIterator

from nightlatch.api.meta import Kind, NamespacedName, RawObject
from nightlatch.store.protocol import ExpiredError, Store, StoreError

RETRY_SECONDS = 1.0

_log = logging.getLogger(__name__)


async def follow(store: Store, kind: Kind) -> AsyncIterator[tuple[NamespacedName, RawObject | None]]:
    """Each object, then each change, without end; None for one that is gone. A store that fails is asked again."""
    known: set[NamespacedName] = set()
    while True:
        try:
            listing = await store.list(kind)
        except StoreError as error:
            _log.warning("cannot list %s: %s", kind.plural, error)
            await asyncio.sleep(RETRY_SECONDS)
            continue
        present = {NamespacedName.of(obj): obj for obj in listing.items}
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
        except StoreError as error:
            _log.warning("the watch of %s broke off: %s", kind.plural, error)
            await asyncio.sleep(RETRY_SECONDS)
