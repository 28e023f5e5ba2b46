"""A budget for endpoints with several pods; one pod alone gets none, since that could only block a drain."""

from typing import Any

from nightlatch.planning.objects.metadata import metadata, selector
from nightlatch.planning.workload import Workload


def pod_disruption_budget(workload: Workload) -> dict[str, Any]:
    """At most one pod away at a time: a drain always goes on."""
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": metadata(workload, workload.endpoint.name),
        "spec": {"maxUnavailable": 1, "selector": {"matchLabels": selector(workload.endpoint)}},
    }
