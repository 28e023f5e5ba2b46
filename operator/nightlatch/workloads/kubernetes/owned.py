"""The objects of endpoints in a cluster: applied where they differ from what is wanted, and watched for changes."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

from nightlatch.api.meta import INFERENCE_ENDPOINT, Kind, NamespacedName
from nightlatch.kube.cache_group import CacheGroup
from nightlatch.kube.client import ApiServer
from nightlatch.workloads.kubernetes import objects
from nightlatch.workloads.kubernetes.drift import is_as_applied, stamped
from nightlatch.workloads.kubernetes.pods import changes_of, endpoint_of, labelled
from nightlatch.workloads.protocol import WorkloadError

DEPLOYMENT = Kind("apps/v1", "Deployment", "deployments")
SERVICE = Kind("v1", "Service", "services")
SERVICE_ACCOUNT = Kind("v1", "ServiceAccount", "serviceaccounts")
NETWORK_POLICY = Kind("networking.k8s.io/v1", "NetworkPolicy", "networkpolicies")
POD_DISRUPTION_BUDGET = Kind("policy/v1", "PodDisruptionBudget", "poddisruptionbudgets")
_KINDS = {kind.kind: kind for kind in (DEPLOYMENT, SERVICE, SERVICE_ACCOUNT, NETWORK_POLICY, POD_DISRUPTION_BUDGET)}


class OwnedObjects:
    """Live copies of every endpoint's objects, followed from the first use on."""

    def __init__(self, api: ApiServer, namespaces: tuple[str, ...] = ()) -> None:
        self._api = api
        self._caches = {name: labelled(api, kind, namespaces) for name, kind in _KINDS.items()}
        self._expected: dict[NamespacedName, tuple[dict[str, Any], ...]] = {}

    @property
    def deployments(self) -> CacheGroup:
        return self._caches[DEPLOYMENT.kind]

    async def synced(self) -> None:
        """Wait for the first complete lists."""
        await asyncio.gather(*(cache.synced() for cache in self._caches.values()))

    async def close(self) -> None:
        """Stop following."""
        await asyncio.gather(*(cache.close() for cache in self._caches.values()))

    def get(self, kind: Kind, key: NamespacedName) -> dict[str, Any] | None:
        """One object of an endpoint, or None."""
        return self._caches[kind.kind].get(key)

    async def claim(self, wanted: dict[str, Any], uid: str) -> dict[str, Any] | None:
        """The existing object with the name of `wanted`, if any. Raises WorkloadError if another owner has it."""
        kind, key = _KINDS[wanted["kind"]], NamespacedName.of(wanted)
        found = self.get(kind, key)
        if found is None or not _is_owned_by(found, uid):
            # A foreign object lacks our label, and a copy may be old: only the API server knows.
            found = await objects.read(self._api, kind, key)
        if found and not _is_owned_by(found, uid):
            raise WorkloadError(
                f"{kind.kind} {key} exists and does not belong to this endpoint: "
                "delete or rename it, or give the endpoint another name"
            )
        return found

    async def ensure(self, wanted: dict[str, Any], found: dict[str, Any] | None) -> None:
        """Apply an object unless the existing one, `found`, is as wanted. Raises WorkloadError."""
        kind, obj = _KINDS[wanted["kind"]], stamped(wanted)
        newest = self.get(kind, NamespacedName.of(wanted)) or found
        if newest is None or not is_as_applied(obj, newest):
            await objects.apply(self._api, kind, _with_uid(obj, newest))

    def expect(self, endpoint: NamespacedName, wanted: Sequence[dict[str, Any]]) -> None:
        """Remember the objects that this endpoint should have: `disturbed()` yields it when one of them drifts.

        An empty sequence stops the check, because the endpoint is being removed.
        """
        if wanted:
            self._expected[endpoint] = tuple(stamped(obj) for obj in wanted)
        else:
            self._expected.pop(endpoint, None)

    async def disturbed(self) -> AsyncIterator[NamespacedName]:
        """Yield endpoints of which somebody deleted or changed an object, forever."""
        async for endpoint in changes_of(*self._caches.values(), of=_owner):
            if not all(self._is_as_wanted(obj) for obj in self._expected.get(endpoint, ())):
                yield endpoint

    def _is_as_wanted(self, wanted: dict[str, Any]) -> bool:
        found = self._caches[wanted["kind"]].get(NamespacedName.of(wanted))
        return found is not None and is_as_applied(wanted, found)


def _with_uid(obj: dict[str, Any], found: dict[str, Any] | None) -> dict[str, Any]:
    """With the uid of the existing object, an apply fails if it was deleted meanwhile. Without the uid the apply would
    create it again, and a new Deployment starts with one pod.
    """
    return {**obj, "metadata": {**obj["metadata"], "uid": found["metadata"]["uid"]}} if found else obj


def _owner(obj: dict[str, Any]) -> NamespacedName:
    """The endpoint in the object's ownerReferences, because somebody may have changed its labels."""
    owners = obj["metadata"].get("ownerReferences", ())
    names = [owner["name"] for owner in owners if owner["kind"] == INFERENCE_ENDPOINT.kind]
    return NamespacedName(obj["metadata"]["namespace"], names[0]) if names else endpoint_of(obj)


def _is_owned_by(found: dict[str, Any], uid: str) -> bool:
    return any(owner["uid"] == uid for owner in found["metadata"].get("ownerReferences", ()))
