"""The listener: one filter chain for all endpoints, one for each that asks for client certificates, and one for host
names that no endpoint has.

In the shared chain certificates are fetched on demand by SNI. When an endpoint comes or goes there, only the matcher
changes. Envoy replaces it in place: no chain changes and no connection is drained. A chain that comes or goes drains
the connections of its own endpoint alone, and costs Envoy's main thread half a millisecond for each chain present. It
would be ten with the HTTP connection manager in each, so that is a resource of its own.
"""

from collections.abc import Iterable
from functools import lru_cache
from typing import Any

from envoy.config.core.v3 import extension_pb2 as core_extension_pb2
from envoy.config.listener.v3 import listener_components_pb2, listener_pb2
from envoy.extensions.filters.listener.local_ratelimit.v3 import local_ratelimit_pb2  # noqa: F401
from envoy.extensions.filters.listener.tls_inspector.v3 import tls_inspector_pb2  # noqa: F401 - registers its type
from envoy.extensions.filters.network.http_connection_manager.v3 import (
    http_connection_manager_pb2,
)
from envoy.extensions.matching.common_inputs.network.v3 import network_inputs_pb2
from envoy.extensions.transport_sockets.tls.v3 import tls_pb2
from google.protobuf import any_pb2, wrappers_pb2
from xds.core.v3 import extension_pb2
from xds.type.matcher.v3 import matcher_pb2

from nightlatch.routing.filter_order import http_filters, router
from nightlatch.routing.ir import AuditLog, EndpointIR
from nightlatch.routing.xds.access_log import access_log, connection_log
from nightlatch.routing.xds.local_replies import local_reply_config
from nightlatch.routing.xds.native_module import (
    canonical_host,
    certificate,
    certificate_on_demand,
    hello,
    watch,
)
from nightlatch.routing.xds.types import (
    ADS,
    EXTENSIONS,
    FALLBACK_SECRET,
    client_trust_secret,
    pack,
    parse,
)

NAME = "callers"
_KNOWN = "endpoints"
_UNKNOWN = "unknown-host"
# Limits a handshake, also one that waits for a certificate that never comes.
_HANDSHAKE = "5s"
# A connection of this age gets no further call: its load balancer may have found another gateway since.
_AGE = "3600s"
# How often an HTTP/2 connection is asked whether its caller is still there, and how long it may take to answer. Slow
# enough for a client that answers pings only while it reads.
_PING = "60s"
# What a connection may have waiting to be read or written; a route says how much of a body may wait besides.
_CONNECTION_BUFFER = 64 << 10
# How old a connection gets whose caller may have shown a certificate: what changed in the trust since it began, such as
# a CA that is gone, counts for it from then on at the latest. Revocations and the certificate's end count at once.
_AGE_WITH_CERTIFICATE = "600s"
# The manager of the chains that ask for certificates.
CERTIFIED = "nightlatch.certified-callers"
_MANAGER = "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
_DISCOVERED = {"config_source": ADS, "type_urls": [_MANAGER]}
# A matcher needs an entry; no SNI has a space.
_NOBODY = "no endpoint"


def build_listener(
    host: str, port: int, endpoints: Iterable[EndpointIR], audit: AuditLog, new_connections: int
) -> listener_pb2.Listener:
    """The listener for callers of these endpoints, with at most this many new connections a second."""
    listener = listener_pb2.Listener()
    listener.CopyFrom(_frame(host, port, audit, new_connections))
    chains: dict[str, str] = {}
    for endpoint in endpoints:
        chain = _KNOWN
        if endpoint.client_certificates and endpoint.hosts:
            chain = f"mtls:{endpoint.name}"
            listener.filter_chains.append(_certificate_chain(chain, endpoint.name, endpoint.hosts[0]))
        chains.update(dict.fromkeys(endpoint.hosts, chain))
    listener.filter_chain_matcher.CopyFrom(_matcher(chains))
    return listener


def _matcher(chains: dict[str, str]) -> matcher_pb2.Matcher:
    """Chooses by host: the name of its chain."""
    matcher = matcher_pb2.Matcher()
    matcher.matcher_tree.input.name = "sni"
    matcher.matcher_tree.input.typed_config.CopyFrom(pack(network_inputs_pb2.ServerNameInput()))
    actions: dict[str, extension_pb2.TypedExtensionConfig] = {}
    for host, name in sorted(chains.items()) or ((_NOBODY, _KNOWN),):
        action = actions.get(name)
        if action is None:
            value = pack(wrappers_pb2.StringValue(value=name))
            action = actions[name] = extension_pb2.TypedExtensionConfig(name=name, typed_config=value)
        matcher.matcher_tree.exact_match_map.map[host].action.CopyFrom(action)
    return matcher


def _certificate_chain(name: str, endpoint: str, host: str) -> listener_components_pb2.FilterChain:
    """The chain of one endpoint that asks its callers for certificates; any host of it has the same certificate."""
    chain = listener_components_pb2.FilterChain()
    chain.CopyFrom(_certificate_frame())
    chain.name = name
    chain.transport_socket.typed_config.CopyFrom(_certificate_tls(endpoint, host))
    return chain


@lru_cache(maxsize=1)
def _certificate_frame() -> listener_components_pb2.FilterChain:
    """The chain without what differs between endpoints."""
    chain = {
        "transport_socket": {"name": "envoy.transport_sockets.tls"},
        "transport_socket_connect_timeout": _HANDSHAKE,
        "filters": [certificate(), {"name": CERTIFIED, "config_discovery": _DISCOVERED}],
    }
    return parse(chain, listener_components_pb2.FilterChain())


@lru_cache(maxsize=8)
def certified_manager(audit: AuditLog) -> any_pb2.Any:
    """The HTTP connection manager of all chains that ask for certificates, a resource of its own.

    Whenever a chain comes or goes, Envoy reads and hashes what all the others say: the manager, mostly its local
    replies, would be nine tenths of it.
    """
    extension = core_extension_pb2.TypedExtensionConfig(name=CERTIFIED)
    manager = _endpoints_manager(audit, _AGE_WITH_CERTIFICATE)
    del manager["@type"]
    extension.typed_config.CopyFrom(pack(parse(manager, http_connection_manager_pb2.HttpConnectionManager())))
    return pack(extension)


@lru_cache(maxsize=4096)
def _certificate_tls(endpoint: str, host: str) -> any_pb2.Any:
    """A caller without a certificate may go on, so that the gate answers it with the same 401 as any caller without a
    credential. A caller with a bad one may not."""
    trust = {"name": client_trust_secret(endpoint), "sds_config": ADS}
    own = {
        "tls_certificate_sds_secret_configs": [{"name": host, "sds_config": ADS}],
        "validation_context_sds_secret_config": trust,
    }
    context = {**_tls(own), "require_client_certificate": False}
    del context["@type"]
    return pack(parse(context, tls_pb2.DownstreamTlsContext()))


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
            "filter_chains": [_chain(_KNOWN, _certificate_of_the_host(), _endpoints_manager(audit, _AGE))],
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


def _endpoints_manager(audit: AuditLog, age: str) -> dict[str, Any]:
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
        age=age,
    )


def _unknown_manager(audit: AuditLog) -> dict[str, Any]:
    nowhere = {"match": {"prefix": "/"}, "direct_response": {"status": 404}}
    routes = {"name": _UNKNOWN, "virtual_hosts": [{"name": _UNKNOWN, "domains": ["*"], "routes": [nowhere]}]}
    return _manager(
        _UNKNOWN,
        age=_AGE,
        route_config=routes,
        http_filters=[watch(audit), router()],
        access_log=access_log(audit),
        local_reply_config=local_reply_config(known_host=False),
    )


def _manager(name: str, *, age: str, **rest: Any) -> dict[str, Any]:
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
            "max_connection_duration": age,
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
            "connection_keepalive": {"interval": _PING, "timeout": _PING},
        },
        **rest,
    }
