"""The desired model server of one endpoint, in terms of no platform."""

from dataclasses import dataclass

from nightlatch.api.endpoint import ModelSource, Runtime
from nightlatch.api.meta import NamespacedName


@dataclass(frozen=True, slots=True)
class Workload:
    """See the module.

    tls_secret: a `kubernetes.io/tls` Secret with ca.crt in the endpoint's namespace, for the serving port.
    admit: the SPIFFE identity (the gateway's) that alone may call the serving port.
    max_replicas: decides on a disruption budget; how many there are now is the autoscaler's business.
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
