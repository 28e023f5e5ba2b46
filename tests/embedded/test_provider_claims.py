"""The claims that providers document, with the TokenIssuer of the docs for each: who the caller is, what it may do."""

import json
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from nightlatch.api.meta import API_VERSION, NamespacedName
from nightlatch.planning.access.rules import token_rules
from nightlatch.planning.issuer.key_source import ObservedIssuer
from nightlatch.planning.issuer.plan import plan_issuer
from nightlatch.planning.parsed import read_issuer
from nightlatch.planning.settings import Settings
from nightlatch.routing.ir import GateIR, Serving
from nightlatch.routing.mechanisms.jwt import issuer_from_document
from nightlatch.wire.issuer_document import decode_issuer
from nightlatch.wire.route_document import TrustedIssuer
from tests.attack.tokens import Signer, encoded
from tests.embedded.envoy_fixture import Gateway
from tests.unit.planning import scene

SHAPES = yaml.safe_load((Path(__file__).parents[1] / "providers" / "claim_shapes.yaml").read_text())
ISSUER, KEY = NamespacedName("ids", "corp"), NamespacedName("search", "minilm")
HOST, MODEL = "minilm.search.localhost", "/v2/models/minilm"
SIGNER = Signer("RS256", "k1")


class ModelGateway(Gateway):
    """With a model server that is awake."""

    model: Any


@pytest.fixture(scope="module")
def gateway(tmp_path_factory):
    gateway = ModelGateway(tmp_path_factory.mktemp("gateway"))
    try:
        gateway.model = gateway.model_server(KEY)
        yield gateway
    finally:
        gateway.stop()


def issuer(shape):
    """What the gate gets of the shape's TokenIssuer."""
    metadata = {"name": "corp", "namespace": "ids", "uid": "u1", "generation": 1}
    spec = {**shape["issuer"], "keys": {"inline": {"keys": [SIGNER.jwk]}}}
    raw = {"apiVersion": API_VERSION, "kind": "TokenIssuer", "metadata": metadata, "spec": spec}
    settings = Settings(platform="Cluster")
    planned = plan_issuer(read_issuer(raw, settings), ObservedIssuer(settings), datetime.now(UTC))
    (put,) = planned.apply
    return issuer_from_document(decode_issuer(put.data))


def token(shape, **changes):
    now = int(time.time()) - 5
    claimed = {"iss": shape["issuer"]["issuer"], "iat": now, "nbf": now, "exp": now + shape["lifetime"]}
    claimed = {**shape["claims"], **claimed, **changes}
    header = {"alg": "RS256", "kid": "k1", **shape["header"]}
    return SIGNER.sign_parts(json.dumps(header), claimed)


@pytest.mark.parametrize("shape", SHAPES, ids=[each["provider"] for each in SHAPES])
def test_a_token_as_the_provider_makes_it_is_read_as_the_docs_say(gateway, shape):
    access = {"jwt": {"issuers": [{"name": "corp"}]}, "rules": shape.get("rules", [])}
    document = gateway.document(
        KEY,
        accept=(("jwt",),),
        issuers=(TrustedIssuer(ISSUER, shape["issuer"]["issuer"]),),
        token_rules=token_rules(scene.endpoint(access=access).spec.access),
    )
    gateway.put([document], {KEY: Serving(hold=False, addresses=(gateway.model.address,))})
    gateway.put_gate(GateIR(issuers=(issuer(shape),)))
    with gateway.client(HOST) as client:

        def call(presented, method, path):
            return client.request(method, path, headers={"authorization": f"Bearer {presented}"})

        good = token(shape)
        answers = [call(good, "POST", f"{MODEL}/infer"), call(good, "GET", MODEL)]
        assert [each.status_code for each in answers] == shape["answers"]
        let_in = next(each for each in answers if each.status_code == 200)
        assert let_in.json()["headers"]["x-nightlatch-client"] == f"ids/corp:{shape['client']}"
        bad = {
            "another audience": token(shape, aud="somebody-else"),
            "another issuer": token(shape, iss=shape["issuer"]["issuer"] + "x"),
            "expired": token(shape, iat=1, nbf=1, exp=2),
            "changed": good.replace(good.split(".")[1], encoded({**shape["claims"], "sub": "mallory"})),
        }
        for what, presented in bad.items():
            assert call(presented, "POST", f"{MODEL}/infer").status_code == 401, what
