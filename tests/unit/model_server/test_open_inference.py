"""Open Inference Protocol bodies: what peers get wrong is 400 here, with the reason."""

import json
from typing import Any

import pytest

from nightlatch_server.model_package.manifest import Batching, Manifest, TensorSpec
from nightlatch_server.protocols import open_inference
from nightlatch_server.request_error import RequestError

TEXT = Manifest(
    name="m",
    version="1",
    architecture="text-embedding",
    config={},
    inputs=(TensorSpec("text", "BYTES", (-1,)),),
    outputs=(TensorSpec("embedding", "FP32", (-1, 4)),),
    batching=Batching(),
    files={},
)


def numeric(datatype: str = "FP32", shape: tuple[int, ...] = (-1, 3)) -> Manifest:
    return Manifest("m", "1", "x", {}, (TensorSpec("x", datatype, shape),), TEXT.outputs, Batching(), {})


def body(**change: Any) -> dict[str, Any]:
    return {"inputs": [{"name": "text", "shape": [2], "datatype": "BYTES", "data": ["a", "b"], **change}]}


def parse(value: object, manifest: Manifest = TEXT) -> open_inference.InferRequest:
    return open_inference.parse_infer(value if isinstance(value, bytes) else json.dumps(value).encode(), manifest)


def test_a_good_request_is_taken_as_it_is() -> None:
    request = parse(body() | {"id": "7", "outputs": [{"name": "embedding"}]})
    assert (request.id, request.outputs, request.inputs["text"].data) == ("7", ["embedding"], ["a", "b"])


@pytest.mark.parametrize(("sent", "echoed"), [({}, False), ({"id": ""}, True), ({"id": "x"}, True)])
def test_the_id_is_echoed_only_if_sent(sent: dict[str, str], echoed: bool) -> None:
    answer = open_inference.infer_response("m", "1", parse(body() | sent), {"embedding": (TEXT.outputs[0], (0, 4), [])})
    assert ("id" in answer) is echoed
    assert answer.get("id") == sent.get("id")


@pytest.mark.parametrize("data", [[1, 2, 3, 4, 5, 6.5], [[1, 2, 3], [4, 5, 6.5]]])
def test_data_may_be_flat_or_nested(data: list[Any]) -> None:
    value = {"inputs": [{"name": "x", "shape": [2, 3], "datatype": "FP32", "data": data}]}
    assert parse(value, numeric()).inputs["x"].data == [1, 2, 3, 4, 5, 6.5]


@pytest.mark.parametrize(
    "data",
    [
        [[1, 2], [3, 4], [5, 6]],
        [[1, 2, 3], [4, 5]],
        [[1, 2, 3], 4],
        [[[1], [2], [3]], [[4], [5], [6]]],
        [1, [2, 3], 4, 5, 6, 7],
    ],
)
def test_data_nested_otherwise_than_its_shape_is_refused(data: list[Any]) -> None:
    value = {"inputs": [{"name": "x", "shape": [2, 3], "datatype": "FP32", "data": data}]}
    with pytest.raises(RequestError) as refused:
        parse(value, numeric())
    assert refused.value.error.status == 400


@pytest.mark.parametrize(
    ("value", "says"),
    [
        (b"{", "not JSON"),
        (b"\xff", "not JSON"),
        (b"[" * 5000, "not JSON"),
        ([], "must be a JSON object"),
        ({}, "inputs must be a list"),
        ({"inputs": []}, "inputs lacks: text"),
        ({"inputs": [3]}, "object with a name"),
        (body(name="txet"), "unknown name in inputs.*the model has: text"),
        ({"inputs": body()["inputs"] * 2}, "occurs twice"),
        (body(datatype="FP32"), "must have datatype BYTES"),
        (body(shape=[-1]), "none negative"),
        (body(shape=[2.0]), "list of sizes"),
        (body(shape=[True]), "list of sizes"),
        (body(shape="2"), "list of sizes"),
        (body(shape=[2, 1]), "the model takes"),
        (body(shape=[3]), "has 2 elements.*needs 3"),
        (body(shape=[1 << 60]), "has 2 elements"),
        (body(shape=[0]), "has 2 elements"),
        (body(data=None), "needs data"),
        (body(data="ab"), "needs data"),
        (body(data=["a", 1]), "not of datatype BYTES"),
        (body(data=[["a"], ["b"]]), "not of datatype BYTES"),
        (body() | {"id": 7}, "id must be a string"),
        (body() | {"id": None}, "id must be a string"),
        (body() | {"outputs": [{"name": "logits"}]}, "unknown name in outputs"),
        (body() | {"outputs": [{"name": "embedding"}] * 2}, "occurs twice"),
        (body() | {"outputs": {}}, "outputs must be a list"),
        (body() | {"parameters": 1}, "must be an object"),
        (body(parameters={"binary_data_size": 8}), "no binary tensor extension"),
        (body() | {"parameters": {"binary_data_output": True}}, "no binary tensor extension"),
        (
            body() | {"outputs": [{"name": "embedding", "parameters": {"binary_data": True}}]},
            "no binary tensor extension",
        ),
    ],
)
def test_a_bad_request_is_400_and_says_why(value: object, says: str) -> None:
    with pytest.raises(RequestError, match=f"(?s){says}") as refused:
        parse(value)
    assert refused.value.error.status == 400


@pytest.mark.parametrize(
    ("datatype", "good", "bad"),
    [
        ("INT8", [-128, 127, 0], [128, 0, 0]),
        ("UINT8", [0, 255, 1], [-1, 0, 0]),
        ("INT64", [-(1 << 63), (1 << 63) - 1, 0], [1.0, 0, 0]),
        ("INT32", [1, 2, 3], [True, 2, 3]),
        ("BOOL", [True, False, True], [1, 0, 1]),
        ("FP32", [1, 2.5, -3], ["1", 2, 3]),
        ("FP64", [1, 2.5, -3], [None, 2, 3]),
    ],
)
def test_elements_must_be_of_the_datatype(datatype: str, good: list[Any], bad: list[Any]) -> None:
    def value(data: list[Any]) -> dict[str, Any]:
        return {"inputs": [{"name": "x", "shape": [1, 3], "datatype": datatype, "data": data}]}

    assert parse(value(good), numeric(datatype)).inputs["x"].data == good
    with pytest.raises(RequestError, match=f"not of datatype {datatype}"):
        parse(value(bad), numeric(datatype))


def test_metadata_has_the_signature_and_the_digest() -> None:
    metadata = open_inference.model_metadata("mine", TEXT, "sha256:0")
    assert metadata["parameters"] == {"digest": "sha256:0"}
    assert (metadata["name"], metadata["versions"]) == ("mine", ["1"])
    assert metadata["inputs"] == [{"name": "text", "datatype": "BYTES", "shape": [-1]}]
