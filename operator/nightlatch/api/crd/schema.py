"""Converts a pydantic model to a structural OpenAPI v3 schema, the only form that an API server accepts in a CRD.

Structural means: no `$ref`, no `anyOf` with null, no `title`, no `additionalProperties: false` (the API server refuses
unknown fields itself), and `exclusiveMinimum` as in OpenAPI 3.0.
"""

from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel

from nightlatch.api.crd.attribute_docs import docs_of
from nightlatch.api.meta import Shape
from nightlatch.api.rules import KEYWORD

Schema = dict[str, Any]


def structural(model: type[BaseModel], *, defaults: bool = True) -> Schema:
    """The schema of `model`.

    Without `defaults` it is that of a status: only the operator writes it, and never leaves a list out.
    """
    document = model.model_json_schema(by_alias=True)
    for name, definition in document.get("$defs", {}).items():
        _describe_fields(definition, _class_named(name))
    _describe_fields(document, model)
    return _convert(document, document.get("$defs", {}), defaults=defaults)


def _class_named(name: str) -> type[BaseModel] | None:
    return next((found for found in _descendants(Shape) if found.__name__ == name), None)


def _descendants(model: type[BaseModel]) -> Iterator[type[BaseModel]]:
    for child in model.__subclasses__():
        yield child
        yield from _descendants(child)


def _describe_fields(definition: Schema, model: type[BaseModel] | None) -> None:
    if model is None:
        return
    aliases = {name: field.alias or name for name, field in model.model_fields.items()}
    for attribute, text in docs_of(model).items():
        definition["properties"][aliases[attribute]]["description"] = text


# Keywords that are copied unchanged, in the order in which they are written.
_KEPT = (
    *("type", "description", "enum", "pattern", "format", "anyOf"),
    *("minimum", "maximum", "minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties"),
    *("x-kubernetes-int-or-string", "x-kubernetes-list-type", "x-kubernetes-list-map-keys", KEYWORD, "required"),
)


def _convert(node: Schema, definitions: Schema, *, defaults: bool) -> Schema:
    node = _inlined(_without_null(_inlined(node, definitions)), definitions)
    kept = {key: node[key] for key in _KEPT if key in node}
    if isinstance(node.get("const"), str):
        kept["enum"] = [node["const"]]
    if defaults and "default" in node:
        kept |= _default(node["default"])
    if node.get("properties"):
        kept["properties"] = {
            name: _convert(child, definitions, defaults=defaults) for name, child in node["properties"].items()
        }
    if "items" in node:
        kept["items"] = _items(node, definitions, defaults=defaults)
    if kept.get("type") == "integer":
        kept.setdefault("format", "int32")
    if not defaults:
        kept |= _required_lists(kept)
    kept |= _additional(node, definitions, defaults=defaults)
    if kept.get("default") == {}:
        kept["default"] = _defaults_within(kept)
    return _exclusive_bounds(_pattern_as_rule(kept), node)


def _inlined(node: Schema, definitions: Schema) -> Schema:
    if "$ref" not in node:
        return node
    target = _inlined(definitions[node["$ref"].rsplit("/", 1)[-1]], definitions)
    return {**target, **{key: value for key, value in node.items() if key != "$ref"}}


def _without_null(node: Schema) -> Schema:
    """`anyOf: [X, null]` is X, optional."""
    branches = [branch for branch in node.get("anyOf", ()) if branch.get("type") != "null"]
    if len(branches) != 1:
        return node
    return {**branches[0], **{key: value for key, value in node.items() if key != "anyOf"}}


def _items(node: Schema, definitions: Schema, *, defaults: bool) -> Schema:
    """The schema of a list's entries. An API server wants a default for each key of the list that is optional."""
    items = _convert(node["items"], definitions, defaults=defaults)
    for key in node.get("x-kubernetes-list-map-keys", ()):
        if key not in items.get("required", ()):
            items["properties"][key].setdefault("default", "")
    return items


def _default(value: Any) -> Schema:
    """An object's default is filled in later from the defaults of its fields. Empty lists and texts need no default."""
    if value is None or value in ([], ""):
        return {}
    return {"default": {} if isinstance(value, dict) else value}


def _required_lists(node: Schema) -> Schema:
    lists = [name for name, field in node.get("properties", {}).items() if field.get("type") == "array"]
    required = dict.fromkeys([*node.get("required", ()), *lists])
    return {"required": list(required)} if required else {}


def _defaults_within(node: Schema) -> Schema:
    """An API server applies CEL rules to an object's default before it fills in those of its fields: write them out."""
    fields = node.get("properties", {})
    return {name: field["default"] for name, field in fields.items() if "default" in field}


def _additional(node: Schema, definitions: Schema, *, defaults: bool) -> Schema:
    """The schema of a map's values. `dict[str, Any]` allows every value."""
    values = node.get("additionalProperties")
    if values is True:
        return {"x-kubernetes-preserve-unknown-fields": True}
    return {"additionalProperties": _convert(values, definitions, defaults=defaults)} if values else {}


def _pattern_as_rule(node: Schema) -> Schema:
    """Drop a pattern that a rule explains in words, so that users see one message, and a readable one."""
    says_so = any(".matches(" in rule["rule"] for rule in node.get(KEYWORD, ()))
    return {key: value for key, value in node.items() if key != "pattern"} if says_so else node


def _exclusive_bounds(kept: Schema, node: Schema) -> Schema:
    """JSON Schema's numeric `exclusiveMinimum` is a boolean beside `minimum` in OpenAPI v3.0."""
    for exclusive, plain in (("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")):
        if exclusive in node:
            kept |= {plain: node[exclusive], exclusive: True}
    return kept
