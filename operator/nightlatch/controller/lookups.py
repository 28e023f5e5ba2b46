"""Reading single objects from the store."""

from nightlatch.api import names
from nightlatch.api.meta import SECRET, Kind, NamespacedName, RawObject
from nightlatch.informer import is_live
from nightlatch.pki.material import TlsMaterial
from nightlatch.planning.secrets import SecretView, view_secret
from nightlatch.store.protocol import NotFoundError, Store


async def find(store: Store, kind: Kind, key: NamespacedName) -> RawObject | None:
    """The object, or None when there is none or it is being deleted, as informers see it."""
    try:
        found = await store.get(kind, key.namespace, key.name)
    except NotFoundError:
        return None
    return found if is_live(found) else None


async def find_secret(store: Store, key: NamespacedName) -> SecretView | None:
    """The Secret as data, or None. One that is being deleted still counts: no other of its name can be made yet."""
    try:
        return view_secret(await store.get(SECRET, key.namespace, key.name))
    except NotFoundError:
        return None


async def operator_material(store: Store, namespace: str) -> TlsMaterial:
    """The operator's client certificate, as it is now. Raises StoreError, PkiError."""
    found = await store.get(SECRET, namespace, names.OPERATOR_TLS_SECRET)
    return TlsMaterial.of_secret(view_secret(found).data)
