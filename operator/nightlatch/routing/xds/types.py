"""Building blocks for the other modules: names of secrets, packed messages, JSON to messages."""

from typing import Any

from envoy.config.core.v3 import config_source_pb2
from envoy.extensions.access_loggers.file.v3 import file_pb2  # noqa: F401 - registers its type
from envoy.extensions.access_loggers.filters.cel.v3 import cel_pb2  # noqa: F401
from envoy.extensions.access_loggers.stream.v3 import stream_pb2  # noqa: F401
from envoy.extensions.filters.http.dynamic_modules.v3 import dynamic_modules_pb2  # noqa: F401
from envoy.extensions.filters.http.ext_authz.v3 import ext_authz_pb2  # noqa: F401
from envoy.extensions.filters.http.router.v3 import router_pb2  # noqa: F401
from google.protobuf import any_pb2, duration_pb2, json_format
from google.protobuf.message import Message
from xds.core.v3 import extension_pb2  # noqa: F401
from xds.type.v3 import typed_struct_pb2  # noqa: F401

# How the configuration of an extension begins, and a resource that comes over the ADS stream.
EXTENSIONS = "type.googleapis.com/envoy.extensions."
ADS: dict[str, Any] = {"ads": {}, "resource_api_version": "V3"}
# Names of secrets beside the hosts; a host has no colon.
CLIENT_SECRET = "client:gateway"  # noqa: S105
FALLBACK_SECRET = "server:unknown-host"  # noqa: S105
# The CAs of all our model servers.
TRUST_SECRET = "trust:own"  # noqa: S105


def client_trust_secret(endpoint: str) -> str:
    """The name of the secret with the CAs from which the certificates of an endpoint's callers must come."""
    return f"clients:{endpoint}"


def pack(message: Message) -> any_pb2.Any:
    """The message as an Any. Equal messages give equal bytes."""
    packed = any_pb2.Any()
    packed.Pack(message, deterministic=True)
    return packed


def parse(members: dict[str, Any], message: Any) -> Any:
    """Fill a message from JSON. This is slow, so only for messages that are built once."""
    return json_format.ParseDict(members, message)


def seconds(value: float) -> duration_pb2.Duration:
    duration = duration_pb2.Duration()
    duration.FromNanoseconds(round(value * 1e9))
    return duration


def ads() -> config_source_pb2.ConfigSource:
    """The source of a resource that comes over the ADS stream."""
    return config_source_pb2.ConfigSource(
        ads=config_source_pb2.AggregatedConfigSource(), resource_api_version=config_source_pb2.V3
    )
