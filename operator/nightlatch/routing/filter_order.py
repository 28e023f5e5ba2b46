"""The HTTP filters in their order, which only this file decides: gate → hold → router."""

from typing import Any

# Names are the keys of per-route configuration. The gate's is also the name of its configuration.
GATE = "nightlatch.gate"
HOLD = "nightlatch.hold"
ROUTER = "nightlatch.router"

GATEKEEPER_CLUSTER = "gatekeeper"
# The gatekeeper limits how long a call is held; Envoy must not give up earlier.
_HOLD_CEILING = "4000s"
_HTTP = "type.googleapis.com/envoy.extensions.filters.http."
_ADS = {"ads": {}, "resource_api_version": "V3", "initial_fetch_timeout": "0s"}


def http_filters() -> list[dict[str, Any]]:
    """Every filter of the shared chain, in the order in which a call passes them. Routes enable the disabled ones."""
    return [_gate(), {**_hold(), "disabled": True}, router()]


def router() -> dict[str, Any]:
    """The router, the last filter of each chain.

    It would look up eight more statistics for each call, all of which our list of statistics leaves out.
    """
    return _filter(ROUTER, "router.v3.Router", suppress_envoy_headers=True, dynamic_stats=False)


def _gate() -> dict[str, Any]:
    """The native module, which decides about every call.

    Its configuration is a resource of its own. The listener waits for the first one, so that nothing passes before.
    """
    type_url = f"{_HTTP}dynamic_modules.v3.DynamicModuleFilter".removeprefix("type.googleapis.com/")
    return {"name": GATE, "config_discovery": {"config_source": _ADS, "type_urls": [type_url]}}


def _hold() -> dict[str, Any]:
    """ext_authz, which holds a call: the gatekeeper answers when the endpoint is awake. Holding routes enable it."""
    return _filter(
        HOLD,
        "ext_authz.v3.ExtAuthz",
        transport_api_version="V3",
        grpc_service={"envoy_grpc": {"cluster_name": GATEKEEPER_CLUSTER}, "timeout": _HOLD_CEILING},
        failure_mode_allow=False,
        status_on_error={"code": "ServiceUnavailable"},
        clear_route_cache=False,
        # Also the content type, so that a gRPC caller gets a gRPC answer.
        allowed_headers={"patterns": [{"prefix": "x-nightlatch-"}, {"exact": "content-type"}]},
        # Who calls, as the gate found it.
        metadata_context_namespaces=[GATE],
    )


def _filter(name: str, kind: str, **config: Any) -> dict[str, Any]:
    return {"name": name, "typed_config": {"@type": _HTTP + kind, **config}}
