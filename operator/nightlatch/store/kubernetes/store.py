"""The store over the Kubernetes API: a thin translation, since the protocol is Kubernetes' own."""

import asyncio
import copy
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from typing import Any

from nightlatch.api.meta import SECRET, STORED_KINDS, Kind, ObjectRef, RawObject
from nightlatch.informer import Bookmark, Listing, WatchEvent
from nightlatch.kube.client import ApiServer
from nightlatch.kube.collection import Collection
from nightlatch.kube.errors import ApiServerError
from nightlatch.kube.paths import collection, item
from nightlatch.store.kubernetes import versions
from nightlatch.store.kubernetes.merging import merge
from nightlatch.store.protocol import (
    AlreadyExistsError,
    ConflictError,
    InvalidError,
    NotFoundError,
    StoreError,
    UnavailableError,
)

# Refuse unknown fields, as kubectl does, rather than drop them in silence.
_STRICT = {"fieldValidation": "Strict", "fieldManager": "nightlatch"}
_KINDS = {kind.kind: kind for kind in STORED_KINDS}


class KubernetesStore:
    """A `nightlatch.store.protocol.Store`.

    namespaces: the only namespaces this operator may read; empty means the whole cluster.
    own: namespaces in which it may read Secrets only (the operator's and the gateways').
    """

    def __init__(self, api: ApiServer, *, namespaces: tuple[str, ...] = (), own: tuple[str, ...] = ()) -> None:
        self._api = api
        self._namespaces = namespaces
        self._own = own

    async def get(self, kind: Kind, namespace: str, name: str) -> RawObject:
        return await self._call(_ref(kind, namespace, name), "GET", item(kind, namespace, name))

    async def list(
        self, kind: Kind, *, namespace: str | None = None, labels: Mapping[str, str] | None = None
    ) -> Listing:
        """One request for each namespace."""
        scopes = self._scopes(kind, namespace)
        listings = await asyncio.gather(*(self._list_in(kind, scope, labels) for scope in scopes))
        items = tuple(_typed(kind, obj) for listing in listings for obj in listing.items)
        return Listing(items, versions.join(listing.resource_version for listing in listings))

    async def watch(
        self, kind: Kind, *, since: str, namespace: str | None = None, labels: Mapping[str, str] | None = None
    ) -> AsyncIterator[WatchEvent | Bookmark]:
        """One request for each namespace; the first that ends, ends all of them."""
        scopes = self._scopes(kind, namespace)
        current = versions.split(since, len(scopes))
        watches = [
            _numbered(index, self._watch_in(kind, scope, current[index], labels)) for index, scope in enumerate(scopes)
        ]
        async for index, event in merge(watches):
            current[index] = event.resource_version
            yield replace(event, resource_version=versions.join(current))

    async def create(self, obj: RawObject) -> RawObject:
        ref, kind = ObjectRef.of(obj), _KINDS[obj["kind"]]
        return await self._call(
            ref, "POST", collection(kind, ref.key.namespace), query=_STRICT, body=_without_status(obj)
        )

    async def replace(self, obj: RawObject) -> RawObject:
        return await self._put(obj, _path(obj))

    async def replace_status(self, obj: RawObject) -> RawObject:
        return await self._put(obj, f"{_path(obj)}/status")

    async def delete(self, ref: ObjectRef, *, uid: str | None = None, resource_version: str | None = None) -> None:
        wanted = {"uid": uid, "resourceVersion": resource_version}
        options = {
            "propagationPolicy": "Background",
            "preconditions": {name: value for name, value in wanted.items() if value is not None},
        }
        kind = _KINDS[ref.kind]
        await self._call(ref, "DELETE", item(kind, ref.key.namespace, ref.key.name), body=options)

    def _scopes(self, kind: Kind, namespace: str | None) -> tuple[str | None, ...]:
        if namespace is not None or not self._namespaces:
            return (namespace,)
        return tuple(dict.fromkeys((*self._namespaces, *(self._own if kind is SECRET else ()))))

    def _collection(self, kind: Kind, scope: str | None, labels: Mapping[str, str] | None) -> Collection:
        return Collection(self._api, collection(kind, scope), _selector(labels))

    async def _list_in(self, kind: Kind, scope: str | None, labels: Mapping[str, str] | None) -> Listing:
        try:
            return await self._collection(kind, scope, labels).list()
        except ApiServerError as error:
            raise _translated(_ref(kind, scope or "*", "*"), error) from error

    async def _watch_in(
        self, kind: Kind, scope: str | None, since: str, labels: Mapping[str, str] | None
    ) -> AsyncIterator[WatchEvent | Bookmark]:
        try:
            async for event in self._collection(kind, scope, labels).watch(since):
                yield replace(event, object=_typed(kind, event.object)) if isinstance(event, WatchEvent) else event
        except ApiServerError as error:
            raise _translated(_ref(kind, scope or "*", "*"), error) from error

    async def _put(self, obj: RawObject, path: str) -> RawObject:
        """Custom resources take no update without a resourceVersion: where none is given, use the newest."""
        ref = ObjectRef.of(obj)
        if not obj["metadata"].get("resourceVersion"):
            current = await self.get(_KINDS[ref.kind], ref.key.namespace, ref.key.name)
            obj = copy.deepcopy(obj)
            obj["metadata"]["resourceVersion"] = current["metadata"]["resourceVersion"]
        return await self._call(ref, "PUT", path, query=_STRICT, body=obj)

    async def _call(
        self,
        ref: ObjectRef,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Any = None,
    ) -> RawObject:
        try:
            return await self._api.request(method, path, query=query, body=body)
        except ApiServerError as error:
            raise _translated(ref, error) from error


def _ref(kind: Kind, namespace: str, name: str) -> ObjectRef:
    return ObjectRef.of({"kind": kind.kind, "metadata": {"namespace": namespace, "name": name}})


def _path(obj: RawObject) -> str:
    key = ObjectRef.of(obj).key
    return item(_KINDS[obj["kind"]], key.namespace, key.name)


def _without_status(obj: RawObject) -> RawObject:
    return {name: value for name, value in obj.items() if name != "status"}


async def _numbered(
    index: int, events: AsyncIterator[WatchEvent | Bookmark]
) -> AsyncIterator[tuple[int, WatchEvent | Bookmark]]:
    async for event in events:
        yield index, event


def _typed(kind: Kind, obj: RawObject) -> RawObject:
    """Items of a list carry neither kind nor apiVersion."""
    return {"apiVersion": kind.api_version, "kind": kind.kind, **obj}


def _selector(labels: Mapping[str, str] | None) -> dict[str, str]:
    if not labels:
        return {}
    return {"labelSelector": ",".join(f"{name}={value}" for name, value in sorted(labels.items()))}


def _translated(ref: ObjectRef, error: ApiServerError) -> StoreError:
    if error.reason == "AlreadyExists":
        return AlreadyExistsError(f"{ref} exists already")
    if error.code == 404:
        return NotFoundError(f"{ref} does not exist")
    if error.code == 409:
        return ConflictError(f"{ref} changed since it was read")
    if error.code in {400, 422}:
        return InvalidError(ref, _named_causes(error) or (("", str(error)),))
    if error.transient:
        return UnavailableError(str(error))
    return StoreError(str(error))


def _named_causes(error: ApiServerError) -> tuple[tuple[str, str], ...]:
    """Leaves out the server's note that it did not check CEL rules, which it puts on a field of this name."""
    return tuple((path, message) for path, message in error.causes if path != "<nil>")
