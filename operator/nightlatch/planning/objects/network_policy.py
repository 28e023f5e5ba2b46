"""Only the gateways may reach the pods' serving port, and the pods may open no connection.

This needs a CNI that enforces network policies. It is never the only control: the serving port also requires the
gateway's certificate.
"""

from typing import Any

from nightlatch.planning.objects.cluster import ADMIN_PORT, SERVING_PORT, ClusterSettings
from nightlatch.planning.objects.metadata import metadata, selector
from nightlatch.planning.workload import Workload


def network_policy(workload: Workload, cluster: ClusterSettings) -> dict[str, Any]:
    """The admin port (health, metrics) stays open to scrapers inside the cluster."""
    gateways = {
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": cluster.gateway_namespace}},
        "podSelector": {"matchLabels": dict(cluster.gateway_labels)},
    }
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": metadata(workload, workload.endpoint.name),
        "spec": {
            "podSelector": {"matchLabels": selector(workload.endpoint)},
            "policyTypes": ["Ingress", "Egress"],
            "ingress": [
                {"from": [gateways], "ports": [{"port": SERVING_PORT, "protocol": "TCP"}]},
                {"ports": [{"port": ADMIN_PORT, "protocol": "TCP"}]},
            ],
            "egress": [],
        },
    }
