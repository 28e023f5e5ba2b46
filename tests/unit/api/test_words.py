"""`kubectl explain` says something of its own about every field, and what every value of an enum does."""

import re
from collections.abc import Iterator
from typing import Any

import pytest

from nightlatch.api.crd.generate import schema_of
from nightlatch.api.meta import OUR_KINDS

Schema = dict[str, Any]


# Values in backticks with commas or words between them, and then what is said about them: "`Zero` stops ...",
# "`Exists`, `Equal`: ...".
_VALUES = re.compile(r"((?:`[^`]+`(?:, (?:and |or )?| and | or )?)+)(?::\s+[^\s`]+|,?\s+[^\s`]+\s+[^\s`]+)")

# Their meaning is HTTP's.
HTTP_METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"}


def fields(schema: Schema, path: str) -> Iterator[tuple[str, Schema]]:
    """Every field below a schema, in entries of lists and values of maps, too."""
    for name, child in schema.get("properties", {}).items():
        yield f"{path}.{name}", child
        yield from fields(child, f"{path}.{name}")
    for word, mark in (("items", "[]"), ("additionalProperties", "{}")):
        if isinstance(schema.get(word), dict):
            yield from fields(schema[word], path + mark)


ALL = [
    pytest.param(child, id=f"{kind.kind} {path}")
    for kind in OUR_KINDS
    for part in ("spec", "status")
    for path, child in [(part, schema_of(kind)["properties"][part]), *fields(schema_of(kind)["properties"][part], part)]
]


def innermost(schema: Schema) -> Schema:
    """The schema of what is in a list or map; the schema itself of anything else."""
    while inner := schema.get("items") or schema.get("additionalProperties"):
        schema = inner
    return schema


def said_of(text: str) -> set[str]:
    """The values in backticks about which the text says something."""
    return {value for values in _VALUES.findall(text) for value in re.findall("`([^`]+)`", values)}


def explained(schema: Schema) -> str:
    """What `kubectl explain` prints of a field: the description, then those of the entries of a list or map."""
    texts = [schema.get("description", "")]
    while schema := schema.get("items") or schema.get("additionalProperties") or {}:
        texts.append(schema.get("description", ""))
    return " ".join(texts)


@pytest.mark.parametrize("schema", ALL)
def test_every_field_has_a_description(schema: Schema) -> None:
    assert len(schema["description"].split()) >= 2
    assert schema["description"].endswith((".", "`."))


@pytest.mark.parametrize("schema", [case for case in ALL if "enum" in innermost(case.values[0])])  # type: ignore[arg-type]
def test_every_value_of_an_enum_says_what_it_does(schema: Schema) -> None:
    assert {str(value) for value in innermost(schema)["enum"]} - HTTP_METHODS - said_of(explained(schema)) == set()


@pytest.mark.parametrize("kind", OUR_KINDS, ids=lambda kind: kind.kind)
def test_two_fields_of_an_object_do_not_share_a_description(kind: Any) -> None:
    def objects(schema: Schema) -> Iterator[Schema]:
        if "properties" in schema:
            yield schema
        children = [*schema.get("properties", {}).values(), schema.get("items"), schema.get("additionalProperties")]
        for child in children:
            yield from objects(child) if isinstance(child, dict) else ()

    for part in ("spec", "status"):
        for each in objects(schema_of(kind)["properties"][part]):
            texts = [child["description"] for child in each["properties"].values()]
            assert len(texts) == len(set(texts)), each["description"]


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("`Zero` stops the model server. `Standby` keeps it.", {"Zero", "Standby"}),
        ("`RS256`, `RS384`: RSA with SHA-256 or SHA-384.", {"RS256", "RS384"}),
        ("One of `A` and `B`.", set()),
        ("`Current`: used. `Revoked`: refused.", {"Current", "Revoked"}),
        ("`A`: a word. `B`.", {"A"}),
    ],
)
def test_a_list_of_names_says_nothing(text: str, values: set[str]) -> None:
    assert said_of(text) == values
