"""The two certificates of an endpoint: one for callers, and one that its model server shows to the gateway."""

from dataclasses import replace
from datetime import timedelta

from nightlatch.api import names
from nightlatch.api.duration import parse_duration, renewal_window
from nightlatch.api.endpoint import Tls
from nightlatch.api.meta import NamespacedName
from nightlatch.pki import LeafRequest
from nightlatch.planning.leaves import WantedLeaf
from nightlatch.planning.plan import Owner
from nightlatch.planning.settings import Settings, hosts, pod_hosts


def server_leaf(settings: Settings, endpoint: NamespacedName, owner: Owner, tls: Tls, asked: str = "") -> WantedLeaf:
    """For callers. Kept in the operator's namespace, copied into the route document, valid for `spec.tls.duration`.

    asked: the newest request to renew it.
    """
    request = LeafRequest(
        identity=names.endpoint_identity(settings.trust_domain, endpoint),
        usage="server",
        dns_names=hosts(settings, endpoint),
        duration=timedelta(seconds=parse_duration(tls.duration)),
    )
    key = NamespacedName(settings.operator_namespace, names.server_tls(endpoint))
    renew_before = timedelta(seconds=renewal_window(tls.duration, tls.renew_before))
    return WantedLeaf(key, names.ROLE_SERVER_TLS, owner, request, renew_before, asked)


def serving_leaf(settings: Settings, endpoint: NamespacedName, owner: Owner, tls: Tls, asked: str = "") -> WantedLeaf:
    """For callers, from an issuer of cert-manager. In the endpoint's namespace, where a namespaced issuer is.

    Callers check its DNS names. A public issuer signs no SPIFFE id, so none is asked for.
    """
    own = server_leaf(settings, endpoint, owner, tls, asked)
    key = NamespacedName(endpoint.namespace, names.serving_cert(endpoint))
    labels = {names.LABEL_ENDPOINT: endpoint.name}
    return replace(own, key=key, request=replace(own.request, identity=""), labels=labels)


def upstream_leaf(settings: Settings, endpoint: NamespacedName, owner: Owner, asked: str = "") -> WantedLeaf:
    """For the serving port, in the endpoint's own namespace. The gateway checks its SPIFFE identity."""
    request = LeafRequest(
        identity=names.endpoint_identity(settings.trust_domain, endpoint),
        usage="server",
        dns_names=pod_hosts(settings, endpoint),
        duration=settings.leaf_duration,
    )
    key = NamespacedName(endpoint.namespace, names.upstream_tls(endpoint))
    return WantedLeaf(key, names.ROLE_UPSTREAM_TLS, owner, request, asked=asked)
