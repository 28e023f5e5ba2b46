"""The generated CRDs are what an API server takes, and the committed ones are the generated ones."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from nightlatch.api.crd import generate
from nightlatch.api.meta import INFERENCE_CLIENT, INFERENCE_ENDPOINT, OUR_KINDS, TOKEN_ISSUER, Kind
from nightlatch.api.rules import KEYWORD
from nightlatch.generated_files import outdated
from nightlatch.store.admission.cel import holds
from nightlatch.store.admission.messages import structural_violations
from nightlatch.store.admission.structure import completed, walk

COMMITTED = Path(__file__).parents[3] / "crds"
CEL_CASES = Path(__file__).parents[2] / "contract" / "cel_cases.yaml"


def nodes(schema: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    yield path, schema
    for name, child in schema.get("properties", {}).items():
        yield from nodes(child, f"{path}.{name}")
    for word in ("items", "additionalProperties"):
        if word in schema:
            yield from nodes(schema[word], f"{path}[]")


ALL = [
    pytest.param(path, node, id=f"{kind.kind}{path}")
    for kind in OUR_KINDS
    for path, node in nodes(generate.schema_of(kind))
]


def test_the_committed_files_are_the_generated_ones() -> None:
    assert outdated(generate.rendered(COMMITTED)) == (), "run `make generate`"
    assert set(COMMITTED.iterdir()) == set(generate.rendered(COMMITTED))


def test_drift_fails_and_names_the_remedy(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert generate.main([str(tmp_path)]) == 0
    assert generate.main(["--check", str(tmp_path)]) == 0
    (tmp_path / "inferenceclients.yaml").write_text("old")
    assert generate.main(["--check", str(tmp_path)]) == 1
    assert "inferenceclients.yaml" in (said := capsys.readouterr().err)
    assert "make generate" in said


def test_what_is_written_reads_back_as_what_was_meant(tmp_path: Path) -> None:
    assert generate.main([str(tmp_path)]) == 0
    for resource in generate.RESOURCES:
        text = (tmp_path / f"{resource.kind.plural}.yaml").read_text()
        assert yaml.safe_load(text) == generate.definition(resource)


@pytest.mark.parametrize(("path", "node"), ALL)
def test_the_schema_is_structural(path: str, node: dict[str, Any]) -> None:
    assert node.keys().isdisjoint({"$ref", "$defs", "title", "const", "oneOf", "allOf", "exclusiveMinimum", "nullable"})
    assert ("type" in node) != bool(node.get("x-kubernetes-int-or-string"))
    assert not ("properties" in node and "additionalProperties" in node)
    if node.get("type") == "array":
        assert "items" in node


@pytest.mark.parametrize(
    ("path", "node"), [case for case in ALL if ".spec" in str(case.id) and ".inline." not in str(case.id)]
)
def test_everything_in_a_spec_is_bounded(path: str, node: dict[str, Any]) -> None:
    """The API server estimates the cost of CEL rules from the bounds, and refuses a CRD without them."""
    bound = {"array": "maxItems", "string": "maxLength"}.get(node.get("type", ""))
    assert bound is None or bound in node or "enum" in node
    assert "additionalProperties" not in node or "maxProperties" in node


@pytest.mark.parametrize(("path", "node"), [case for case in ALL if KEYWORD in case.values[1]])  # type: ignore[operator]
def test_rules_say_what_to_write_and_stay_within_core_cel(path: str, node: dict[str, Any]) -> None:
    for rule in node[KEYWORD]:
        assert len(rule["message"]) > 20
        assert "\n" not in rule["message"]
        assert "oldSelf" not in rule["rule"]
        holds(rule["rule"], {})  # compiles in an engine without the Kubernetes libraries


def test_every_rule_refuses_a_manifest_of_the_table_and_lets_another_pass() -> None:
    """The table is tried on every store, and so is every rule."""
    table = yaml.safe_load(CEL_CASES.read_text())
    for kind in OUR_KINDS:
        schema = generate.schema_of(kind)
        refused, passed = set(), set()
        for case in table[kind.kind]:
            said = case.get("refused", {}).get("says", "")
            manifest = {"metadata": {"name": case.get("called", "case")}, "spec": case["spec"]}
            for path, node, _ in walk(schema, completed(schema, manifest)):
                found = {rule["message"]: rule.get("fieldPath", "") for rule in node.get(KEYWORD, ())}
                if "refused" not in case:
                    passed |= found.keys()
                elif said:
                    at = case["refused"]["path"]
                    refused |= {
                        text for text, below in found.items() if f"{path}{below}".strip(".") == at and said in text
                    }
        rules = {rule["message"] for _, node in nodes(schema) for rule in node.get(KEYWORD, ())}
        assert (rules - refused, rules - passed) == (set(), set()), kind.kind


def status_of(kind: Kind) -> dict[str, Any]:
    found: dict[str, Any] = generate.schema_of(kind)["properties"]["status"]
    return found


@pytest.mark.parametrize("kind", OUR_KINDS)
def test_a_new_object_has_a_status_that_says_that_nothing_was_observed(kind: Kind) -> None:
    status = status_of(kind)
    assert status["default"]["observedGeneration"] == 0
    assert completed(status, {}) == {}, "what the operator writes is not added to"
    assert not list(structural_violations(status, status["default"]))


@pytest.mark.parametrize("kind", OUR_KINDS)
def test_a_status_always_has_its_lists(kind: Kind) -> None:
    for path, node in nodes(status_of(kind)):
        lists = {name for name, field in node.get("properties", {}).items() if field.get("type") == "array"}
        assert lists <= set(node.get("required", ())), path


LIST_MAPS = {
    INFERENCE_ENDPOINT: {"conditions": "type", "certificates": "role"},
    INFERENCE_CLIENT: {"conditions": "type", "keys": "id"},
    TOKEN_ISSUER: {"conditions": "type", "keys": "kid"},
}


@pytest.mark.parametrize("kind", OUR_KINDS)
def test_the_lists_of_a_status_merge_by_key(kind: Kind) -> None:
    for name, key in LIST_MAPS[kind].items():
        entries = status_of(kind)["properties"][name]
        assert (entries["x-kubernetes-list-type"], entries["x-kubernetes-list-map-keys"]) == ("map", [key])
        assert key in entries["items"]["required"]


@pytest.mark.parametrize("kind", OUR_KINDS)
def test_conditions_are_those_of_kubernetes(kind: Kind) -> None:
    condition = status_of(kind)["properties"]["conditions"]["items"]
    assert condition["required"] == ["type", "status", "reason", "message", "lastTransitionTime"]
    assert condition["properties"]["lastTransitionTime"]["format"] == "date-time"
    assert condition["properties"]["observedGeneration"] | {"description": ""} == {
        "type": "integer",
        "format": "int64",
        "minimum": 0,
        "description": "",
    }


@pytest.mark.parametrize("kind", OUR_KINDS)
def test_every_number_and_every_time_has_a_format(kind: Kind) -> None:
    for path, node in nodes(generate.schema_of(kind)):
        if node.get("type") == "integer":
            assert node["format"] in ("int32", "int64"), path
        name = path.rpartition(".")[2]
        if name == "at" or (path.startswith(".status") and name.endswith(("At", "Time", "notAfter"))):
            assert node["format"] == "date-time", path


def test_an_endpoint_offers_no_scale_subresource() -> None:
    """Only the leader writes replicas, so `kubectl scale` and an HPA have nothing to hold on to."""
    for resource in generate.RESOURCES:
        (version,) = generate.definition(resource)["spec"]["versions"]
        assert version["subresources"] == {"status": {}}
        assert "selector" not in status_of(resource.kind)["properties"]


def printer_columns(kind: Kind) -> list[dict[str, Any]]:
    resource = next(resource for resource in generate.RESOURCES if resource.kind == kind)
    columns: list[dict[str, Any]] = generate.definition(resource)["spec"]["versions"][0]["additionalPrinterColumns"]
    return columns


def test_kubectl_shows_these_columns_of_an_endpoint() -> None:
    names = [(column["name"], column.get("priority", 0)) for column in printer_columns(INFERENCE_ENDPOINT)]
    assert names == [
        *((name, 0) for name in ("URL", "Ready", "State", "Replicas", "Reason", "Age")),
        *((name, 1) for name in ("Access", "CertExpiry")),
    ]


@pytest.mark.parametrize("kind", OUR_KINDS)
def test_no_column_shows_a_future_time_as_a_date(kind: Kind) -> None:
    """kubectl shows a date as the time since then, and `<invalid>` for one that lies ahead."""
    dates = [column["jsonPath"] for column in printer_columns(kind) if column["type"] == "date"]
    assert dates == [".metadata.creationTimestamp"]


@pytest.mark.parametrize("kind", OUR_KINDS)
def test_every_column_shows_a_field_of_the_schema(kind: Kind) -> None:
    known = {path for path, _ in nodes(generate.schema_of(kind))} | {".metadata.creationTimestamp"}
    for column in printer_columns(kind):
        assert re.sub(r"\[.*?\]", "[]", column["jsonPath"]) in known


def test_fields_carry_their_docstrings_for_kubectl_explain() -> None:
    scaling = generate.schema_of(INFERENCE_ENDPOINT)["properties"]["spec"]["properties"]["scaling"]
    assert scaling["description"] == "When the endpoint wakes and sleeps, and how many replicas it runs."
    assert scaling["properties"]["idleAfter"]["description"].startswith("How long the endpoint stays awake")


@pytest.mark.parametrize(
    ("path", "node"), [case for case in ALL if ".spec." in str(case.id) or ".status." in str(case.id)]
)
def test_every_field_is_described_in_one_line(path: str, node: dict[str, Any]) -> None:
    if path.endswith("[]"):  # the description of a list or map is enough
        return
    assert node["description"].endswith((".", "`."))
    assert "\n" not in node["description"]
