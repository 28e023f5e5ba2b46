"""The certificate of the model server's serving port: in the endpoint's own namespace."""

from nightlatch.api import names
from nightlatch.api.meta import Key
from nightlatch.pki import LeafRequest
from nightlatch.planning.actions import Owner
from nightlatch.planning.leaves import WantedLeaf
from nightlatch.planning.settings import Settings, pod_hosts


def upstream_leaf(settings: Settings, endpoint: Key, owner: Owner) -> WantedLeaf:
    """Identified by its SPIFFE id, which the gateway demands."""
    request = LeafRequest(
        identity=names.endpoint_identity(settings.trust_domain, endpoint),
        usage="server",
        dns_names=pod_hosts(settings, endpoint),
        duration=settings.leaf_duration,
    )
    key = Key(endpoint.namespace, names.upstream_tls(endpoint))
    return WantedLeaf(key, names.ROLE_UPSTREAM_TLS, owner, request)
