"""The endpoint's two Services: the name callers use, which leads to the gateways, and the pods behind them."""

from typing import Any

from nightlatch.planning.objects.cluster import SERVING_PORT, ClusterSettings
from nightlatch.planning.objects.metadata import metadata, selector
from nightlatch.planning.workload import Workload


def front_service(workload: Workload, cluster: ClusterSettings) -> dict[str, Any]:
    """`NAME.NS.svc`: an ExternalName of the gateways, so that a caller in the cluster meets the gate first."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata(workload, workload.endpoint.name),
        "spec": {"type": "ExternalName", "externalName": cluster.gateway_host},
    }


def pods_service(workload: Workload) -> dict[str, Any]:
    """`NAME-pods`: headless. Unready addresses are published too, since the gatekeeper probes by itself."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata(workload, f"{workload.endpoint.name}-pods"),
        "spec": {
            "clusterIP": "None",
            "publishNotReadyAddresses": True,
            "selector": selector(workload.endpoint),
            "ports": [{"name": "serving", "port": SERVING_PORT, "targetPort": "serving", "protocol": "TCP"}],
        },
    }
