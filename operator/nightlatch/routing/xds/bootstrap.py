"""Envoy's bootstrap: its node id, and the unix socket of the gatekeeper, which serves the rest of the configuration."""

from pathlib import Path
from typing import Any

from nightlatch.routing.filter_order import GATEKEEPER_CLUSTER
from nightlatch.routing.limits import EnvoyLimits, envoy_limits
from nightlatch.routing.xds.overload import overload_manager
from nightlatch.routing.xds.report import report_listener, report_socket

_HTTP_OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
# The allocator keeps freed pages for ever unless it is told to return them: this much each second, from five minutes
# after a peak on.
_RELEASE = {"bytes_to_release": 16 << 20, "memory_release_interval": "1s"}
# One connection may have many calls ready; look at the others after this number.
_CALLS_PER_TURN = 10
_DEFAULT_LIMITS = envoy_limits()
# What the admin interface answers. /config_dump would show the digests of all keys, and after /logging or /tap the keys
# themselves.
_ADMIN_PATHS = ("/ready", "/server_info", "/stats", "/memory", "/clusters", "/listeners", "/drain_listeners")


def bootstrap(
    node_id: str, socket: Path | str, admin_socket: Path | str, limits: EnvoyLimits = _DEFAULT_LIMITS
) -> dict[str, Any]:
    """Envoy's bootstrap, for `envoy -c` as JSON or YAML.

    `socket` is where the gatekeeper serves ADS, ext_authz and LRS. `admin_socket` is Envoy's own admin interface, which
    never listens on a port; the gate's report is beside `socket`. `limits` is what this Envoy may take.
    """
    return {
        "node": {"id": node_id, "cluster": "nightlatch-gateway"},
        "admin": {
            "address": _unix_socket(admin_socket),
            "allow_paths": [{"prefix": path} for path in _ADMIN_PATHS],
        },
        "dynamic_resources": {"ads_config": _grpc(), "lds_config": _ads(), "cds_config": _ads()},
        "cluster_manager": {"load_stats_config": _grpc()},
        "static_resources": {
            "clusters": [_gatekeeper(socket)],
            "listeners": [report_listener(report_socket(socket))],
        },
        "layered_runtime": {"layers": [{"name": "nightlatch", "static_layer": _runtime()}]},
        "overload_manager": overload_manager(limits),
        "memory_allocator_manager": _RELEASE,
        "stats_config": {"stats_matcher": {"inclusion_list": {"patterns": _stats()}}},
    }


def _unix_socket(path: Path | str) -> dict[str, Any]:
    return {"pipe": {"path": str(path), "mode": 0o600}}


def _ads() -> dict[str, Any]:
    # No timeout: a listener waits for its routes and a cluster for its secrets, however long the gatekeeper takes.
    return {"ads": {}, "resource_api_version": "V3", "initial_fetch_timeout": "0s"}


def _grpc() -> dict[str, Any]:
    # Envoy's own back-off grows to 30 s, but a gatekeeper that restarted should be reached within a second.
    backoff = {"retry_back_off": {"base_interval": "0.1s", "max_interval": "1s"}}
    services = [{"envoy_grpc": {"cluster_name": GATEKEEPER_CLUSTER, "retry_policy": backoff}}]
    return {"api_type": "GRPC", "transport_api_version": "V3", "grpc_services": services}


def _gatekeeper(socket: Path | str) -> dict[str, Any]:
    """HTTP/2 over the unix socket. Held calls are streams, which the gatekeeper limits, so Envoy must not."""
    unlimited = dict.fromkeys(("max_connections", "max_pending_requests", "max_requests", "max_retries"), 1000000)
    options = {
        "@type": "type.googleapis.com/" + _HTTP_OPTIONS,
        "explicit_http_config": {"http2_protocol_options": {"max_concurrent_streams": 100_000}},
    }
    endpoint = {"endpoint": {"address": {"pipe": {"path": str(socket)}}}}
    return {
        "name": GATEKEEPER_CLUSTER,
        "type": "STATIC",
        "connect_timeout": "1s",
        "load_assignment": {"cluster_name": GATEKEEPER_CLUSTER, "endpoints": [{"lb_endpoints": [endpoint]}]},
        "typed_extension_protocol_options": {_HTTP_OPTIONS: options},
        "circuit_breakers": {"thresholds": [unlimited]},
    }


def _runtime() -> dict[str, Any]:
    return {
        "re2": {"max_program_size": {"error_level": 10_000, "warn_level": 10_000}},
        "http": {"max_requests_per_io_cycle": _CALLS_PER_TURN},
    }


def _stats() -> list[dict[str, str]]:
    """Few statistics: every counter of a thousand clusters would cost memory, and nobody reads them."""
    envoys = ("cluster_manager.", "listener_manager.", "http.", "listener.", "server.", "cluster.gatekeeper.")
    # What the edge refuses, and what the gate counts.
    prefixes = (*envoys, "http2.", "listener_local_ratelimit.", "overload.", "dynamicmodulescustom.")
    suffixes = (".upstream_rq_total", ".upstream_rq_active", ".upstream_cx_connect_fail")
    return [{"prefix": prefix} for prefix in prefixes] + [{"suffix": suffix} for suffix in suffixes]
