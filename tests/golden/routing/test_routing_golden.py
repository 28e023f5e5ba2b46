"""Each case: `documents.yaml` (what a gateway is given) → `ir.yaml` → `xds.yaml`, as Envoy would see it."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import orjson
import pytest
import yaml
from google.protobuf import json_format

from nightlatch.api.meta import NamespacedName
from nightlatch.routing.ir import CertificateIR, GatewayIR, GatewaySettings, Serving
from nightlatch.routing.lua_source import classify_source, decide_source
from nightlatch.routing.translate import translate
from nightlatch.routing.xds.snapshot import snapshot
from nightlatch.wire.route_document import DOCUMENT_JSON, TLS_CRT, TLS_KEY, UPSTREAM_CA, RouteDocument, decode

HERE = Path(__file__).parent
CASES = sorted(path.parent.name for path in HERE.glob("*/documents.yaml"))
SETTINGS = GatewaySettings(
    "127.0.0.1", 8443, CertificateIR("CLIENT CERT", "KEY"), CertificateIR("FALLBACK CERT", "KEY")
)
LUA = {classify_source(): "<classify.lua>", decide_source(): "<decide.lua>"}


@pytest.mark.parametrize("case", CASES)
def test_documents_become_ir(golden, case):
    golden(HERE / case / "ir.yaml", _readable_ir(_ir(case)))


@pytest.mark.parametrize("case", CASES)
def test_ir_becomes_xds(golden, case):
    resources = snapshot(_ir(case))
    readable = {
        url.rpartition(".")[2]: {name: _readable(resource) for name, resource in sorted(named.items())}
        for url, named in resources.items()
    }
    if case == "nothing":
        # Both chains have the same local replies.
        del readable["Listener"]["callers"]["defaultFilterChain"]["filters"][0]["typedConfig"]["localReplyConfig"]
    else:
        # The listener's frame does not depend on the endpoints: `nothing` shows it.
        readable["Listener"] = {name: each["filterChainMatcher"] for name, each in readable["Listener"].items()}
    golden(HERE / case / "xds.yaml", readable)


def _ir(case: str) -> GatewayIR:
    given = yaml.safe_load((HERE / case / "documents.yaml").read_text())
    serving = {
        NamespacedName.parse(name): Serving(serving["hold"], tuple((host, port) for host, port in serving["addresses"]))
        for name, serving in given["serving"].items()
    }
    return translate([_document(each) for each in given["documents"]], serving, SETTINGS)


def _document(members: dict[str, Any]) -> RouteDocument:
    name = members["endpoint"]["name"]
    pem = {file: f"-----BEGIN {name} {file}".encode() for file in (TLS_CRT, TLS_KEY, UPSTREAM_CA)}
    return decode({DOCUMENT_JSON: orjson.dumps(members), **pem})


def _readable_ir(ir: GatewayIR) -> list[dict[str, Any]]:
    return [{name: each for name, each in asdict(endpoint).items() if name != "source"} for endpoint in ir.endpoints]


def _readable(resource: Any) -> dict[str, Any]:
    members = json_format.MessageToDict(resource)
    del members["@type"]
    return _without_lua(members)


def _without_lua(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_lua(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_without_lua(each) for each in value]
    return LUA.get(value, value) if isinstance(value, str) else value
