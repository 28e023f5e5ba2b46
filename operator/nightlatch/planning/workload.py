"""The desired model server of one endpoint, independent of the platform."""

from dataclasses import dataclass

from nightlatch.api.endpoint import ModelSource, Runtime
from nightlatch.api.meta import NamespacedName


@dataclass(frozen=True, slots=True)
class Workload:
    """The model server of `endpoint`.

    tls_secret: a `kubernetes.io/tls` Secret with ca.crt in the endpoint's namespace, for the serving port.
    admit: the only SPIFFE identity that may call the serving port (the gateway's).
    max_replicas: decides whether there is a disruption budget; the autoscaler decides how many replicas run now.
    """

    endpoint: NamespacedName
    uid: str
    model_name: str
    source: ModelSource
    digest: str | None
    runtime: Runtime
    tls_secret: str
    admit: str
    max_replicas: int = 1
