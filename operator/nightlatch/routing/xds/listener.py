"""The listener: one filter chain for all endpoints, and one for host names that no endpoint has.

Certificates are fetched on demand by SNI. When an endpoint comes or goes, only the matcher changes. Envoy replaces
it in place: no chain changes and no connection is drained.
"""

from functools import lru_cache
from typing import Any

from envoy.config.listener.v3 import listener_pb2
from envoy.extensions.filters.listener.local_ratelimit.v3 import local_ratelimit_pb2  # noqa: F401
from envoy.extensions.filters.listener.tls_inspector.v3 import tls_inspector_pb2  # noqa: F401 - registers its type
from envoy.extensions.filters.network.http_connection_manager.v3 import (  # noqa: F401
    http_connection_manager_pb2,
)
from envoy.extensions.matching.common_inputs.network.v3 import network_inputs_pb2
from envoy.extensions.transport_sockets.tls.v3 import tls_pb2  # noqa: F401
from google.protobuf import wrappers_pb2
from xds.core.v3 import extension_pb2
from xds.type.matcher.v3 import matcher_pb2

from nightlatch.routing.filter_order import http_filters, router
from nightlatch.routing.ir import AuditLog
from nightlatch.routing.xds.access_log import access_log, connection_log
from nightlatch.routing.xds.local_replies import local_reply_config
from nightlatch.routing.xds.native_module import canonical_host, certificate_on_demand, hello, watch
from nightlatch.routing.xds.types import ADS, EXTENSIONS, FALLBACK_SECRET, pack, parse

NAME = "callers"
_KNOWN = "endpoints"
_UNKNOWN = "unknown-host"
# Limits a handshake, also one that waits for a certificate that never comes.
_HANDSHAKE = "5s"
# What a connection may have waiting to be read or written; a route says how much of a body may wait besides.
_CONNECTION_BUFFER = 64 << 10
# A matcher needs an entry; no SNI has a space.
_NOBODY = "no endpoint"


def build_listener(
    host: str, port: int, hosts: tuple[str, ...], audit: AuditLog, new_connections: int
) -> listener_pb2.Listener:
    """The listener for callers of `hosts`, with at most this many new connections a second."""
    listener = listener_pb2.Listener()
    listener.CopyFrom(_frame(host, port, audit, new_connections))
    listener.filter_chain_matcher.CopyFrom(_matcher(hosts))
    return listener


def _matcher(hosts: tuple[str, ...]) -> matcher_pb2.Matcher:
    matcher = matcher_pb2.Matcher()
    matcher.matcher_tree.input.name = "sni"
    matcher.matcher_tree.input.typed_config.CopyFrom(pack(network_inputs_pb2.ServerNameInput()))
    chain = extension_pb2.TypedExtensionConfig(name=_KNOWN, typed_config=pack(wrappers_pb2.StringValue(value=_KNOWN)))
    for host in hosts or (_NOBODY,):
        matcher.matcher_tree.exact_match_map.map[host].action.CopyFrom(chain)
    return matcher


@lru_cache(maxsize=8)
def _frame(host: str, port: int, audit: AuditLog, new_connections: int) -> listener_pb2.Listener:
    """The listener without its matcher. This part does not depend on the endpoints."""
    return parse(
        {
            "name": NAME,
            "address": {"socket_address": {"address": host, "port_value": port}},
            "listener_filters": _listener_filters(new_connections, audit),
            "access_log": connection_log(audit),
            "listener_filters_timeout": "5s",
            "per_connection_buffer_limit_bytes": _CONNECTION_BUFFER,
            "filter_chains": [_chain(_KNOWN, _certificate_of_the_host(), _endpoints_manager(audit))],
            "default_filter_chain": _chain(_UNKNOWN, _fallback_certificate(), _unknown_manager(audit)),
        },
        listener_pb2.Listener(),
    )


def _listener_filters(new_connections: int, audit: AuditLog) -> list[dict[str, Any]]:
    """The filters of a connection in their order: the accept rate first, before anything is read or kept for it."""
    filters = "envoy.filters.listener."
    bucket = {"max_tokens": 2 * new_connections, "tokens_per_fill": new_connections, "fill_interval": "1s"}
    rate = {
        "@type": EXTENSIONS + "filters.listener.local_ratelimit.v3.LocalRateLimit",
        "stat_prefix": NAME,
        "token_bucket": bucket,
    }
    inspector = {"@type": EXTENSIONS + "filters.listener.tls_inspector.v3.TlsInspector"}
    return [
        {"name": filters + "local_ratelimit", "typed_config": rate},
        hello(audit),
        {"name": filters + "tls_inspector", "typed_config": inspector},
    ]


def _chain(name: str, certificates: dict[str, Any], manager: dict[str, Any]) -> dict[str, Any]:
    return {
        "name": name,
        "transport_socket": {"name": "envoy.transport_sockets.tls", "typed_config": _tls(certificates)},
        "transport_socket_connect_timeout": _HANDSHAKE,
        "filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}],
    }


def _tls(certificates: dict[str, Any]) -> dict[str, Any]:
    """Session resumption is off: certificates on demand need that, and so no session crosses to another endpoint."""
    return {
        "@type": EXTENSIONS + "transport_sockets.tls.v3.DownstreamTlsContext",
        "disable_stateless_session_resumption": True,
        "disable_stateful_session_resumption": True,
        "common_tls_context": {
            "tls_params": {"tls_minimum_protocol_version": "TLSv1_2", "tls_maximum_protocol_version": "TLSv1_3"},
            "alpn_protocols": ["h2", "http/1.1"],
            **certificates,
        },
    }


def _certificate_of_the_host() -> dict[str, Any]:
    return {"custom_tls_certificate_selector": certificate_on_demand()}


def _fallback_certificate() -> dict[str, Any]:
    return {"tls_certificate_sds_secret_configs": [{"name": FALLBACK_SECRET, "sds_config": ADS}]}


def _endpoints_manager(audit: AuditLog) -> dict[str, Any]:
    host = {"header_value_extractor": {"name": ":authority", "index": 0}}
    scopes = {
        "name": NAME,
        "scope_key_builder": {"fragments": [host]},
        "rds_config_source": ADS,
        "scoped_rds": {"scoped_rds_config_source": ADS},
    }
    return _manager(
        _KNOWN,
        scoped_routes=scopes,
        http_filters=http_filters(),
        early_header_mutation_extensions=[canonical_host()],
        # CONNECT reaches the gate, which refuses it; no route takes it.
        upgrade_configs=[{"upgrade_type": "CONNECT"}],
        access_log=access_log(audit),
        local_reply_config=local_reply_config(known_host=True),
    )


def _unknown_manager(audit: AuditLog) -> dict[str, Any]:
    nowhere = {"match": {"prefix": "/"}, "direct_response": {"status": 404}}
    routes = {"name": _UNKNOWN, "virtual_hosts": [{"name": _UNKNOWN, "domains": ["*"], "routes": [nowhere]}]}
    return _manager(
        _UNKNOWN,
        route_config=routes,
        http_filters=[watch(audit), router()],
        access_log=access_log(audit),
        local_reply_config=local_reply_config(known_host=False),
    )


def _manager(name: str, **rest: Any) -> dict[str, Any]:
    """An HTTP connection manager that trusts no header about the caller and normalizes or rejects odd paths."""
    return {
        "@type": EXTENSIONS + "filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": name,
        "server_name": "nightlatch",
        "use_remote_address": True,
        # No caller is internal, so Envoy never obeys its own x-envoy- request headers.
        "internal_address_config": {"cidr_ranges": [{"address_prefix": "255.255.255.255", "prefix_len": 32}]},
        "forward_client_cert_details": "SANITIZE",
        "normalize_path": True,
        "merge_slashes": True,
        "path_with_escaped_slashes_action": "REJECT_REQUEST",
        "strip_any_host_port": True,
        # Only a caller who is let through is asked for the body: the model server sends the 100.
        "proxy_100_continue": True,
        # No upgrade is offered, so a request for one is answered as if it had not asked.
        "http_protocol_options": {"ignore_http_11_upgrade": [{"safe_regex": {"regex": ".*"}}]},
        "common_http_protocol_options": {
            "idle_timeout": "120s",
            "max_connection_duration": "3600s",
            "max_headers_count": 64,
            "headers_with_underscores_action": "DROP_HEADER",
        },
        # An HTTP/1.1 connection that grew old ends with its next answer, never under a call that is on its way.
        "http1_safe_max_connection_duration": True,
        "max_request_headers_kb": 24,
        "request_headers_timeout": "10s",
        # A caller that does not take its answer keeps its stream, and the request's headers with it, only so long.
        "stream_flush_timeout": "5s",
        # Applies until a route is known; each route has an idle timeout of its own that is longer than the hold.
        "stream_idle_timeout": "60s",
        "http2_protocol_options": {
            "max_concurrent_streams": 100,
            "initial_stream_window_size": 262144,
            "initial_connection_window_size": 1048576,
            # Slow enough for a client that answers pings only while it reads.
            "connection_keepalive": {"interval": "60s", "timeout": "60s"},
        },
        **rest,
    }
