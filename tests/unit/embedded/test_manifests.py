"""Manifests: what is accepted, and that every refusal says where and what to write."""

from pathlib import Path

import pytest

from nightlatch.embedded.errors import UserError
from nightlatch.embedded.manifests.documents import ManifestDocument, ManifestProblem, expand, parse, read

GOOD = """
apiVersion: nightlatch.dev/v1alpha1
kind: InferenceEndpoint
metadata: {name: minilm}
spec: {model: {source: {path: ../models/minilm}}, access: {apiKey: {}}}
"""
FILE = Path("/somewhere/manifests/app.yaml")


def one(text):
    [parsed] = parse(text, FILE)
    return parsed


def test_a_document_gets_the_default_namespace():
    document = one(GOOD)
    assert isinstance(document, ManifestDocument)
    assert document.object["metadata"] == {"namespace": "default", "name": "minilm"}


def test_a_model_path_is_relative_to_its_manifest():
    assert one(GOOD).object["spec"]["model"]["source"]["path"] == "/somewhere/models/minilm"


def test_an_absolute_model_path_stays():
    assert one(GOOD.replace("../models", "/models")).object["spec"]["model"]["source"]["path"] == "/models/minilm"


def test_empty_documents_and_namespaces_are_passed_over_but_counted():
    [document] = parse(f"---\n---\napiVersion: v1\nkind: Namespace\nmetadata: {{name: x}}\n---\n{GOOD}", FILE)
    assert document.index == 3


def test_a_status_in_a_manifest_is_dropped():
    assert "status" not in one(GOOD + "status: {state: Awake}\n").object


def test_a_timestamp_stays_a_string():
    text = GOOD.replace("InferenceEndpoint", "InferenceClient").replace(
        "spec: {", "spec: {apiKey: {expiresAt: 2030-01-01T00:00:00Z}, "
    )
    assert one(text).object["spec"]["apiKey"]["expiresAt"] == "2030-01-01T00:00:00Z"


def test_string_data_of_a_secret_becomes_data():
    secret = one("apiVersion: v1\nkind: Secret\nmetadata: {name: s}\nstringData: {a: b}\n").object
    assert secret["data"] == {"a": "Yg=="}
    assert "stringData" not in secret


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("kind: [", "is not YAML: line 1"),
        ("a: 1\na: 2\n", "the key 'a' is given twice"),
        ("- 1", "document 1: is not an object; start with"),
        (
            GOOD.replace("InferenceEndpoint", "InferenceEndpiont"),
            "unknown kind 'InferenceEndpiont'; did you mean InferenceEndpoint?",
        ),
        (GOOD.replace("InferenceEndpoint", "Deployment"), "write InferenceEndpoint, InferenceClient or TokenIssuer"),
        (GOOD.replace("v1alpha1", "v1"), "apiVersion: 'nightlatch.dev/v1' should be nightlatch.dev/v1alpha1"),
        (GOOD.replace("name: minilm", "labels: {}"), "metadata.name: is missing"),
    ],
)
def test_a_refusal_says_where_and_what(text, said):
    problem = one(text)
    assert isinstance(problem, ManifestProblem)
    assert str(problem).startswith(str(FILE))
    assert said in str(problem)


def test_the_good_documents_of_a_file_are_read_beside_a_broken_one(tmp_path):
    file = tmp_path / "a.yaml"
    file.write_text(f"{GOOD}---\nkind: Nonsense\n")
    manifests = read([file])
    assert len(manifests.documents) == 1
    assert len(manifests.problems) == 1


def test_an_object_declared_twice_is_a_problem_that_names_both_places(tmp_path):
    for name in ("a.yaml", "b.yaml"):
        (tmp_path / name).write_text(GOOD)
    manifests = read(expand([tmp_path]))
    assert len(manifests.documents) == 1
    assert "a.yaml" in str(manifests.problems[0])
    assert "b.yaml" in str(manifests.problems[0])


def test_a_directory_stands_for_its_yaml_files(tmp_path):
    for name in ("b.yml", "a.yaml", "notes.txt"):
        (tmp_path / name).write_text("")
    assert [file.name for file in expand([tmp_path])] == ["a.yaml", "b.yml"]


def test_a_missing_file_is_named():
    with pytest.raises(UserError, match=r"no such file: nowhere\.yaml"):
        expand([Path("nowhere.yaml")])
