"""Reading single objects from the store."""

from nightlatch.api import names
from nightlatch.api.meta import SECRET, Kind, NamespacedName, RawObject
from nightlatch.pki.material import TlsMaterial
from nightlatch.planning.secrets import SecretView, view_secret
from nightlatch.store.protocol import NotFoundError, Store


async def find(store: Store, kind: Kind, key: NamespacedName) -> RawObject | None:
    """The object, or None when there is none or it is being deleted."""
    try:
        found = await store.get(kind, key.namespace, key.name)
    except NotFoundError:
        return None
    return None if found["metadata"].get("deletionTimestamp") else found


async def find_secret(store: Store, key: NamespacedName) -> SecretView | None:
    """The Secret as data, or None."""
    try:
        return view_secret(await store.get(SECRET, key.namespace, key.name))
    except NotFoundError:
        return None


async def operator_material(store: Store, namespace: str) -> TlsMaterial:
    """The operator's client certificate, as it is now. Raises StoreError, PkiError."""
    found = await store.get(SECRET, namespace, names.OPERATOR_TLS_SECRET)
    return TlsMaterial.of_secret(view_secret(found).data)
