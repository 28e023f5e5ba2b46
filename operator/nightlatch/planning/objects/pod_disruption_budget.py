"""A disruption budget for endpoints with several pods. For one pod it could only block the drain of a node."""

from typing import Any

from nightlatch.planning.objects.metadata import metadata, selector
from nightlatch.planning.workload import Workload


def pod_disruption_budget(workload: Workload) -> dict[str, Any]:
    """At most one pod may be missing at a time, so a node's drain always proceeds."""
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": metadata(workload, workload.endpoint.name),
        "spec": {"maxUnavailable": 1, "selector": {"matchLabels": selector(workload.endpoint)}},
    }
