"""The scopes (which route configuration a host has) and the route configuration of one endpoint."""

from functools import cache

from envoy.config.rbac.v3 import rbac_pb2 as rules
from envoy.config.route.v3 import route_components_pb2 as components
from envoy.config.route.v3 import route_pb2, scoped_route_pb2
from envoy.extensions.filters.http.ext_authz.v3 import ext_authz_pb2
from envoy.extensions.filters.http.rbac.v3 import rbac_pb2
from envoy.extensions.retry.host.previous_hosts.v3 import previous_hosts_pb2
from envoy.type.matcher.v3 import metadata_pb2, regex_pb2, string_pb2, value_pb2
from google.protobuf import any_pb2

from nightlatch.api.scalars import Permission
from nightlatch.routing.filter_order import AUTHORIZE, CALLER, CLASSIFY, HOLD, KEY_LOOKUP, RATE_LIMIT
from nightlatch.routing.ir import EndpointIR, OperationsIR
from nightlatch.routing.xds.access import AccessConfig
from nightlatch.routing.xds.types import pack, seconds
from nightlatch.wire import caller_errors

# Headers that could make a runtime act on another path or method. The Lua filters remove the identity headers.
_REMOVED = (
    "x-nightlatch-hold-timeout",
    "x-original-url",
    "x-rewrite-url",
    "x-forwarded-uri",
    "x-http-method-override",
    "x-http-method",
    "x-method-override",
)
# How long a caller may take for the rest of an answer, which Envoy has whole. A caller without a credential that uses a
# route's path has this long too, so it must not be much longer than the listener's own.
_FLUSH = 20.0
# How much of its body a call may have waiting; only one whose body fits in is repeated when a connection fails. There are
# many held calls at the same time, so they keep less.
_BODY = 256 << 10
_HELD_BODY = 64 << 10
_RETRY_ON = "connect-failure,refused-stream,reset-before-request"
# classify.lua knows this name.
_DENIED = "denied"
# The codes that a document may be denied with; one that this version does not know is answered like the first.
_DENIALS = (caller_errors.POLICY_INVALID.code, caller_errors.POLICY_STALE.code)
_UNLISTED = "unlisted"


def build_scope(host: str, endpoint: EndpointIR) -> scoped_route_pb2.ScopedRouteConfiguration:
    """Send the host's calls to the endpoint's route configuration."""
    scope = scoped_route_pb2.ScopedRouteConfiguration(name=host, route_configuration_name=endpoint.name)
    scope.key.fragments.add(string_key=host)
    return scope


def build_routes(endpoint: EndpointIR, access: AccessConfig) -> route_pb2.RouteConfiguration:
    """One virtual host. A path that no operation has reaches no cluster."""
    config = route_pb2.RouteConfiguration(name=endpoint.name, request_headers_to_remove=_REMOVED)
    virtual_host = config.virtual_hosts.add(name=endpoint.name, domains=["*"])
    if endpoint.denied is not None:
        virtual_host.routes.append(_denied(endpoint.denied))
        return config
    virtual_host.routes.extend(_operations(endpoint, each) for each in endpoint.access.operations)
    virtual_host.routes.append(_unlisted())
    virtual_host.request_body_buffer_limit.value = _HELD_BODY if endpoint.serving.hold else _BODY
    _configure(virtual_host.typed_per_filter_config, endpoint, access)
    return config


def _configure(filters: dict[str, any_pb2.Any], endpoint: EndpointIR, access: AccessConfig) -> None:
    if access.key_lookup is not None:
        filters[KEY_LOOKUP].CopyFrom(access.key_lookup)
    if access.rate_limit is not None:
        filters[RATE_LIMIT].CopyFrom(_enabled(access.rate_limit))
    if endpoint.serving.hold:
        filters[HOLD].CopyFrom(_hold(endpoint.name))


def _operations(endpoint: EndpointIR, operations: OperationsIR) -> components.Route:
    route = components.Route(
        name=operations.permission,
        match=components.RouteMatch(safe_regex=regex_pb2.RegexMatcher(regex=operations.pattern)),
        route=_action(endpoint),
    )
    route.match.headers.add(name=":method", string_match=string_pb2.StringMatcher(exact=operations.method))
    route.typed_per_filter_config[AUTHORIZE].CopyFrom(_requires(operations.permission))
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


def _denied(code: str) -> components.Route:
    """A route whose calls classify.lua answers. The direct response is the fallback if it did not."""
    route = components.Route(
        name=_DENIED,
        match=components.RouteMatch(prefix="/"),
        direct_response=components.DirectResponseAction(status=503),
    )
    for filter_name in (CLASSIFY, "envoy.filters.http.lua"):
        route.metadata.filter_metadata[filter_name].update({_DENIED: code if code in _DENIALS else _DENIALS[0]})
    return route


def _unlisted() -> components.Route:
    """Any path that no operation has. The filter's empty rules refuse it after authentication."""
    return components.Route(
        name=_UNLISTED,
        match=components.RouteMatch(prefix="/"),
        direct_response=components.DirectResponseAction(status=403),
    )


@cache
def _requires(permission: Permission) -> any_pb2.Any:
    """An RBAC rule: the caller's permissions, which decide.lua wrote into metadata, contain this one."""
    has = value_pb2.ListMatcher(one_of=value_pb2.ValueMatcher(string_match=string_pb2.StringMatcher(exact=permission)))
    matcher = metadata_pb2.MetadataMatcher(filter=CALLER, value=value_pb2.ValueMatcher(list_match=has))
    matcher.path.add(key="permissions")
    policy = rules.Policy(
        permissions=[rules.Permission(any=True)],
        principals=[rules.Principal(sourced_metadata=rules.SourcedMetadata(metadata_matcher=matcher))],
    )
    allow = rules.RBAC(action=rules.RBAC.ALLOW, policies={permission: policy})
    return pack(rbac_pb2.RBACPerRoute(rbac=rbac_pb2.RBAC(rules=allow)))


def _hold(name: str) -> any_pb2.Any:
    settings = ext_authz_pb2.CheckSettings(context_extensions={"endpoint": name})
    return _enabled(pack(ext_authz_pb2.ExtAuthzPerRoute(check_settings=settings)))


def _enabled(config: any_pb2.Any) -> any_pb2.Any:
    """Enable a filter that is disabled in the chain, with this configuration."""
    return pack(components.FilterConfig(config=config))
