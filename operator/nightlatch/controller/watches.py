"""What the controller follows: changes go into the index, and what they touch goes into the queue."""

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass

from nightlatch.api import names
from nightlatch.api.meta import CERTIFICATE, NAMESPACE, OUR_KINDS, SECRET, Kind, NamespacedName, ObjectRef, RawObject
from nightlatch.controller.index import Index, Requeue
from nightlatch.informer import Bookmark, Informer, Listing, Source, WatchEvent
from nightlatch.store.protocol import Store
from nightlatch.store.source import StoreSource

# One watch for each role, and one for CAs of users: the only Secrets outside our own namespaces that we ever read carry
# our labels.
SECRET_ROLES = (
    names.ROLE_API_KEY,
    names.ROLE_CLIENT_TLS,
    names.ROLE_ROUTE_DOCUMENT,
    names.ROLE_REVOCATIONS,
    names.ROLE_ISSUER_DOCUMENT,
    names.ROLE_SERVER_TLS,
    names.ROLE_UPSTREAM_TLS,
    names.ROLE_CA,
    names.ROLE_GATEWAY_TLS,
    names.ROLE_OPERATOR_TLS,
)

# Events of a kind from now on, in whatever order. Raises ExpiredError when it is time to list again.
Watch = Callable[[Kind], AsyncIterator[WatchEvent]]


@dataclass(frozen=True, slots=True)
class _ListedAndWatched:
    """One kind, listed by the store and watched by somebody else."""

    store: Store
    kind: Kind
    watched: Watch

    async def list(self) -> Listing:
        return await self.store.list(self.kind)

    async def watch(self, since: str) -> AsyncIterator[WatchEvent | Bookmark]:  # noqa: ARG002 - resumed elsewhere
        async for event in self.watched(self.kind):
            yield event


def informers(
    store: Store,
    index: Index,
    enqueue: Callable[[Requeue], None],
    watch_ours: Watch | None = None,
    namespaces: Source | None = None,
) -> tuple[Informer, ...]:
    """One for each of our kinds, with events from `watch_ours` if given, one for each role of Secrets, and one for
    `namespaces` if given."""

    def informer(source: Source, kind: Kind, name: str) -> Informer:
        return _informer(index, enqueue, source, kind, name)

    def ours(kind: Kind) -> Source:
        return _ListedAndWatched(store, kind, watch_ours) if watch_ours else StoreSource(store, kind)

    def secrets(role: str) -> Source:
        return StoreSource(store, SECRET, labels={names.LABEL_ROLE: role})

    trust = StoreSource(store, SECRET, labels={names.LABEL_USE: names.USE_TRUST})
    return (
        *(informer(ours(kind), kind, kind.plural) for kind in OUR_KINDS),
        *(informer(secrets(role), SECRET, f"secrets with role {role}") for role in SECRET_ROLES),
        informer(trust, SECRET, "secrets of CAs to trust"),
        *((informer(namespaces, NAMESPACE, NAMESPACE.plural),) if namespaces else ()),
    )


def certificate_informers(
    sources: Sequence[Source], index: Index, enqueue: Callable[[Requeue], None]
) -> tuple[Informer, ...]:
    """One for each source of cert-manager's Certificates. All else works without them."""
    return tuple(_informer(index, enqueue, source, CERTIFICATE, CERTIFICATE.plural) for source in sources)


def _informer(index: Index, enqueue: Callable[[Requeue], None], source: Source, kind: Kind, name: str) -> Informer:
    def changed(key: NamespacedName, raw: RawObject | None) -> None:
        touched = index.drop(ObjectRef(kind.kind, key)) if raw is None else index.put(raw)
        for requeue in touched:
            enqueue(requeue)

    return Informer(source, changed, name=name)
