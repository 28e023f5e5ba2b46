"""The model server of an endpoint."""

from nightlatch.api import names
from nightlatch.api.endpoint import EndpointSpec
from nightlatch.api.meta import ObjectMeta
from nightlatch.planning.settings import Settings
from nightlatch.planning.workload import Workload


def model_server(settings: Settings, metadata: ObjectMeta, spec: EndpointSpec) -> Workload:
    """The argument of `Workloads.ensure`. It does not say how many replicas run: the autoscaler does."""
    return Workload(
        endpoint=metadata.key,
        uid=metadata.uid,
        model_name=spec.model.name or metadata.name,
        source=spec.model.source,
        digest=spec.model.digest,
        runtime=spec.runtime,
        tls_secret=names.upstream_tls(metadata.key),
        admit=names.gateway_identity(settings.trust_domain),
    )
