"""The cluster of one endpoint (its model servers, over mTLS) and the addresses in it."""

from envoy.config.cluster.v3 import cluster_pb2
from envoy.config.endpoint.v3 import endpoint_pb2
from envoy.extensions.transport_sockets.tls.v3 import common_pb2, tls_pb2
from envoy.extensions.upstreams.http.v3 import http_protocol_options_pb2
from envoy.type.matcher.v3 import string_pb2

from nightlatch.routing.ir import EndpointIR, UpstreamIR
from nightlatch.routing.xds.types import CLIENT_SECRET, TRUST_SECRET, ads, pack, seconds

# What may wait in one connection, in either direction.
_CONNECTION_BUFFER = 64 << 10
# Includes the TLS handshake: a wake releases a burst of calls at a replica that is busy, which makes it slow, not dead.
_CONNECT_TIMEOUT = 10.0
_HTTP_OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
_SAN_URI = 3


def build_cluster(endpoint: EndpointIR, upstream: UpstreamIR) -> cluster_pb2.Cluster:
    """The cluster. Addresses come by EDS, certificate and trust by SDS, so a rotation does not change it."""
    cluster = cluster_pb2.Cluster(
        name=endpoint.name,
        type=cluster_pb2.Cluster.EDS,
        connect_timeout=seconds(_CONNECT_TIMEOUT),
        lb_policy=cluster_pb2.Cluster.LEAST_REQUEST,
        ignore_health_on_host_removal=True,
    )
    cluster.eds_cluster_config.eds_config.CopyFrom(ads())
    cluster.lrs_server.self.SetInParent()
    cluster.per_connection_buffer_limit_bytes.value = _CONNECTION_BUFFER
    _limit(cluster, upstream.max_in_flight)
    cluster.typed_extension_protocol_options[_HTTP_OPTIONS].CopyFrom(pack(_http1()))
    cluster.transport_socket.name = "envoy.transport_sockets.tls"
    cluster.transport_socket.typed_config.CopyFrom(pack(_tls(upstream)))
    return cluster


def build_assignment(endpoint: EndpointIR) -> endpoint_pb2.ClusterLoadAssignment:
    """The addresses that take calls, in one locality, because load reports need one."""
    assignment = endpoint_pb2.ClusterLoadAssignment(cluster_name=endpoint.name)
    if endpoint.serving.addresses:
        locality = assignment.endpoints.add()
        locality.locality.region = "local"
        for host, port in endpoint.serving.addresses:
            address = locality.lb_endpoints.add().endpoint.address.socket_address
            address.address, address.port_value = host, port
    return assignment


def _limit(cluster: cluster_pb2.Cluster, calls: int) -> None:
    """Each call has a connection, because the model servers speak HTTP/1.1; beyond the limit callers get a 429."""
    limits = cluster.circuit_breakers.thresholds.add()
    for limit in (limits.max_connections, limits.max_pending_requests, limits.max_requests, limits.max_retries):
        limit.value = calls


def _http1() -> http_protocol_options_pb2.HttpProtocolOptions:
    options = http_protocol_options_pb2.HttpProtocolOptions()
    options.explicit_http_config.http_protocol_options.SetInParent()
    return options


def _tls(upstream: UpstreamIR) -> tls_pb2.UpstreamTlsContext:
    context = tls_pb2.UpstreamTlsContext()
    common = context.common_tls_context
    common.tls_params.tls_minimum_protocol_version = common_pb2.TlsParameters.TLSv1_2
    common.tls_params.tls_maximum_protocol_version = common_pb2.TlsParameters.TLSv1_3
    common.alpn_protocols.append("http/1.1")
    common.tls_certificate_sds_secret_configs.add(name=CLIENT_SECRET, sds_config=ads())
    validation = common.combined_validation_context
    validation.validation_context_sds_secret_config.name = TRUST_SECRET
    validation.validation_context_sds_secret_config.sds_config.CopyFrom(ads())
    # Only this identity. Without a matcher, any certificate of the CA would be accepted.
    validation.default_validation_context.match_typed_subject_alt_names.add(
        san_type=_SAN_URI, matcher=string_pb2.StringMatcher(exact=upstream.identity)
    )
    return context
