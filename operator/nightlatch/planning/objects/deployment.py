"""The model server's Deployment, without `replicas`, which belongs to the autoscaler."""

from typing import Any

from nightlatch.planning.objects.cluster import ClusterSettings
from nightlatch.planning.objects.metadata import labels, metadata, selector
from nightlatch.planning.objects.pod import pod_spec
from nightlatch.planning.workload import Workload


def deployment(workload: Workload, cluster: ClusterSettings) -> dict[str, Any]:
    """The Deployment, for server-side apply."""
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": metadata(workload, workload.endpoint.name),
        "spec": {
            "selector": {"matchLabels": selector(workload.endpoint)},
            "revisionHistoryLimit": 2,
            "progressDeadlineSeconds": 600,
            "strategy": {"type": "RollingUpdate", "rollingUpdate": _rolling_update(workload)},
            "template": {
                "metadata": _pod_metadata(workload),
                "spec": pod_spec(workload, cluster),
            },
        },
    }


def _pod_metadata(workload: Workload) -> dict[str, Any]:
    """Our own labels win: they select the pods. The CRD refuses them in `podLabels` already."""
    given = workload.runtime
    made: dict[str, Any] = {"labels": {**given.pod_labels, **labels(workload.endpoint)}}
    return {**made, "annotations": dict(given.pod_annotations)} if given.pod_annotations else made


def _rolling_update(workload: Workload) -> dict[str, int]:
    """A rollout rarely finds a second free GPU, but nearly always room for a second CPU pod."""
    if _asks_for_gpu(workload):
        return {"maxSurge": 0, "maxUnavailable": 1}
    return {"maxSurge": 1, "maxUnavailable": 0}


def _asks_for_gpu(workload: Workload) -> bool:
    resources = workload.runtime.resources
    return resources is not None and any("gpu" in name for name in {**resources.requests, **resources.limits})
