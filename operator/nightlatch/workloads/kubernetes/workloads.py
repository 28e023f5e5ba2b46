"""The workloads seam over Kubernetes: a Deployment and the objects that belong to it, by server-side apply."""

from collections.abc import AsyncIterator, Mapping
from typing import Any

from nightlatch.api import names
from nightlatch.api.meta import Kind, NamespacedName
from nightlatch.kube.client import ApiServer
from nightlatch.planning.objects.cluster import ClusterSettings
from nightlatch.planning.objects.deployment import deployment
from nightlatch.planning.objects.installation_state import installation_state
from nightlatch.planning.objects.network_policy import network_policy
from nightlatch.planning.objects.pod_disruption_budget import pod_disruption_budget
from nightlatch.planning.objects.service_account import service_account
from nightlatch.planning.objects.services import front_service, pods_service
from nightlatch.planning.objects.trust_bundle import trust_bundle
from nightlatch.planning.workload import Workload
from nightlatch.workloads.kubernetes import objects
from nightlatch.workloads.kubernetes.owned import (
    DEPLOYMENT,
    NETWORK_POLICY,
    POD_DISRUPTION_BUDGET,
    SERVICE,
    SERVICE_ACCOUNT,
    OwnedObjects,
)
from nightlatch.workloads.kubernetes.pod_state import Cause, cause, replica
from nightlatch.workloads.kubernetes.pods import POD, changes_of, endpoint_of, labelled, pods_of
from nightlatch.workloads.protocol import Failure, WorkloadError, WorkloadState

CONFIG_MAP = Kind("v1", "ConfigMap", "configmaps")

# A separate field manager owns `replicas`, so that applying the rest of the Deployment never sets or removes it.
_SCALER = "nightlatch-autoscaler"


class KubernetesWorkloads:
    """Workloads over Deployments."""

    def __init__(self, api: ApiServer, cluster: ClusterSettings, namespaces: tuple[str, ...] = ()) -> None:
        self._api = api
        self._cluster = cluster
        self._pods = labelled(api, POD, namespaces)
        self._owned = OwnedObjects(api, namespaces)
        self._causes: dict[NamespacedName, tuple[int, Cause]] = {}

    async def close(self) -> None:
        """Stop following pods and objects."""
        await self._pods.close()
        await self._owned.close()

    async def observe(self, endpoint: NamespacedName) -> WorkloadState | None:
        await self._pods.synced()
        await self._owned.deployments.synced()
        found = self._owned.get(DEPLOYMENT, endpoint)
        if found is None:
            return None
        pods = pods_of(self._pods, endpoint)
        return WorkloadState(
            desired=found["spec"].get("replicas", 0),
            replicas=tuple(replica(pod) for pod in pods),
            failure=self._failure(endpoint, cause(pods, found)),
        )

    async def changes(self) -> AsyncIterator[NamespacedName]:
        async for key in changes_of(self._pods, self._owned.deployments):
            yield key

    async def listed(self) -> tuple[NamespacedName, ...]:
        await self._owned.deployments.synced()
        return tuple(endpoint_of(found) for found in self._owned.deployments.values())

    async def disturbed(self) -> AsyncIterator[NamespacedName]:
        """Yield endpoints of which somebody deleted or changed an object, so that they are ensured again."""
        async for key in self._owned.disturbed():
            yield key

    async def ensure(self, workload: Workload) -> None:
        """A foreign object with one of the names is an error before anything is applied."""
        await self._owned.synced()
        endpoint, wanted = workload.endpoint, self._objects(workload)
        found = [await self._owned.claim(obj, workload.uid) for obj in wanted]
        self._owned.expect(endpoint, wanted)
        await self._start_at_zero(endpoint, wanted[-1], found[-1])
        for obj, there in zip(wanted, found, strict=True):
            await self._owned.ensure(obj, there)
        if workload.max_replicas <= 1 and self._owned.get(POD_DISRUPTION_BUDGET, endpoint):
            await objects.delete_ours(self._api, POD_DISRUPTION_BUDGET, endpoint)

    async def scale(self, endpoint: NamespacedName, replicas: int) -> None:
        await objects.apply(self._api, DEPLOYMENT, _replicas(endpoint, replicas), manager=_SCALER)

    async def remove(self, endpoint: NamespacedName) -> None:
        """Kubernetes deletes everything else with its owner, the InferenceEndpoint."""
        self._owned.expect(endpoint, ())
        for kind, name in (
            (DEPLOYMENT, endpoint.name),
            (SERVICE, endpoint.name),
            (SERVICE, names.pods_service(endpoint)),
            (NETWORK_POLICY, endpoint.name),
            (POD_DISRUPTION_BUDGET, endpoint.name),
            (SERVICE_ACCOUNT, names.service_account(endpoint)),
        ):
            await objects.delete_ours(self._api, kind, NamespacedName(endpoint.namespace, name))

    async def publish_trust(self, namespace: str, bundle: str) -> None:
        """Write the ConfigMap `nightlatch-ca`, unless a foreign one has its name."""
        wanted = trust_bundle(namespace, bundle)
        found = await objects.read(self._api, CONFIG_MAP, NamespacedName.of(wanted))
        if found and not objects.has_our_label(found):
            raise WorkloadError(
                f"ConfigMap {NamespacedName.of(wanted)} was not created by Nightlatch: "
                "rename it, because callers look there for the CA"
            )
        if not found or found.get("data") != wanted["data"]:
            await objects.apply(self._api, CONFIG_MAP, wanted)

    async def tell_installation(self, told: Mapping[str, str]) -> Mapping[str, str]:
        """Write the ConfigMap `nightlatch-installation`, unless a foreign one has its name."""
        wanted = installation_state(self._cluster.operator_namespace, told)
        found = await objects.read(self._api, CONFIG_MAP, NamespacedName.of(wanted))
        if found and not objects.has_our_label(found):
            raise WorkloadError(f"ConfigMap {NamespacedName.of(wanted)} was not created by Nightlatch: rename it")
        if not found or (found.get("data") or {}) != wanted["data"]:
            await objects.apply(self._api, CONFIG_MAP, wanted)
        return (found or {}).get("metadata", {}).get("annotations") or {}

    def _objects(self, workload: Workload) -> list[dict[str, Any]]:
        """In the order in which pods need them: the Deployment is last."""
        return [
            service_account(workload),
            network_policy(workload, self._cluster),
            pods_service(workload),
            front_service(workload, self._cluster),
            *([pod_disruption_budget(workload)] if workload.max_replicas > 1 else []),
            deployment(workload, self._cluster),
        ]

    async def _start_at_zero(
        self, endpoint: NamespacedName, wanted: dict[str, Any], found: dict[str, Any] | None
    ) -> None:
        """A Deployment without `replicas` gets one pod by default, so give it zero as the autoscaler's manager."""
        if found and _autoscaler_owns_replicas(found):
            return
        # Read it from the API server: the copy may be older than the autoscaler's last change.
        there = await objects.read(self._api, DEPLOYMENT, endpoint)
        if there is None:
            await objects.apply(self._api, DEPLOYMENT, {**wanted, "spec": {**wanted["spec"], "replicas": 0}})
        if there is None or not _autoscaler_owns_replicas(there):
            await self.scale(endpoint, there["spec"].get("replicas", 0) if there else 0)

    def _failure(self, endpoint: NamespacedName, found: Cause | None) -> Failure | None:
        """Number the failures, so that each is reported once."""
        if found is None:
            return None
        attempt, last = self._causes.get(endpoint, (0, None))
        if last is None or (last.reason, last.occurrence) != (found.reason, found.occurrence):
            attempt += 1
        self._causes[endpoint] = (attempt, found)
        return Failure(attempt, found.reason, found.message)


def _replicas(endpoint: NamespacedName, replicas: int) -> dict[str, Any]:
    return {
        "apiVersion": DEPLOYMENT.api_version,
        "kind": DEPLOYMENT.kind,
        "metadata": {"name": endpoint.name, "namespace": endpoint.namespace},
        "spec": {"replicas": replicas},
    }


def _autoscaler_owns_replicas(found: dict[str, Any]) -> bool:
    managers = found["metadata"].get("managedFields", ())
    return any(entry.get("manager") == _SCALER for entry in managers)
