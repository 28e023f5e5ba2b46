"""Envoy's overload manager: what it gives up, and in which order, as heap or connections run out.

First what nobody misses (free pages, idle connections), then new calls, then open connections. A stranger who fills the
memory meets the last step as often as they send something; an ordinary caller meets it rarely, and only then.
"""

from typing import Any

from nightlatch.routing.limits import EnvoyLimits

_HEAP = "envoy.resource_monitors.fixed_heap"
_CONNECTIONS = "envoy.resource_monitors.global_downstream_max_connections"
_MONITORS = "type.googleapis.com/envoy.extensions.resource_monitors."
_OVERLOAD = "type.googleapis.com/envoy.config.overload.v3."
# A burst of 650 KB fills a gigabyte in less than a second, so look more often than the default of one second.
_REFRESH = "0.05s"
# Free pages that the allocator may keep for the next calls.
_UNFREED = 32 << 20


def overload_manager(limits: EnvoyLimits) -> dict[str, Any]:
    """The configuration, for the bootstrap."""
    return {
        "refresh_interval": _REFRESH,
        "resource_monitors": [
            _monitor(_HEAP, "fixed_heap.v3.FixedHeapConfig", max_heap_size_bytes=limits.heap),
            _monitor(
                _CONNECTIONS,
                "downstream_connections.v3.DownstreamConnectionsConfig",
                max_active_downstream_connections=limits.connections,
            ),
        ],
        "actions": [
            _timers(_scaled(_HEAP, 0.65, 0.85), _scaled(_CONNECTIONS, 0.7, 0.95)),
            _shrink(),
            _point("envoy.overload_actions.disable_http_keepalive", _above(_HEAP, 0.75)),
            _point("envoy.overload_actions.close_idle_http_connections", _above(_HEAP, 0.75)),
            _point("envoy.overload_actions.stop_accepting_requests", _scaled(_HEAP, 0.75, 0.9)),
            _point("envoy.overload_actions.reject_incoming_connections", _scaled(_HEAP, 0.75, 0.9)),
            _point("envoy.overload_actions.stop_accepting_connections", _above(_HEAP, 0.96)),
        ],
        "loadshed_points": [
            # Refusing a call frees nothing while the caller does not take the refusal. Closing its connection does.
            _point("envoy.load_shed_points.http2_server_go_away_and_close_on_dispatch", _scaled(_HEAP, 0.75, 0.9)),
            _point("envoy.load_shed_points.http1_server_abort_dispatch", _scaled(_HEAP, 0.85, 0.95)),
            _point("envoy.load_shed_points.hcm_ondata_creating_codec", _scaled(_HEAP, 0.75, 0.9)),
        ],
    }


def _monitor(name: str, kind: str, **config: int) -> dict[str, Any]:
    return {"name": name, "typed_config": {"@type": _MONITORS + kind, **config}}


def _point(name: str, *triggers: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "triggers": list(triggers)}


def _above(resource: str, share: float) -> dict[str, Any]:
    return {"name": resource, "threshold": {"value": share}}


def _scaled(resource: str, start: float, full: float) -> dict[str, Any]:
    """Never below `start`, always from `full` on, and in between for a growing share of the occasions."""
    return {"name": resource, "scaled": {"scaling_threshold": start, "saturation_threshold": full}}


def _shrink() -> dict[str, Any]:
    """Give free pages back to the system at any pressure, because free pages do not count as pressure.

    The allocator keeps what a peak of the last five minutes needed. After that the pages go.
    """
    config = {"@type": _OVERLOAD + "ShrinkHeapConfig", "timer_interval": "5s", "max_unfreed_memory_bytes": _UNFREED}
    return {**_point("envoy.overload_actions.shrink_heap", _above(_HEAP, 0.0)), "typed_config": config}


def _timers(*triggers: dict[str, Any]) -> dict[str, Any]:
    """Shorter time-outs. That of a stream stays above the half, because a held call is idle for good reason."""
    scaled = [
        {"timer": "HTTP_DOWNSTREAM_CONNECTION_IDLE", "min_timeout": "2s"},
        {"timer": "HTTP_DOWNSTREAM_STREAM_FLUSH", "min_timeout": "1s"},
        {"timer": "TRANSPORT_SOCKET_CONNECT", "min_timeout": "1s"},
        {"timer": "HTTP_DOWNSTREAM_STREAM_IDLE", "min_scale": {"value": 50}},
    ]
    config = {"@type": _OVERLOAD + "ScaleTimersOverloadActionConfig", "timer_scale_factors": scaled}
    return {**_point("envoy.overload_actions.reduce_timeouts", *triggers), "typed_config": config}
