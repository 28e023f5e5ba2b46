"""What a gateway takes from a model server's description of its model, and what it refuses."""

from dataclasses import replace

import orjson
import pytest

from nightlatch.api.operations import operations_for
from nightlatch.gatekeeper.hold.model_metadata import MetadataError, metadata_path, read_metadata
from nightlatch.wire.report import ModelReport, Tensor
from nightlatch_server.model_package.manifest import Batching, Manifest, TensorSpec
from nightlatch_server.protocols.open_inference import model_metadata
from tests.unit.gatekeeper.test_documents import DOCUMENT

DIGEST = "sha256:" + "0a" * 32
TEXT, VECTOR = TensorSpec("text", "BYTES", (-1,)), TensorSpec("embedding", "FP32", (-1, 384))
MANIFEST = Manifest("minilm", "1", "bert", {}, (TEXT,), (VECTOR,), Batching(), {})
SAID = model_metadata("minilm", MANIFEST, DIGEST)


def test_our_own_server_is_understood():
    assert read_metadata(orjson.dumps(SAID)) == ModelReport(
        (Tensor("text", "BYTES", (-1,)),), (Tensor("embedding", "FP32", (-1, 384)),), DIGEST
    )


@pytest.mark.parametrize("parameters", [{}, {"parameters": None}, {"parameters": {}}, {"parameters": {"digest": None}}])
def test_other_servers_have_no_digest(parameters):
    said = {name: value for name, value in SAID.items() if name != "parameters"} | parameters
    assert read_metadata(orjson.dumps(said)).digest == ""


@pytest.mark.parametrize(
    "changes",
    [
        {"inputs": None},
        {"inputs": [{"name": "text", "datatype": "BYTES"}]},
        {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1.5]}]},
        {"inputs": [{"name": "x", "datatype": "FP32", "shape": [-2]}]},
        {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1] * 17}]},
        {"inputs": [{"name": "x" * 129, "datatype": "FP32", "shape": [1]}]},
        {"inputs": [TEXT.as_json(), TEXT.as_json()]},
        {"outputs": [{"name": f"t{n}", "datatype": "FP32", "shape": [1]} for n in range(65)]},
        {"parameters": {"digest": "latest"}},
    ],
)
def test_what_the_status_could_not_hold_is_refused(changes):
    with pytest.raises(MetadataError):
        read_metadata(orjson.dumps({**SAID, **changes}))


def test_what_is_not_json_is_refused():
    with pytest.raises(MetadataError):
        read_metadata(b"<html>")


@pytest.mark.parametrize(
    ("protocol", "path"), [(None, "/v2/models/mini"), ("OpenInference", "/v2/models/mini"), ("OpenAI", None)]
)
def test_only_a_server_of_the_protocol_is_asked(protocol, path):
    assert metadata_path(replace(DOCUMENT, operations=operations_for(protocol, "mini"))) == path
