"""What the builders must know about the installation in a cluster."""

from dataclasses import dataclass

from nightlatch.api import names

SERVING_PORT = 8443
ADMIN_PORT = 8081


@dataclass(frozen=True, slots=True)
class ClusterSettings:
    """Set by the chart.

    gateway_service: name of the gateways' Service in `gateway_namespace`. `gateway_labels` select the gateway pods.
    """

    model_server_image: str
    gateway_namespace: str
    gateway_service: str
    operator_namespace: str = names.DEFAULT_OPERATOR_NAMESPACE
    cluster_domain: str = "cluster.local"
    image_pull_policy: str = "IfNotPresent"
    gateway_labels: tuple[tuple[str, str], ...] = (("app.kubernetes.io/component", "gateway"),)

    @property
    def gateway_host(self) -> str:
        """DNS name of the gateways' Service."""
        return f"{self.gateway_service}.{self.gateway_namespace}.svc.{self.cluster_domain}"
