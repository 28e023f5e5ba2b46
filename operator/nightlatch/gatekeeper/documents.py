"""The gateway's Secrets: route documents and the gateway's own certificates.

The last good ones stay while the store is down; `age` says for how long nothing was heard from it. An endpoint whose
document becomes unreadable is denied; the others are not affected.
"""

import base64
import binascii
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from nightlatch.api import names
from nightlatch.api.meta import SECRET, NamespacedName, RawObject
from nightlatch.informer import Informer, Timing
from nightlatch.pki.material import PkiError, TlsMaterial
from nightlatch.store.protocol import Store
from nightlatch.store.source import StoreSource
from nightlatch.wire import caller_errors
from nightlatch.wire.route_document import DocumentError, RouteDocument, decode

_log = logging.getLogger(__name__)

# What callers get, as in RouteDocument.denied.
UNREADABLE = caller_errors.POLICY_INVALID.code


@dataclass(frozen=True, slots=True)
class DocumentChanges:
    """Endpoints whose document appeared, changed or went, and whether the gateway's certificates changed."""

    endpoints: frozenset[NamespacedName] = frozenset()
    tls: bool = False


class Documents:
    """`on_change` is called after each change, with the new state in place; `clock`: monotonic seconds."""

    def __init__(
        self, store: Store, namespace: str, on_change: Callable[[DocumentChanges], None], clock: Callable[[], float]
    ) -> None:
        self.routes: dict[NamespacedName, RouteDocument] = {}
        self.client_tls: TlsMaterial | None = None
        self.server_tls: TlsMaterial | None = None
        self.unreadable: dict[str, str] = {}
        self._on_change = on_change
        self._informer = Informer(
            StoreSource(store, SECRET, namespace),
            self._changed,
            name=f"secrets in {namespace}",
            after=self._tell,
            timing=Timing(clock=clock),
        )
        self._touched: set[NamespacedName] = set()
        self._tls_touched = False
        self._names: dict[str, NamespacedName] = {}

    @property
    def age(self) -> float:
        """Seconds since the watch last told something. A store that sends no bookmarks is deaf, not fresh."""
        return self._informer.age

    async def load(self) -> None:
        """List until the store answers."""
        await self._informer.load()

    async def follow(self) -> None:
        """Keep up, without end."""
        await self._informer.run()

    def _changed(self, key: NamespacedName, secret: RawObject | None) -> None:
        change = self._remove(key.name) if secret is None else self._take(secret)
        self._touched |= change.endpoints
        self._tls_touched |= change.tls

    def _tell(self) -> None:
        """Once for a whole list, since every call computes Envoy's configuration again."""
        changes = DocumentChanges(frozenset(self._touched), self._tls_touched)
        if changes.endpoints or changes.tls:
            self._on_change(changes)
        # Not before: what could not be told is told after the next list.
        self._touched, self._tls_touched = set(), False

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
            _log.error("cannot read a Secret", extra={"secret": name, "error": str(error)})
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
        """A document that cannot be read may be a revocation, so the endpoint is denied until it can be read again."""
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
