"""One folder for each feature: `documents.yaml` says what a gateway is given, and each other file what becomes of it.

`shows` names those files: the IR, the policies for the gate, and one for each type of resource. A part that does not
depend on the endpoints is in `nothing` and left out elsewhere.
"""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import orjson
import pytest
import yaml
from google.protobuf import any_pb2, json_format

from nightlatch.api.meta import NamespacedName
from nightlatch.api.operations import operations_for
from nightlatch.routing.filter_order import GATE
from nightlatch.routing.ir import CertificateIR, DeniedTokensIR, GateIR, GatewayIR, GatewaySettings, IssuerIR, Serving
from nightlatch.routing.policy import policy_value
from nightlatch.routing.translate import translate
from nightlatch.routing.xds.snapshot import snapshot
from nightlatch.wire.route_document import (
    CLIENT_CA,
    DOCUMENT_JSON,
    TLS_CRT,
    TLS_KEY,
    UPSTREAM_CA,
    RouteDocument,
    decode,
)
from nightlatch.wire.xds_types import ADDRESSES, CLUSTER, EXTENSION, LISTENER, ROUTES, SCOPE, SECRET

HERE = Path(__file__).parent
CASES = {path.parent.name: yaml.safe_load(path.read_text()) for path in sorted(HERE.glob("*/documents.yaml"))}
RESOURCES = {
    "clusters": CLUSTER,
    "addresses": ADDRESSES,
    "secrets": SECRET,
    "extensions": EXTENSION,
    "listeners": LISTENER,
    "scopes": SCOPE,
    "routes": ROUTES,
}
OPERATIONS = [
    {"method": "GET", "path": "/v1/models", "permission": "metadata", "protocol": "OpenAI"},
    {"method": "POST", "path": "/v1/embeddings", "permission": "infer", "protocol": "OpenAI"},
]


@pytest.mark.parametrize(("case", "shown"), [(case, shown) for case in CASES for shown in CASES[case]["shows"]])
def test_documents_become_what_envoy_and_the_gate_get(golden, case, shown):
    ir = _ir(CASES[case])
    golden(HERE / case / f"{shown}.yaml", _shown(case, shown, ir))


def test_every_golden_file_is_shown():
    expected = {f"{case}/{shown}.yaml" for case, given in CASES.items() for shown in (*given["shows"], "documents")}
    assert {str(path.relative_to(HERE)) for path in HERE.glob("*/*.yaml")} == expected


def _shown(case: str, shown: str, ir: GatewayIR) -> Any:
    if shown == "ir":
        return [_readable_ir(endpoint) for endpoint in ir.endpoints]
    if shown == "policies":
        policies = {each.name: policy_value(each.policy, ir.settings.gateways) for each in ir.endpoints}
        return {name: json.loads(value) for name, value in policies.items()}
    resources = {name: _readable(each) for name, each in sorted(snapshot(ir)[RESOURCES[shown]].items())}
    if shown == "listeners" and case != "nothing":
        return {name: _what_endpoints_decide(each) for name, each in resources.items()}
    if shown == "listeners":
        # The two chains' local replies differ in their 404 only.
        del resources["callers"]["defaultFilterChain"]["filters"][0]["typedConfig"]["localReplyConfig"]
    if shown == "extensions" and case != "nothing":
        del resources["nightlatch.gate"]["typedConfig"]["filterConfig"]["errors"]
    if shown == "secrets" and case != "nothing":
        return {name: each for name, each in resources.items() if not name.startswith(("client:", "server:"))}
    return resources


def _what_endpoints_decide(listener: dict[str, Any]) -> dict[str, Any]:
    """The matcher, and the chains for client certificates."""
    chains = {each["name"]: each for each in listener["filterChains"]}
    del chains["endpoints"]
    return {"filterChainMatcher": listener["filterChainMatcher"]} | ({"chains": chains} if chains else {})


def _ir(given: dict[str, Any]) -> GatewayIR:
    gate = given.get("gate", {})
    issuers = tuple(IssuerIR(**each) for each in gate.get("issuers", ()))
    denied = tuple(DeniedTokensIR(**each) for each in gate.get("denied_tokens", ()))
    settings = GatewaySettings(
        "127.0.0.1",
        8443,
        CertificateIR("CLIENT CERT", "KEY"),
        CertificateIR("FALLBACK CERT", "KEY"),
        gate=GateIR(
            revoked_clients=tuple(gate.get("revoked_clients", ())),
            revoked_keys=tuple(gate.get("revoked_keys", ())),
            issuers=issuers,
            denied_tokens=denied,
        ),
        gateways=given.get("gateways", 1),
    )
    serving = {
        NamespacedName.parse(name): Serving(each["hold"], tuple((host, port) for host, port in each["addresses"]))
        for name, each in given.get("serving", {}).items()
    }
    return translate([_document(each) for each in given["documents"]], serving, settings)


def _document(given: dict[str, Any]) -> RouteDocument:
    endpoint = NamespacedName.parse(given["endpoint"])
    defaults = {
        "version": 1,
        "uid": f"u-{endpoint.name}",
        "sequence": 3,
        "hosts": [f"{endpoint.name}.{endpoint.namespace}.localhost"],
        "operations": OPERATIONS,
        "upstream_identity": f"spiffe://nightlatch.local/ns/{endpoint.namespace}/ie/{endpoint.name}",
        "keys": [],
        "rate_tiers": {},
        "request_timeout": 60.0,
        "hold_timeout": 45.0,
        "hold_max_requests": 256,
        "denied": None,
        "created": 5,
    }
    members = {
        **defaults,
        **given,
        "endpoint": asdict(endpoint),
        "keys": [_key(**each) for each in given.get("keys", ())],
    }
    if certificates := given.get("certificates"):
        members["certificates"] = [_certificate(**each) for each in certificates]
    if members["operations"] == "all":
        members["operations"] = [asdict(each) for each in operations_for("OpenInference", endpoint.name)]
    pem = {file: f"-----BEGIN {endpoint.name} {file}".encode() for file in (TLS_CRT, TLS_KEY, UPSTREAM_CA)}
    if certificates:
        pem[CLIENT_CA] = f"-----BEGIN {endpoint.name} {CLIENT_CA}".encode()
    return decode({DOCUMENT_JSON: orjson.dumps(members), **pem})


def _key(client: str, sha256: str, **given: Any) -> dict[str, Any]:
    """A short digest is repeated."""
    defaults = {"tier": "", "not_before": None, "not_after": None}
    return {**defaults, **given, "client": asdict(NamespacedName.parse(client)), "sha256": sha256 * 16}


def _certificate(client: str | None = None, tier: str = "", **given: Any) -> dict[str, Any]:
    return {**given, "tier": tier, "client": asdict(NamespacedName.parse(client)) if client else None}


def _readable_ir(endpoint: Any) -> dict[str, Any]:
    return {name: each for name, each in asdict(endpoint).items() if name != "source"}


def _readable(packed: any_pb2.Any) -> Any:
    """Without the type of the resource itself. The gate's configuration is JSON; a policy has a file of its own."""
    members = json_format.MessageToDict(packed)
    members.pop("@type")
    if "filterConfig" in members.get("typedConfig", {}):
        members["typedConfig"]["filterConfig"] = json.loads(members["typedConfig"]["filterConfig"]["value"])
    for virtual_host in members.get("virtualHosts", ()):
        # xds-protos does not have the field of the name.
        name = "held-policy" if b"\x22\x0bheld-policy" in packed.value else "policy"
        virtual_host["typedPerFilterConfig"][GATE] = f"<{name} in policies.yaml>"
    return members
