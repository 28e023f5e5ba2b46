"""The two certificates of an endpoint: one for callers, and one that its model server shows to the gateway."""

from datetime import timedelta

from nightlatch.api import names
from nightlatch.api.duration import parse_duration, renewal_window
from nightlatch.api.endpoint import Tls
from nightlatch.api.meta import NamespacedName
from nightlatch.pki import LeafRequest
from nightlatch.planning.leaves import WantedLeaf
from nightlatch.planning.plan import Owner
from nightlatch.planning.settings import Settings, hosts, pod_hosts


def server_leaf(settings: Settings, endpoint: NamespacedName, owner: Owner, tls: Tls) -> WantedLeaf:
    """For callers. Kept in the operator's namespace, copied into the route document, valid for `spec.tls.duration`."""
    request = LeafRequest(
        identity=names.endpoint_identity(settings.trust_domain, endpoint),
        usage="server",
        dns_names=hosts(settings, endpoint),
        duration=timedelta(seconds=parse_duration(tls.duration)),
    )
    key = NamespacedName(settings.operator_namespace, names.server_tls(endpoint))
    renew_before = timedelta(seconds=renewal_window(tls.duration, tls.renew_before))
    return WantedLeaf(key, names.ROLE_SERVER_TLS, owner, request, renew_before)


def upstream_leaf(settings: Settings, endpoint: NamespacedName, owner: Owner) -> WantedLeaf:
    """For the serving port, in the endpoint's own namespace. The gateway checks its SPIFFE identity."""
    request = LeafRequest(
        identity=names.endpoint_identity(settings.trust_domain, endpoint),
        usage="server",
        dns_names=pod_hosts(settings, endpoint),
        duration=settings.leaf_duration,
    )
    key = NamespacedName(endpoint.namespace, names.upstream_tls(endpoint))
    return WantedLeaf(key, names.ROLE_UPSTREAM_TLS, owner, request)
