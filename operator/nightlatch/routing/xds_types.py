"""Names on the xDS wire, and packing. Protobuf begins here: only this file and its `xds_` siblings import it."""

from typing import Any

from envoy.config.core.v3 import config_source_pb2
from google.protobuf import any_pb2, duration_pb2, json_format
from google.protobuf.message import Message
from xds.core.v3 import extension_pb2  # noqa: F401 - registers its type
from xds.type.v3 import typed_struct_pb2  # noqa: F401

from nightlatch.api.meta import NamespacedName

_PREFIX = "type.googleapis.com/"
LISTENER = _PREFIX + "envoy.config.listener.v3.Listener"
CLUSTER = _PREFIX + "envoy.config.cluster.v3.Cluster"
ASSIGNMENT = _PREFIX + "envoy.config.endpoint.v3.ClusterLoadAssignment"
SCOPE = _PREFIX + "envoy.config.route.v3.ScopedRouteConfiguration"
ROUTES = _PREFIX + "envoy.config.route.v3.RouteConfiguration"
SECRET = _PREFIX + "envoy.extensions.transport_sockets.tls.v3.Secret"
# In the order in which a change must be pushed: what is referred to before what refers to it.
TYPE_URLS = (CLUSTER, ASSIGNMENT, SECRET, LISTENER, SCOPE, ROUTES)

# Names of secrets beside the hosts; a host has no colon.
CLIENT_SECRET = "client:gateway"  # noqa: S105
FALLBACK_SECRET = "server:unknown-host"  # noqa: S105


def trust_secret(endpoint: NamespacedName) -> str:
    """The Secret that holds the trust for one endpoint's model servers."""
    return f"trust:{endpoint}"


def pack(message: Message) -> any_pb2.Any:
    """Equal messages give equal bytes."""
    packed = any_pb2.Any()
    packed.Pack(message, deterministic=True)
    return packed


def parse(members: dict[str, Any], message: Any) -> Any:
    """JSON to a message. Slow: for what is built once."""
    return json_format.ParseDict(members, message)


def seconds(value: float) -> duration_pb2.Duration:
    """A Duration of so many seconds."""
    duration = duration_pb2.Duration()
    duration.FromNanoseconds(round(value * 1e9))
    return duration


def ads() -> config_source_pb2.ConfigSource:
    """From the stream that everything comes from."""
    return config_source_pb2.ConfigSource(
        ads=config_source_pb2.AggregatedConfigSource(), resource_api_version=config_source_pb2.V3
    )
