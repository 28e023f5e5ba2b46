"""The HTTP filters in their order, which only this file decides.

classify → key look-up → decide → authorize → rate limit → hold → router
"""

from typing import Any

from envoy.extensions.filters.http.ext_authz.v3 import ext_authz_pb2  # noqa: F401 - registers its type
from envoy.extensions.filters.http.local_ratelimit.v3 import local_rate_limit_pb2  # noqa: F401
from envoy.extensions.filters.http.lua.v3 import lua_pb2  # noqa: F401
from envoy.extensions.filters.http.rbac.v3 import rbac_pb2  # noqa: F401
from envoy.extensions.filters.http.router.v3 import router_pb2  # noqa: F401

from nightlatch.routing.lua_source import classify_source, decide_source

# Names are the keys of per-route configuration.
CLASSIFY = "nightlatch.classify"
KEY_LOOKUP = "nightlatch.key_lookup"
DECIDE = "nightlatch.decide"
AUTHORIZE = "nightlatch.authorize"
RATE_LIMIT = "nightlatch.rate_limit"
HOLD = "nightlatch.hold"
ROUTER = "nightlatch.router"

# Dynamic metadata that decide.lua writes and the filters after it read.
CALLER = "nightlatch.caller"
# Dynamic metadata that the native gate writes.
GATE = "nightlatch.gate"
GATEKEEPER_CLUSTER = "gatekeeper"
# The gatekeeper limits how long a call is held; Envoy must not give up earlier.
_HOLD_CEILING = "4000s"
_HTTP = "type.googleapis.com/envoy.extensions.filters.http."


def http_filters() -> list[dict[str, Any]]:
    """Every filter of the shared chain, in the order in which a call passes them. Routes enable the disabled ones."""
    return [
        _lua(CLASSIFY, classify_source()),
        _filter(KEY_LOOKUP, "rbac.v3.RBAC"),
        _lua(DECIDE, decide_source()),
        # Empty, not absent: nothing is allowed on a route without rules of its own.
        _filter(AUTHORIZE, "rbac.v3.RBAC", rules={"action": "ALLOW", "policies": {}}),
        {**_filter(RATE_LIMIT, "local_ratelimit.v3.LocalRateLimit", stat_prefix="rate_limit"), "disabled": True},
        {**_hold(), "disabled": True},
        router(),
    ]


def router() -> dict[str, Any]:
    """The router, the last filter of each chain."""
    return _filter(ROUTER, "router.v3.Router", suppress_envoy_headers=True)


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
        # Who makes the call, so that the gatekeeper can refuse a held call whose access ends.
        metadata_context_namespaces=[GATE, CALLER],
        # Also the content type, so that a gRPC caller gets a gRPC answer.
        allowed_headers={"patterns": [{"prefix": "x-nightlatch-"}, {"exact": "content-type"}]},
    )


def _lua(name: str, source: str) -> dict[str, Any]:
    return _filter(name, "lua.v3.Lua", default_source_code={"inline_string": source}, clear_route_cache=False)


def _filter(name: str, kind: str, **config: Any) -> dict[str, Any]:
    return {"name": name, "typed_config": {"@type": _HTTP + kind, **config}}
