"""Reading single objects from the store."""

from nightlatch.api.meta import SECRET, Key, Kind, RawObject
from nightlatch.planning.observed import SecretView, view_secret
from nightlatch.store.protocol import NotFoundError, Store


async def find(store: Store, kind: Kind, key: Key) -> RawObject | None:
    """The object, or None when there is none or it is being deleted."""
    try:
        found = await store.get(kind, key.namespace, key.name)
    except NotFoundError:
        return None
    return None if found["metadata"].get("deletionTimestamp") else found


async def find_secret(store: Store, key: Key) -> SecretView | None:
    """The Secret as data, or None."""
    try:
        return view_secret(await store.get(SECRET, key.namespace, key.name))
    except NotFoundError:
        return None
