"""The page api.md says all that the schemas say of a field: values, default, bounds, list type and CEL rules."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from nightlatch.api import duration
from nightlatch.api.crd.generate import schema_of
from nightlatch.api.meta import OUR_KINDS
from nightlatch.api.rules import KEYWORD, OUT_OF_RANGE
from nightlatch.reference import api

Schema = dict[str, Any]
BOUNDS = ("minimum", "maximum", "minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties")


def fields(schema: Schema, path: str = "") -> Iterator[tuple[str, Schema]]:
    for name, child in schema.get("properties", {}).items():
        yield path + name, child
        yield from fields(child, f"{path}{name}.")
    for word, mark in (("items", "[]."), ("additionalProperties", "{}.")):
        if isinstance(schema.get(word), dict):
            yield from fields(schema[word], path.removesuffix(".") + mark)


CASES = [
    pytest.param(kind.kind, part, path, schema, id=f"{kind.kind} {part}.{path}")
    for kind in OUR_KINDS
    for part in ("spec", "status")
    for path, schema in fields(schema_of(kind)["properties"][part])
]


def section(kind: str, part: str) -> str:
    return api.render().split(f"\n### {kind} {part}\n")[1].split("\n### ")[0]


def row(kind: str, part: str, path: str) -> tuple[str, ...]:
    """The cells of a field: type, default, limits, description."""
    (line,) = (line for line in section(kind, part).splitlines() if line.startswith(f"| `{path}` |"))
    return tuple(cell.strip() for cell in line.replace(r"\|", "\0").split("|")[2:-1])


def with_entries(schema: Schema) -> Iterator[Schema]:
    """A field and, if it is a list or map, what is in it."""
    yield schema
    inner = schema.get("items") or schema.get("additionalProperties")
    if isinstance(inner, dict):
        yield from with_entries(inner)


def is_duration(schema: Schema) -> bool:
    """A text whose rule is the form of a duration. An object's rule may compare two of them."""
    return schema.get("type") == "string" and any(duration.PATTERN in rule["rule"] for rule in schema.get(KEYWORD, ()))


@pytest.mark.parametrize(("kind", "part", "path", "schema"), CASES)
def test_the_row_has_the_values_the_default_and_the_bounds(kind: str, part: str, path: str, schema: Schema) -> None:
    _, default, limits, description = row(kind, part, path)
    for each in with_entries(schema):
        if "properties" in each:
            break
        assert each.get("description", "").replace("|", "\0") in description
        for value in each.get("enum", ()):
            assert f"`{value if isinstance(value, str) else json.dumps(value)}`" in limits
        if not is_duration(each) and not each.get("x-kubernetes-int-or-string"):
            assert all(str(each[bound]) in limits.replace(";", " ").split() for bound in BOUNDS if bound in each)
    if not isinstance(schema.get("default", {}), dict):
        value = schema["default"]
        assert default in {"required", f"`{value if isinstance(value, str) else json.dumps(value)}`"}
    sets = [each for each in with_entries(schema) if each.get("x-kubernetes-list-type") == "set"]
    assert limits.count("no duplicates") == len(sets)
    for key in schema.get("x-kubernetes-list-map-keys", ()):
        assert f"`{key}`" in limits


@pytest.mark.parametrize(("kind", "part", "path", "schema"), CASES)
def test_the_page_has_the_message_of_every_rule(kind: str, part: str, path: str, schema: Schema) -> None:
    for each in with_entries(schema):
        for rule in each.get(KEYWORD, ()):
            if is_duration(each):
                said = [row(kind, part, path)[2], api.render().split("\n## ")[0]]
                message = rule["message"].removeprefix(OUT_OF_RANGE)
                assert message in said[0] or (duration.ADVICE in message and "*duration*" in said[1])
            else:
                assert rule["message"] in section(kind, part)


@pytest.mark.parametrize("kind", OUR_KINDS, ids=lambda kind: kind.kind)
def test_the_page_has_the_rules_for_the_name_and_for_the_whole_spec(kind: Any) -> None:
    page = api.render().split(f"\n## {kind.kind}\n")[1].split("\n## ")[0]
    schema = schema_of(kind)
    nodes = [schema, *schema["properties"].values(), schema["properties"]["metadata"]["properties"]["name"]]
    for rule in [rule for node in nodes for rule in node.get(KEYWORD, ())]:
        assert rule["message"] in page
