"""Who may reach the model pods: the gateways alone on the serving port; nothing may leave.

It needs a CNI that enforces policies, and is never the only control: the serving port also asks for the gateway's
certificate.
"""

from typing import Any

from nightlatch.planning.objects.cluster import ADMIN_PORT, SERVING_PORT, ClusterSettings
from nightlatch.planning.objects.metadata import metadata, selector
from nightlatch.planning.workload import Workload


def network_policy(workload: Workload, cluster: ClusterSettings) -> dict[str, Any]:
    """The NetworkPolicy. The admin port (health, metrics) stays open to scrapers inside the cluster."""
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
