"""Labels and owner reference that all objects of one endpoint share."""

from typing import Any

from nightlatch.api.meta import INFERENCE_ENDPOINT, NamespacedName
from nightlatch.api.names import LABEL_ENDPOINT
from nightlatch.planning.workload import Workload

MANAGED_BY = "app.kubernetes.io/managed-by"
MANAGER = "nightlatch"


def selector(endpoint: NamespacedName) -> dict[str, str]:
    """Labels that every pod of the endpoint carries, and no other pod of its namespace."""
    return {LABEL_ENDPOINT: endpoint.name}


def labels(endpoint: NamespacedName) -> dict[str, str]:
    """Labels of every object of the endpoint."""
    return {
        "app.kubernetes.io/name": "model-server",
        "app.kubernetes.io/instance": endpoint.name,
        MANAGED_BY: MANAGER,
        **selector(endpoint),
    }


def owner(workload: Workload) -> dict[str, Any]:
    """The ownerReference: when the endpoint is deleted, Kubernetes deletes the object."""
    return {
        "apiVersion": INFERENCE_ENDPOINT.api_version,
        "kind": INFERENCE_ENDPOINT.kind,
        "name": workload.endpoint.name,
        "uid": workload.uid,
        "controller": True,
        "blockOwnerDeletion": True,
    }


def metadata(workload: Workload, name: str) -> dict[str, Any]:
    """Metadata of one object of the endpoint."""
    return {
        "name": name,
        "namespace": workload.endpoint.namespace,
        "labels": labels(workload.endpoint),
        "ownerReferences": [owner(workload)],
    }
