"""The gateway's Secrets: route documents and the gateway's own certificates, followed by list and watch.

What was good stays while the store is down; `age` says since when nothing was heard from it. An endpoint whose
document becomes unreadable is denied, its neighbours are not touched.
"""

import asyncio
import base64
import binascii
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from nightlatch.api import names
from nightlatch.api.meta import SECRET, NamespacedName, RawObject
from nightlatch.pki.material import PkiError, TlsMaterial
from nightlatch.store.protocol import ExpiredError, Listing, Store, StoreError
from nightlatch.wire import caller_errors
from nightlatch.wire.route_document import DocumentError, RouteDocument, decode

_log = logging.getLogger(__name__)

RETRY_PAUSE = 1.0
HEARTBEAT = 5.0
# What callers get, as in RouteDocument.denied.
UNREADABLE = caller_errors.POLICY_INVALID.code


@dataclass(frozen=True, slots=True)
class DocumentChanges:
    """What one piece of news touched: endpoints whose document came, changed or went; the gateway's certificates."""

    endpoints: frozenset[NamespacedName] = frozenset()
    tls: bool = False


class Documents:
    """See the module. `on_change` is called after each change, the new state in place; `clock`: monotonic seconds."""

    def __init__(
        self, store: Store, namespace: str, on_change: Callable[[DocumentChanges], None], clock: Callable[[], float]
    ) -> None:
        self.routes: dict[NamespacedName, RouteDocument] = {}
        self.client_tls: TlsMaterial | None = None
        self.server_tls: TlsMaterial | None = None
        self.unreadable: dict[str, str] = {}
        self._store = store
        self._namespace = namespace
        self._on_change = on_change
        self._clock = clock
        self._heard = clock()
        self._since = ""
        self._names: dict[str, NamespacedName] = {}

    @property
    def age(self) -> float:
        """Seconds since the store last answered."""
        return self._clock() - self._heard

    async def load(self) -> None:
        """The first list; tries until the store answers."""
        while True:
            try:
                return await self._relist()
            except StoreError as error:
                _log.warning("the store does not answer", extra={"error": str(error)})
                await asyncio.sleep(RETRY_PAUSE)

    async def follow(self) -> None:
        """Keep up, without end: watch, and list again when the watch cannot be resumed."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._beat())
            tasks.create_task(self._watch_forever())

    async def _watch_forever(self) -> None:
        while True:
            try:
                await self._watch()
            except ExpiredError:
                await self.load()
            except StoreError as error:
                _log.warning("the watch of the store broke", extra={"error": str(error)})
                await asyncio.sleep(RETRY_PAUSE)

    async def _watch(self) -> None:
        async for event in self._store.watch(SECRET, since=self._since, namespace=self._namespace):
            self._heard = self._clock()
            self._since = event.object["metadata"].get("resourceVersion", self._since)
            if event.type == "Deleted":
                self._tell(self._remove(event.ref.key.name))
            else:
                self._tell(self._take(event.object))

    async def _beat(self) -> None:
        """An idle watch says nothing about the store, so ask it something small now and then."""
        while True:
            await asyncio.sleep(HEARTBEAT)
            try:
                await self._store.list(SECRET, namespace=self._namespace, labels=_OWN_TLS)
                self._heard = self._clock()
            except StoreError as error:
                _log.warning("the store does not answer", extra={"error": str(error), "age_s": round(self.age)})

    async def _relist(self) -> None:
        listing = await self._store.list(SECRET, namespace=self._namespace)
        self._heard = self._clock()
        self._since = listing.resource_version
        self._tell(*self._gone(listing), *(self._take(item) for item in listing.items))

    def _gone(self, listing: Listing) -> list[DocumentChanges]:
        present = {item["metadata"]["name"] for item in listing.items}
        return [self._remove(name) for name in set(self._names) - present]

    def _tell(self, *changes: DocumentChanges) -> None:
        endpoints = frozenset[NamespacedName]().union(*(change.endpoints for change in changes))
        tls = any(change.tls for change in changes)
        if endpoints or tls:
            self._on_change(DocumentChanges(endpoints, tls))

    def _remove(self, name: str) -> DocumentChanges:
        key = self._names.pop(name, None)
        self.unreadable.pop(name, None)
        if key is None or self.routes.pop(key, None) is None:
            return DocumentChanges()
        return DocumentChanges(frozenset({key}))

    def _take(self, secret: RawObject) -> DocumentChanges:
        name = secret["metadata"]["name"]
        labels: Mapping[str, str] = secret["metadata"].get("labels") or {}
        role = labels.get(names.LABEL_ROLE)
        try:
            if role == names.ROLE_ROUTE_DOCUMENT:
                changed = self._take_route(name, decode(secret_data(secret)))
            elif role == names.ROLE_GATEWAY_TLS:
                changed = self._take_tls(name, _material(secret_data(secret)))
            else:
                return DocumentChanges()
        except DocumentError as error:
            _log.error("unreadable Secret", extra={"secret": name, "error": str(error)})
            return self._deny(name, str(error))
        self.unreadable.pop(name, None)
        return changed

    def _take_route(self, name: str, document: RouteDocument) -> DocumentChanges:
        key = document.endpoint
        if name != names.route_document(key):
            raise DocumentError(f"the document is of {key}, which another Secret must hold")
        self._names[name] = key
        if self.routes.get(key) == document:
            return DocumentChanges()
        self.routes[key] = document
        return DocumentChanges(frozenset({key}))

    def _deny(self, name: str, error: str) -> DocumentChanges:
        """What cannot be read may be a revocation, so the endpoint is denied until its document is good again."""
        self.unreadable[name] = error
        key = self._names.get(name)
        if key is None or self.routes[key].denied == UNREADABLE:
            return DocumentChanges()
        self.routes[key] = replace(self.routes[key], denied=UNREADABLE)
        return DocumentChanges(frozenset({key}))

    def _take_tls(self, name: str, material: TlsMaterial) -> DocumentChanges:
        before = (self.client_tls, self.server_tls)
        if name == names.GATEWAY_CLIENT_TLS_SECRET:
            self.client_tls = material
        elif name == names.GATEWAY_SERVER_TLS_SECRET:
            self.server_tls = material
        return DocumentChanges(tls=(self.client_tls, self.server_tls) != before)


_OWN_TLS = {names.LABEL_ROLE: names.ROLE_GATEWAY_TLS}


def secret_data(secret: RawObject) -> dict[str, bytes]:
    """The entries of a Secret, decoded. Raises DocumentError."""
    try:
        return {k: base64.b64decode(v, validate=True) for k, v in (secret.get("data") or {}).items()}
    except (binascii.Error, ValueError, TypeError):
        raise DocumentError("the Secret's data is not base64") from None


def _material(data: Mapping[str, bytes]) -> TlsMaterial:
    try:
        return TlsMaterial.of_secret(data)
    except PkiError as error:
        raise DocumentError(str(error)) from None
