"""The workloads seam over Kubernetes: a Deployment and what belongs to it, by server-side apply."""

from collections.abc import AsyncIterator
from typing import Any

from nightlatch.api.meta import Key, Kind
from nightlatch.apiserver.client import APPLY, ApiServer
from nightlatch.apiserver.errors import ApiServerError
from nightlatch.apiserver.paths import item
from nightlatch.planning.objects.cluster import ClusterSettings
from nightlatch.planning.objects.deployment import deployment
from nightlatch.planning.objects.metadata import MANAGED_BY, MANAGER
from nightlatch.planning.objects.network_policy import network_policy
from nightlatch.planning.objects.pod_disruption_budget import pod_disruption_budget
from nightlatch.planning.objects.service_account import service_account
from nightlatch.planning.objects.services import front_service, pods_service
from nightlatch.planning.objects.trust_bundle import trust_bundle
from nightlatch.planning.workload import Workload
from nightlatch.workloads.pod_state import Cause, cause, replica
from nightlatch.workloads.pods import PodReader, changes_of, endpoint_of, labelled
from nightlatch.workloads.protocol import Failure, WorkloadError, WorkloadState

DEPLOYMENT = Kind("apps/v1", "Deployment", "deployments")
SERVICE = Kind("v1", "Service", "services")
SERVICE_ACCOUNT = Kind("v1", "ServiceAccount", "serviceaccounts")
CONFIG_MAP = Kind("v1", "ConfigMap", "configmaps")
NETWORK_POLICY = Kind("networking.k8s.io/v1", "NetworkPolicy", "networkpolicies")
POD_DISRUPTION_BUDGET = Kind("policy/v1", "PodDisruptionBudget", "poddisruptionbudgets")
_KINDS = {
    kind.kind: kind
    for kind in (DEPLOYMENT, SERVICE, SERVICE_ACCOUNT, CONFIG_MAP, NETWORK_POLICY, POD_DISRUPTION_BUDGET)
}

# `replicas` has a field manager of its own, so that applying the rest can never take it away or set it.
_MANAGER = {"fieldManager": "nightlatch", "force": "true"}
_SCALER = {"fieldManager": "nightlatch-autoscaler", "force": "true"}


class KubernetesWorkloads(PodReader):
    """See `nightlatch.workloads.protocol.Workloads`."""

    def __init__(self, api: ApiServer, cluster: ClusterSettings, namespaces: tuple[str, ...] = ()) -> None:
        super().__init__(api, namespaces)
        self._api = api
        self._cluster = cluster
        self._deployments = labelled(api, DEPLOYMENT, namespaces)
        self._causes: dict[Key, tuple[int, Cause]] = {}

    async def close(self) -> None:
        """Stop following pods and Deployments."""
        await self._pods.close()
        await self._deployments.close()

    async def observe(self, endpoint: Key) -> WorkloadState | None:
        """See the protocol."""
        await self._pods.synced()
        await self._deployments.synced()
        found = self._deployments.get(endpoint)
        if found is None:
            return None
        pods = self.pods_of(endpoint)
        return WorkloadState(
            desired=found["spec"].get("replicas", 0),
            replicas=tuple(replica(pod) for pod in pods),
            failure=self._failure(endpoint, cause(pods, found)),
        )

    async def changes(self) -> AsyncIterator[Key]:
        """See the protocol."""
        async for key in changes_of(self._pods, self._deployments):
            yield key

    async def listed(self) -> tuple[Key, ...]:
        """See the protocol."""
        await self._deployments.synced()
        return tuple(endpoint_of(found) for found in self._deployments.values())

    async def ensure(self, workload: Workload) -> None:
        """See the protocol. An object of one of our names that is not ours stops it before anything is applied."""
        wanted = self._objects(workload)
        for obj in wanted:
            await self._refuse_foreign(obj, workload.uid)
        for obj in wanted:
            await self._apply(obj, _MANAGER)
        await self._ensure_deployment(workload)

    async def scale(self, endpoint: Key, replicas: int) -> None:
        """See the protocol."""
        await self._apply(_replicas(endpoint, replicas), _SCALER)

    async def remove(self, endpoint: Key) -> None:
        """See the protocol. Everything else goes with the InferenceEndpoint, by ownerReference."""
        for kind, name in (
            (DEPLOYMENT, endpoint.name),
            (SERVICE, endpoint.name),
            (SERVICE, f"{endpoint.name}-pods"),
            (NETWORK_POLICY, endpoint.name),
            (POD_DISRUPTION_BUDGET, endpoint.name),
            (SERVICE_ACCOUNT, f"{endpoint.name}-model-server"),
        ):
            await self._delete_ours(kind, Key(endpoint.namespace, name))

    async def publish_trust(self, namespace: str, bundle: str) -> None:
        """Write ConfigMap `nightlatch-ca` for the callers of a namespace, unless a foreign one stands there."""
        wanted = trust_bundle(namespace, bundle)
        found = await self._get(CONFIG_MAP, Key.of(wanted))
        if found and not _has_our_label(found):
            raise WorkloadError(
                f"ConfigMap {Key.of(wanted)} exists and is not ours: rename it, callers look there for the CA"
            )
        if not found or found.get("data") != wanted["data"]:
            await self._apply(wanted, _MANAGER)

    def _objects(self, workload: Workload) -> list[dict[str, Any]]:
        """Everything but the Deployment, in the order in which pods need it."""
        return [
            service_account(workload),
            network_policy(workload, self._cluster),
            pods_service(workload),
            front_service(workload, self._cluster),
            *([pod_disruption_budget(workload)] if workload.max_replicas > 1 else []),
        ]

    async def _ensure_deployment(self, workload: Workload) -> None:
        """A Deployment without `replicas` gets one by default: it is born with zero, which the autoscaler then owns."""
        wanted = deployment(workload, self._cluster)
        found = await self._refuse_foreign(wanted, workload.uid)
        if found is None:
            await self._apply({**wanted, "spec": {**wanted["spec"], "replicas": 0}}, _MANAGER)
        if found is None or not _autoscaler_owns_replicas(found):
            current = found["spec"].get("replicas", 0) if found else 0
            await self._apply(_replicas(workload.endpoint, current), _SCALER)
        await self._apply(wanted, _MANAGER)

    async def _refuse_foreign(self, obj: dict[str, Any], uid: str) -> dict[str, Any] | None:
        found = await self._get(_KINDS[obj["kind"]], Key.of(obj))
        if found and not _is_owned_by(found, uid):
            raise WorkloadError(
                f"{obj['kind']} {Key.of(obj)} exists and does not belong to this endpoint: "
                "delete or rename it, or give the endpoint another name"
            )
        return found

    async def _get(self, kind: Kind, key: Key) -> dict[str, Any] | None:
        try:
            return await self._api.request("GET", item(kind, key.namespace, key.name))
        except ApiServerError as error:
            if error.code == 404:
                return None
            raise WorkloadError(f"cannot read {kind.kind} {key}: {error}") from error

    async def _apply(self, obj: dict[str, Any], query: dict[str, str]) -> None:
        key, kind = Key.of(obj), _KINDS[obj["kind"]]
        path = item(kind, key.namespace, key.name)
        try:
            await self._api.request("PATCH", path, query=query, body=obj, content_type=APPLY)
        except ApiServerError as error:
            raise WorkloadError(f"cannot apply {obj['kind']} {key}: {error}") from error

    async def _delete_ours(self, kind: Kind, key: Key) -> None:
        found = await self._get(kind, key)
        if found is None or not _has_our_label(found):
            return
        options = {"preconditions": {"uid": found["metadata"]["uid"]}, "propagationPolicy": "Background"}
        try:
            await self._api.request("DELETE", item(kind, key.namespace, key.name), body=options)
        except ApiServerError as error:
            if error.code not in {404, 409}:
                raise WorkloadError(f"cannot delete {kind.kind} {key}: {error}") from error

    def _failure(self, endpoint: Key, found: Cause | None) -> Failure | None:
        """Number the failures, so that each is told once."""
        if found is None:
            return None
        attempt, last = self._causes.get(endpoint, (0, None))
        if last is None or (last.reason, last.occurrence) != (found.reason, found.occurrence):
            attempt += 1
        self._causes[endpoint] = (attempt, found)
        return Failure(attempt, found.reason, found.message)


def _replicas(endpoint: Key, replicas: int) -> dict[str, Any]:
    return {
        "apiVersion": DEPLOYMENT.api_version,
        "kind": DEPLOYMENT.kind,
        "metadata": {"name": endpoint.name, "namespace": endpoint.namespace},
        "spec": {"replicas": replicas},
    }


def _autoscaler_owns_replicas(found: dict[str, Any]) -> bool:
    managers = found["metadata"].get("managedFields", ())
    return any(entry.get("manager") == _SCALER["fieldManager"] for entry in managers)


def _is_owned_by(found: dict[str, Any], uid: str) -> bool:
    return any(owner["uid"] == uid for owner in found["metadata"].get("ownerReferences", ()))


def _has_our_label(found: dict[str, Any]) -> bool:
    return (found["metadata"].get("labels") or {}).get(MANAGED_BY) == MANAGER
