"""The chains that ask for certificates name their HTTP connection manager, which is a resource of its own."""

from envoy.config.core.v3.extension_pb2 import TypedExtensionConfig
from envoy.extensions.filters.network.http_connection_manager.v3.http_connection_manager_pb2 import (
    HttpConnectionManager,
)

from nightlatch.routing.ir import TO_STDOUT
from nightlatch.routing.xds.listener import CERTIFIED, build_listener, certified_manager


def unpacked(any_message, message):
    assert any_message.Unpack(message)
    return message


def test_it_is_the_manager_of_the_shared_chain_but_its_connections_do_not_grow_as_old():
    own = unpacked(certified_manager(TO_STDOUT), TypedExtensionConfig())
    assert own.name == CERTIFIED
    manager = unpacked(own.typed_config, HttpConnectionManager())
    listener = build_listener("127.0.0.1", 8443, (), TO_STDOUT, 500)
    shared = unpacked(listener.filter_chains[0].filters[-1].typed_config, HttpConnectionManager())
    age = manager.common_http_protocol_options.max_connection_duration
    assert age.seconds == 600
    assert shared.common_http_protocol_options.max_connection_duration.seconds == 3600
    age.seconds = 3600
    assert manager == shared
