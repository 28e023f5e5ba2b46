"""What an Envoy may take follows from its memory and its open files."""

import pytest

from nightlatch.routing.limits import envoy_limits
from nightlatch.routing.xds.bootstrap import bootstrap

MIB = 1 << 20


@pytest.mark.parametrize("memory", [256, 512, 1024, 4096])
def test_the_heap_leaves_room_for_what_is_no_heap_and_connections_take_half_of_it(memory):
    limits = envoy_limits(memory * MIB, open_files=10**9)
    assert memory * MIB - limits.heap > 96 * MIB
    assert limits.connections * 60 * 1024 <= limits.heap / 2


def test_connections_never_take_more_than_half_of_the_open_files():
    assert envoy_limits(open_files=1024).connections == 512


def test_a_setting_lowers_the_number_of_connections_and_never_raises_it():
    affordable = envoy_limits().connections
    assert envoy_limits(max_connections=500).connections == 500
    assert envoy_limits(max_connections=10**6).connections == affordable


def test_a_tiny_memory_still_serves_some():
    assert envoy_limits(memory=1).connections >= 100


def test_the_bootstrap_carries_the_limits():
    limits = envoy_limits(512 * MIB, open_files=1000)
    monitors = bootstrap("g", "/ads", "/admin", limits)["overload_manager"]["resource_monitors"]
    configs = {name: value for each in monitors for name, value in each["typed_config"].items()}
    assert configs["max_heap_size_bytes"] == limits.heap
    assert configs["max_active_downstream_connections"] == 500
