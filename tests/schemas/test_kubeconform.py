"""kubeconform -strict takes what the docs and examples show, with JSON Schemas made from the CRDs."""

import json
import subprocess
from collections.abc import Callable
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from nightlatch.api.meta import API_VERSION, OUR_KINDS, RawObject
from tests.schemas.manifests import ROOT, Manifest, fragments, manifests
from tools import json_schemas
from tools.node.artifacts.go_build import built
from tools.node.artifacts.programs import KUBECONFORM
from tools.node.progress import Progress

# The first run on a machine compiles a program in Go, perhaps behind another build that holds the lock.
pytestmark = pytest.mark.timeout(1800)

CASES: dict[str, list[dict[str, Any]]] = yaml.safe_load((ROOT / "tests" / "contract" / "cel_cases.yaml").read_text())
Conform = Callable[[list[RawObject]], dict[str, str]]


@pytest.fixture(scope="module")
def conform(tmp_path_factory: pytest.TempPathFactory) -> Conform:
    """`conform(objects)` gives what kubeconform says against each of them, by name; nothing for the valid ones."""
    schemas = tmp_path_factory.mktemp("schemas")
    assert json_schemas.main([str(schemas)]) == 0
    location = f"{schemas}/{json_schemas.LOCATION}"
    command = [
        str(built(KUBECONFORM, Progress())),
        "-strict",
        "-output",
        "json",
        "-verbose",
        "-schema-location",
        location,
    ]

    def checked(objects: list[RawObject]) -> dict[str, str]:
        # JSON is YAML, and one line each.
        text = "\n---\n".join(json.dumps(each) for each in objects)
        done = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
        found = json.loads(done.stdout)["resources"]
        assert len(found) == len(objects), done.stdout + done.stderr
        return {each["name"]: each["msg"] for each in found if each["status"] != "statusValid"}

    return checked


def named(kind: str, name: str, spec: Any) -> RawObject:
    return {
        "apiVersion": API_VERSION,
        "kind": kind,
        "metadata": {"name": name, "namespace": "search"},
        "spec": spec,
    }


def test_the_docs_and_examples_conform(conform: Conform) -> None:
    ours = [manifest for manifest in manifests() if manifest.ours]
    places = {manifest.place.partition(":")[0] for manifest in ours}
    assert {"README.md", "examples/quickstart.yaml"} <= places
    # A name of its own tells the place of what is refused.
    objects = [
        {**manifest.object, "metadata": {**manifest.object["metadata"], "name": f"m{index}"}}
        for index, manifest in enumerate(ours)
    ]
    refused = conform(objects)
    assert {ours[int(name[1:])].place: message for name, message in refused.items()} == {}


@pytest.mark.parametrize("fragment", fragments(), ids=lambda fragment: fragment.place)
def test_a_part_of_an_object_in_the_docs_fits_a_kind(fragment: Manifest) -> None:
    schemas = [without_required(json_schemas.json_schema(kind)) for kind in OUR_KINDS]
    assert any(Draft202012Validator(schema).is_valid(fragment.object) for schema in schemas)


def without_required(schema: Any) -> Any:
    if isinstance(schema, dict):
        return {
            key: without_required(value)
            for key, value in schema.items()
            if key != "required" or isinstance(value, dict)
        }
    return schema


@pytest.mark.parametrize("kind", OUR_KINDS, ids=lambda kind: kind.kind)
def test_every_manifest_that_the_api_server_takes_conforms(conform: Conform, kind: Any) -> None:
    accepted = [case["spec"] for case in CASES[kind.kind] if "refused" not in case]
    assert accepted
    assert conform([named(kind.kind, f"case-{index}", spec) for index, spec in enumerate(accepted)]) == {}


@pytest.mark.parametrize("kind", OUR_KINDS, ids=lambda kind: kind.kind)
def test_a_field_that_does_not_exist_is_refused_at_every_depth(conform: Conform, kind: Any) -> None:
    spec = max((case["spec"] for case in CASES[kind.kind] if "refused" not in case), key=lambda spec: len(str(spec)))
    schema = json_schemas.json_schema(kind)["properties"]["spec"]
    spoiled = list(misspelled(schema, spec))
    assert len(spoiled) > 3
    objects = [named(kind.kind, f"case-{index}", each) for index, each in enumerate(spoiled)]
    assert len(conform(objects)) == len(objects)


def misspelled(schema: dict[str, Any], value: Any) -> Any:
    """Copies of `value` with an unknown field in one of its objects each."""
    if isinstance(value, dict) and schema.get("additionalProperties") is False:
        yield {**value, "unknownField": 1}
        for key, child in value.items():
            for spoiled in misspelled(schema["properties"][key], child):
                yield {**value, key: spoiled}
    elif isinstance(value, list) and value:
        for spoiled in misspelled(schema["items"], value[0]):
            yield [spoiled, *value[1:]]


LEAST = {"model": {"source": {"path": "/m"}}, "access": {"apiKey": {}}}


@pytest.mark.parametrize(
    ("name", "spec"),
    [
        ("7b-chat", LEAST),
        ("chat-pods", LEAST),
        ("a" * 51, LEAST),
        ("chat", {**LEAST, "requestTimeout": "1d"}),
        ("chat", {**LEAST, "access": {"jwt": {"issuers": [{"name": "7b"}]}}}),
        ("chat", {**LEAST, "tls": {"dnsNames": ["a.example", "a.example"]}}),
        ("chat", {**LEAST, "runtime": {"resources": {"limits": {"cpu": -1}}}}),
    ],
)
def test_forms_and_duplicates_are_refused_as_by_the_api_server(conform: Conform, name: str, spec: Any) -> None:
    assert conform([named("InferenceEndpoint", "chat", LEAST)]) == {}
    assert conform([named("InferenceEndpoint", name, spec)]).keys() == {name}


def test_the_command_says_how_it_is_used(capsys: pytest.CaptureFixture[str]) -> None:
    assert json_schemas.main([]) == 2
    assert "tools.json_schemas DIRECTORY" in capsys.readouterr().err
