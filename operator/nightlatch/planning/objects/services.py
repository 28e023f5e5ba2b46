"""The endpoint's two Services: the name that callers use, which leads to the gateways, and the pods."""

from typing import Any

from nightlatch.api import names
from nightlatch.planning.objects.cluster import SERVING_PORT, ClusterSettings
from nightlatch.planning.objects.metadata import metadata, selector
from nightlatch.planning.workload import Workload


def front_service(workload: Workload, cluster: ClusterSettings) -> dict[str, Any]:
    """`NAME.NS.svc`: an ExternalName of the gateways, so that callers in the cluster go through a gateway."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata(workload, workload.endpoint.name),
        "spec": {"type": "ExternalName", "externalName": cluster.gateway_host},
    }


def pods_service(workload: Workload) -> dict[str, Any]:
    """Headless. It publishes unready addresses as well, because the gatekeeper probes pods itself."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata(workload, names.pods_service(workload.endpoint)),
        "spec": {
            "clusterIP": "None",
            "publishNotReadyAddresses": True,
            "selector": selector(workload.endpoint),
            "ports": [{"name": "serving", "port": SERVING_PORT, "targetPort": "serving", "protocol": "TCP"}],
        },
    }
