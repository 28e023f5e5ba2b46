"""The type URLs of the xDS resources that a gateway programs, and the order in which a change is pushed.

Envoy's EDS resources are called addresses here, because an endpoint is the InferenceEndpoint.
"""

_CONFIG = "type.googleapis.com/envoy.config."
CLUSTER = f"{_CONFIG}cluster.v3.Cluster"
ADDRESSES = f"{_CONFIG}endpoint.v3.ClusterLoadAssignment"
SECRET = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret"  # noqa: S105 - a type URL
LISTENER = f"{_CONFIG}listener.v3.Listener"
SCOPE = f"{_CONFIG}route.v3.ScopedRouteConfiguration"
ROUTES = f"{_CONFIG}route.v3.RouteConfiguration"
# The configuration of one HTTP filter (ECDS).
EXTENSION = f"{_CONFIG}core.v3.TypedExtensionConfig"

# Make before break: a resource is pushed before the resources that refer to it.
PUSH_ORDER = (CLUSTER, ADDRESSES, SECRET, EXTENSION, LISTENER, SCOPE, ROUTES)
