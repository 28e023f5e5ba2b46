"""A configuration that cannot be used is refused with the name of the entry; a good one is read."""

import pytest

from nightlatch.gatekeeper.process.config import ConfigError, parse_config

CONFIG = {
    "gateway": "gateway-0",
    "gateway_namespace": "nightlatch-gateway",
    "trust_domain": "nightlatch.local",
    "store": {"kind": "files", "directory": "s"},
    "workloads": {"kind": "processes", "directory": "w"},
    "socket": "a.sock",
    "listen": {"host": "127.0.0.1", "port": 8443},
    "report": {"host": "127.0.0.1", "port": 0},
    "announce": "announce.json",
    "max_staleness_s": 3600,
    "metrics": 0,
}


@pytest.mark.parametrize(
    ("entry", "value", "named"),
    [
        ("gateway", "", "gateway"),
        ("listen", {"host": "127.0.0.1", "port": 70000}, "listen.port"),
        ("report", {"port": 1}, "host"),
        ("max_staleness_s", "1h", "max_staleness_s"),
        ("store", {"kind": "files"}, "directory"),
        ("log_level", "loud", "log_level"),
        ("max_held_requests", 0, "max_held_requests"),
        ("max_held_bytes", 65535, "max_held_bytes"),
        ("listens", {}, "unknown members: listens"),
    ],
)
def test_bad_configuration_names_the_entry(entry: str, value: object, named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        parse_config({**CONFIG, entry: value})


def test_good_configuration_is_read() -> None:
    config = parse_config(CONFIG)
    assert (config.metrics.port, config.listen.port, config.max_staleness) == (0, 8443, 3600.0)
    assert (config.log_level, parse_config({**CONFIG, "log_level": "debug"}).log_level) == ("info", "debug")


def test_the_bounds_on_held_calls_have_defaults() -> None:
    config = parse_config(CONFIG)
    assert (config.max_held_requests, config.max_held_bytes) == (2048, 128 * 1024 * 1024)
    changed = parse_config({**CONFIG, "max_held_requests": 7, "max_held_bytes": 65536})
    assert (changed.max_held_requests, changed.max_held_bytes) == (7, 65536)
