"""The scopes (which route configuration a host has) and the route configuration of one endpoint."""

from envoy.config.route.v3 import route_components_pb2 as components
from envoy.config.route.v3 import route_pb2, scoped_route_pb2
from envoy.extensions.filters.http.ext_authz.v3 import ext_authz_pb2
from envoy.extensions.retry.host.previous_hosts.v3 import previous_hosts_pb2
from envoy.type.matcher.v3 import regex_pb2, string_pb2
from google.protobuf import any_pb2

from nightlatch.routing.filter_order import GATE, HOLD
from nightlatch.routing.ir import EndpointIR, OperationsIR
from nightlatch.routing.limits import HELD_CALL_BYTES
from nightlatch.routing.xds.native_module import named_policy
from nightlatch.routing.xds.types import pack, seconds

# The hold reads this header. The gate removes every other one that is not for the model server, and this one as well
# where no call is held: looking for a header is not free.
_FOR_THE_HOLD = ("x-nightlatch-hold-timeout",)
# How long a caller may take for the rest of an answer, which Envoy has whole. A caller without a credential that uses a
# route's path has this long too, so it must not be much longer than the listener's own.
_FLUSH = 20.0
# How much of its body a call may have waiting; only one whose body fits in is repeated when a connection fails. There
# are many held calls at the same time, so they keep less.
_BODY = 256 << 10
_RETRY_ON = "connect-failure,refused-stream,reset-before-request"


def build_scope(host: str, endpoint: EndpointIR) -> scoped_route_pb2.ScopedRouteConfiguration:
    """Send the host's calls to the endpoint's route configuration."""
    scope = scoped_route_pb2.ScopedRouteConfiguration(name=host, route_configuration_name=endpoint.name)
    scope.key.fragments.add(string_key=host)
    return scope


def build_routes(endpoint: EndpointIR, policy: any_pb2.Any) -> route_pb2.RouteConfiguration:
    """One virtual host with the gate's policy.

    The gate decides. Should it ever pass a call that no operation has, that call still reaches no cluster.
    """
    denied = endpoint.policy.denied is not None
    held = endpoint.serving.hold and not denied
    config = route_pb2.RouteConfiguration(name=endpoint.name)
    if held:
        config.request_headers_to_remove.extend(_FOR_THE_HOLD)
    virtual_host = config.virtual_hosts.add(name=endpoint.name, domains=["*"])
    virtual_host.typed_per_filter_config[GATE].CopyFrom(named_policy(policy, held=held))
    virtual_host.request_body_buffer_limit.value = HELD_CALL_BYTES if endpoint.serving.hold else _BODY
    if not denied:
        virtual_host.routes.extend(_operations(endpoint, each) for each in endpoint.operations)
        if held:
            virtual_host.typed_per_filter_config[HOLD].CopyFrom(_hold(endpoint.name))
    for match in (components.RouteMatch(prefix="/"), _connect()):
        refusal = components.DirectResponseAction(status=503 if denied else 403)
        virtual_host.routes.append(components.Route(match=match, direct_response=refusal))
    return config


def _connect() -> components.RouteMatch:
    return components.RouteMatch(connect_matcher=components.RouteMatch.ConnectMatcher())


def _operations(endpoint: EndpointIR, operations: OperationsIR) -> components.Route:
    route = components.Route(
        match=components.RouteMatch(safe_regex=regex_pb2.RegexMatcher(regex=operations.pattern)),
        route=_action(endpoint),
    )
    route.match.headers.add(name=":method", string_match=string_pb2.StringMatcher(exact=operations.method))
    return route


def _action(endpoint: EndpointIR) -> components.RouteAction:
    action = components.RouteAction(
        cluster=endpoint.name,
        timeout=seconds(endpoint.request_timeout),
        idle_timeout=seconds(endpoint.idle_timeout),
        flush_timeout=seconds(_FLUSH),
    )
    action.max_stream_duration.max_stream_duration.CopyFrom(seconds(endpoint.max_duration))
    action.retry_policy.retry_on = _RETRY_ON
    action.retry_policy.num_retries.value = 3
    action.retry_policy.host_selection_retry_max_attempts = 3
    action.retry_policy.retry_host_predicate.add(
        name="envoy.retry_host_predicates.previous_hosts",
        typed_config=pack(previous_hosts_pb2.PreviousHostsPredicate()),
    )
    return action


def _hold(name: str) -> any_pb2.Any:
    settings = ext_authz_pb2.CheckSettings(context_extensions={"endpoint": name})
    # The filter is disabled in the chain.
    return pack(components.FilterConfig(config=pack(ext_authz_pb2.ExtAuthzPerRoute(check_settings=settings))))
