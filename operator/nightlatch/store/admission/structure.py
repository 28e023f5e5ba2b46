"""What a structural schema does to a value: it drops nulls, adds defaults and finds unknown fields."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from nightlatch.api.crd.schema import Schema
from nightlatch.api.validation.causes import Cause, path_text
from nightlatch.api.validation.suggest import did_you_mean

Path = tuple[str | int, ...]


def completed(schema: Schema, value: Any) -> Any:
    """A copy without nulls and with every default, as the API server stores it."""
    if isinstance(value, Mapping):
        return _completed_object(schema, value)
    if isinstance(value, list):
        items = schema.get("items", {})
        return [completed(items, item) for item in value]
    return value


def _completed_object(schema: Schema, value: Mapping[str, Any]) -> dict[str, Any]:
    properties: dict[str, Schema] = schema.get("properties", {})
    known = {
        key: completed(_child(schema, key), item)
        for key, item in value.items()
        if item is not None or _keeps_unknown(schema)
    }
    missing = {
        key: completed(child, child["default"])
        for key, child in properties.items()
        if "default" in child and key not in known
    }
    return known | missing


def walk(schema: Schema, value: Any, path: str = "") -> Iterator[tuple[str, Schema, Any]]:
    """Every part of `value` that the schema describes, with its path; the outermost first.

    The key of a map is written as the API server writes it: `spec.runtime.podLabels[app]`.
    """
    yield path, schema, value
    if isinstance(value, Mapping):
        for key, item in value.items():
            child = _child(schema, key)
            if child:
                is_field = key in schema.get("properties", {})
                yield from walk(child, item, f"{path}.{key}".removeprefix(".") if is_field else f"{path}[{key}]")
    elif isinstance(value, list) and "items" in schema:
        for index, item in enumerate(value):
            yield from walk(schema["items"], item, f"{path}[{index}]")


def unknown_fields(schema: Schema, value: Any, path: Path = ()) -> Iterator[Cause]:
    """A cause for each unknown field."""
    if isinstance(value, list):
        for index, item in enumerate(value):
            yield from unknown_fields(schema.get("items", {}), item, (*path, index))
    elif isinstance(value, Mapping) and schema.get("type") == "object" and not _keeps_unknown(schema):
        for key, item in value.items():
            child = _child(schema, key)
            if child:
                yield from unknown_fields(child, item, (*path, key))
            elif not _opaque(schema, path):
                yield path_text((*path, key)), f"unknown field{did_you_mean(key, schema.get('properties', ()))}"


def duplicates(schema: Schema, value: Any) -> Iterator[Cause]:
    """A cause for each item that occurs twice in a set, or whose key occurs twice in a map."""
    for path, node, part in walk(schema, value):
        if node.get("x-kubernetes-list-type") in ("set", "map") and isinstance(part, list):
            yield from _repeated(path, node.get("x-kubernetes-list-map-keys"), part)


def _repeated(path: str, keys: list[str] | None, items: list[Any]) -> Iterator[Cause]:
    """`keys` is None for a set, whose items are compared as a whole."""
    seen = set()
    for index, item in enumerate(items):
        identity = json.dumps({key: item.get(key) for key in keys} if keys and isinstance(item, Mapping) else item)
        if identity in seen:
            yield f"{path}[{index}]", f"duplicate value: {identity} is already in the list"
        seen.add(identity)


def _child(schema: Schema, key: str) -> Schema:
    found: Schema = schema.get("properties", {}).get(key) or schema.get("additionalProperties") or {}
    return found


def _keeps_unknown(schema: Schema) -> bool:
    return bool(schema.get("x-kubernetes-preserve-unknown-fields"))


def _opaque(schema: Schema, path: Path) -> bool:
    """True where the schema does not list all fields. metadata.py checks `metadata`; the schema only restricts it."""
    return path == ("metadata",) or "additionalProperties" in schema
