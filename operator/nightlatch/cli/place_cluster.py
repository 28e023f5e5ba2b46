"""The objects in a cluster, written as kubectl would."""

import json
from collections.abc import Iterable, Mapping
from typing import Any

from nightlatch.api import names
from nightlatch.api.meta import INFERENCE_CLIENT, INFERENCE_ENDPOINT, Kind, NamespacedName, RawObject
from nightlatch.kube.client import APPLY, ApiServer
from nightlatch.kube.errors import ApiServerError
from nightlatch.kube.kubeconfig import KubeContext
from nightlatch.kube.paths import item
from nightlatch.store.kubernetes.store import KubernetesStore
from nightlatch.store.protocol import ConflictError, NotFoundError, StoreError

# Whoever else writes the object, such as a GitOps tool, has another name, so that neither undoes the other.
FIELD_MANAGER = "nightlatch-cli"
_CONFIG_MAP = Kind("v1", "ConfigMap", "configmaps")
_MERGE_PATCH = "application/merge-patch+json"


class Cluster:
    """A `nightlatch.cli.place.Place`."""

    # Whether an operator runs is not for every user to see; the conditions of an object tell.
    is_running = True

    def __init__(self, api: ApiServer, context: KubeContext) -> None:
        self._api = api
        self._context = context.name
        self.namespace = context.namespace
        self.store = KubernetesStore(api)

    def __str__(self) -> str:
        return f"the cluster of context {self._context}"

    async def annotate(self, obj: RawObject, annotation: str, value: str) -> RawObject:
        body = {"metadata": {"uid": obj["metadata"]["uid"], "annotations": {annotation: value}}}
        return await self._patch(obj, body, _MERGE_PATCH, {})

    async def installation(self, namespace: str) -> Mapping[str, str]:
        try:
            found = await self._api.request("GET", item(_CONFIG_MAP, namespace, names.INSTALLATION_CONFIG_MAP))
        except ApiServerError as error:
            if error.code == 404:
                return {}
            raise StoreError(str(error)) from error
        data: Mapping[str, str] = found.get("data") or {}
        return data

    async def request(self, namespace: str, annotation: str, value: str) -> None:
        obj = {"kind": _CONFIG_MAP.kind, "metadata": {"namespace": namespace, "name": names.INSTALLATION_CONFIG_MAP}}
        await self._patch(obj, {"metadata": {"annotations": {annotation: value}}}, _MERGE_PATCH, {})

    async def revoke(self, client: RawObject, key_ids: Iterable[str], digests: Iterable[str]) -> RawObject:
        return await self._patch(client, revocation(client, key_ids, digests), APPLY, {"force": "true"})

    async def _patch(self, obj: RawObject, body: RawObject, content_type: str, query: Mapping[str, str]) -> RawObject:
        kind, key = _kind(obj), NamespacedName.of(obj)
        full = {"fieldManager": FIELD_MANAGER, "fieldValidation": "Strict", **query}
        try:
            return await self._api.request(
                "PATCH", item(kind, key.namespace, key.name), query=full, body=body, content_type=content_type
            )
        except ApiServerError as error:
            if error.code == 404:
                raise NotFoundError(f"{kind.kind} {key} does not exist") from error
            if error.code == 409:
                raise ConflictError(f"{kind.kind} {key} changed since it was read") from error
            raise StoreError(str(error)) from error


def revocation(client: RawObject, key_ids: Iterable[str], digests: Iterable[str]) -> RawObject:
    """What to apply server-side: each list is a set, in which each writer has items of its own.

    What this writer no longer names is removed, so it names what it added before, too. The resourceVersion makes that
    safe where two run at once.
    """
    metadata, lists = (
        client["metadata"],
        (("apiKey", "revokedKeyIds", key_ids), ("certificate", "revokedDigests", digests)),
    )
    named = {
        (part, name): list(dict.fromkeys((*added_before(client, part, name), *more))) for part, name, more in lists
    }
    return {
        "apiVersion": client["apiVersion"],
        "kind": client["kind"],
        "metadata": {name: metadata[name] for name in ("namespace", "name", "uid", "resourceVersion")},
        "spec": {part: {name: items} for (part, name), items in named.items() if items},
    }


def added_before(client: RawObject, part: str, name: str) -> tuple[str, ...]:
    """The items that this writer put into the list of that name, such as `revokedKeyIds`, in that part of the spec."""
    found: list[str] = []
    for entry in client["metadata"].get("managedFields") or ():
        if entry.get("manager") != FIELD_MANAGER or entry.get("operation") != "Apply":
            continue
        fields: Any = entry.get("fieldsV1") or {}
        for member in ("f:spec", f"f:{part}", f"f:{name}"):
            fields = fields.get(member) or {}
        # An item of a set is written as `v:` and its value as JSON.
        found += [json.loads(item[2:]) for item in fields if item.startswith("v:")]
    return tuple(found)


def _kind(obj: RawObject) -> Kind:
    return next(kind for kind in (INFERENCE_CLIENT, INFERENCE_ENDPOINT, _CONFIG_MAP) if kind.kind == obj["kind"])
