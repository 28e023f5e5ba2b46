"""Reads, applies and deletes one object in the cluster. An error of the API server becomes a WorkloadError."""

from typing import Any

from nightlatch.api.meta import Kind, NamespacedName
from nightlatch.kube.client import APPLY, ApiServer
from nightlatch.kube.errors import ApiServerError
from nightlatch.kube.paths import item
from nightlatch.planning.objects.metadata import MANAGED_BY, MANAGER
from nightlatch.workloads.protocol import WorkloadError


async def read(api: ApiServer, kind: Kind, key: NamespacedName) -> dict[str, Any] | None:
    """The object, or None."""
    try:
        return await api.request("GET", item(kind, key.namespace, key.name))
    except ApiServerError as error:
        if error.code == 404:
            return None
        raise WorkloadError(f"cannot read {kind.kind} {key}: {error}") from error


async def apply(api: ApiServer, kind: Kind, obj: dict[str, Any], *, manager: str = MANAGER) -> None:
    """Apply server-side as `manager`, and take over fields that other managers own."""
    key, query = NamespacedName.of(obj), {"fieldManager": manager, "force": "true"}
    try:
        await api.request("PATCH", item(kind, key.namespace, key.name), query=query, body=obj, content_type=APPLY)
    except ApiServerError as error:
        raise WorkloadError(f"cannot apply {kind.kind} {key}: {error}") from error


async def delete_ours(api: ApiServer, kind: Kind, key: NamespacedName) -> None:
    """Delete an object if it has our label. An object that does not exist is not an error."""
    found = await read(api, kind, key)
    if found is None or not has_our_label(found):
        return
    options = {"preconditions": {"uid": found["metadata"]["uid"]}, "propagationPolicy": "Background"}
    try:
        await api.request("DELETE", item(kind, key.namespace, key.name), body=options)
    except ApiServerError as error:
        if error.code not in {404, 409}:
            raise WorkloadError(f"cannot delete {kind.kind} {key}: {error}") from error


def has_our_label(found: dict[str, Any]) -> bool:
    """True if the object is labelled as managed by us."""
    return (found["metadata"].get("labels") or {}).get(MANAGED_BY) == MANAGER
