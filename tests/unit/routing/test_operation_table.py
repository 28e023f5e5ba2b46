"""The operation table names every call once, with the endpoint's own model in it."""

from nightlatch.api.operations import operations_for


def test_the_model_of_the_endpoint_and_no_other():
    paths = {each.path for each in operations_for(None, "minilm")}
    assert "/v2/models/minilm/infer" in paths
    assert "/v1/models/minilm" in paths
    assert not any("{model}" in path for path in paths)


def test_a_protocol_brings_only_its_own_calls():
    assert {each.protocol for each in operations_for("OpenAI", "m")} == {"OpenAI"}
    assert all(each.path.startswith(("/v2", "/metrics")) for each in operations_for("OpenInference", "m"))


def test_a_method_and_path_occurs_once():
    table = operations_for(None, "m")
    assert len({(each.method, each.path) for each in table}) == len(table)
