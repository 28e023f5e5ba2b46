"""The objects of endpoints in a cluster: applied where they are not as wanted, watched for what others do to them."""

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
    """Of every endpoint, as of a moment ago; copies follow from the first use on."""

    def __init__(self, api: ApiServer, namespaces: tuple[str, ...] = ()) -> None:
        self._api = api
        self._caches = {name: labelled(api, kind, namespaces) for name, kind in _KINDS.items()}
        self._expected: dict[NamespacedName, tuple[dict[str, Any], ...]] = {}

    @property
    def deployments(self) -> CacheGroup:
        """The Deployments."""
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
        """What stands in the place of `wanted`. Raises WorkloadError where it is not of the endpoint with this uid."""
        kind, key = _KINDS[wanted["kind"]], NamespacedName.of(wanted)
        found = self.get(kind, key)
        if found is None or not _is_owned_by(found, uid):
            # A foreign object has no label of ours, and a copy may be late: the API server alone knows.
            found = await objects.read(self._api, kind, key)
        if found and not _is_owned_by(found, uid):
            raise WorkloadError(
                f"{kind.kind} {key} exists and does not belong to this endpoint: "
                "delete or rename it, or give the endpoint another name"
            )
        return found

    async def ensure(self, wanted: dict[str, Any], found: dict[str, Any] | None) -> None:
        """Apply an object unless `found`, what stands in its place, is as wanted. Raises WorkloadError."""
        kind, obj = _KINDS[wanted["kind"]], stamped(wanted)
        newest = self.get(kind, NamespacedName.of(wanted)) or found
        if newest is None or not is_as_applied(obj, newest):
            await objects.apply(self._api, kind, _this_very(obj, newest))

    def expect(self, endpoint: NamespacedName, wanted: Sequence[dict[str, Any]]) -> None:
        """From now on the endpoint is disturbed while one of these is not as wanted. None of them: it is to go."""
        if wanted:
            self._expected[endpoint] = tuple(stamped(obj) for obj in wanted)
        else:
            self._expected.pop(endpoint, None)

    async def disturbed(self) -> AsyncIterator[NamespacedName]:
        """Endpoints of which somebody deleted or changed an object, without end."""
        async for endpoint in changes_of(*self._caches.values(), of=_owner):
            if not all(self._stands(obj) for obj in self._expected.get(endpoint, ())):
                yield endpoint

    def _stands(self, wanted: dict[str, Any]) -> bool:
        found = self._caches[wanted["kind"]].get(NamespacedName.of(wanted))
        return found is not None and is_as_applied(wanted, found)


def _this_very(obj: dict[str, Any], found: dict[str, Any] | None) -> dict[str, Any]:
    """One that was deleted meanwhile is not created by changing it: a Deployment would be born with a pod."""
    return {**obj, "metadata": {**obj["metadata"], "uid": found["metadata"]["uid"]}} if found else obj


def _owner(obj: dict[str, Any]) -> NamespacedName:
    """The endpoint that owns it, whatever somebody made of its labels."""
    owners = obj["metadata"].get("ownerReferences", ())
    names = [owner["name"] for owner in owners if owner["kind"] == INFERENCE_ENDPOINT.kind]
    return NamespacedName(obj["metadata"]["namespace"], names[0]) if names else endpoint_of(obj)


def _is_owned_by(found: dict[str, Any], uid: str) -> bool:
    return any(owner["uid"] == uid for owner in found["metadata"].get("ownerReferences", ()))
