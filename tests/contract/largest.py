"""The largest objects that the schemas allow: every list and map at its maximum, texts as long as fit into a MiB.

They grow from the accepted manifests of cel_cases.yaml that name the most fields, so that a field which is added there
is in them.
"""

import copy
import itertools
import json
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import yaml

from nightlatch.api.crd.generate import schema_of
from nightlatch.api.crd.schema import Schema
from nightlatch.api.meta import Kind, RawObject
from nightlatch.api.rules import KEYWORD
from nightlatch.store.admission import cel
from nightlatch.store.admission.messages import structural_violations

MIB = 2**20
# These stay smaller: an image of one's own excludes a command, two introspecting issuers would share tokens, and an
# issuer of all there can be selects namespaces by their labels.
SMALLER = {"spec.runtime.command", "spec.access.oauth2.issuers", "spec.allowedNamespaces.names"}
_TABLE = yaml.safe_load(Path(__file__).with_name("cel_cases.yaml").read_text(encoding="utf-8"))


def largest(kind: Kind, namespace: str) -> RawObject:
    """A valid object with as much in its lists, maps and texts as the schema and a MiB allow."""
    schema = schema_of(kind)["properties"]["spec"]
    accepted = [case["spec"] for case in _TABLE[kind.kind] if "refused" not in case]
    spec = _grown(schema, max(accepted, key=lambda spec: len(json.dumps(spec))))
    _lengthen(schema, spec)
    return {
        "apiVersion": kind.api_version,
        "kind": kind.kind,
        "metadata": {"name": "largest", "namespace": namespace},
        "spec": spec,
    }


def size(obj: RawObject) -> int:
    """Bytes of the spec as JSON."""
    return len(json.dumps(obj["spec"], separators=(",", ":")).encode())


def unfilled(kind: Kind, spec: Any) -> set[str]:
    """The lists and maps of the schema that are nowhere at their maximum in the spec."""
    most: dict[str, bool] = {}
    for path, is_full in _collections(schema_of(kind)["properties"]["spec"], spec, "spec"):
        most[path] = most.get(path, False) or is_full
    return {path for path, is_full in most.items() if not is_full}


def _collections(schema: Schema, value: Any, path: str) -> Iterator[tuple[str, bool]]:
    """Every list and map that the schema has for a value, and whether it is at its maximum."""
    for name, child in schema.get("properties", {}).items():
        if name in value or _is_collection(child):
            yield from _collections(child, value.get(name, {}), f"{path}.{name}")
    if _is_collection(schema):
        within = schema.get("items") or schema["additionalProperties"]
        values = within.get("enum", ())
        yield path, len(value) == schema.get("maxItems", schema.get("maxProperties")) or 0 < len(values) == len(value)
        for each in value.values() if isinstance(value, dict) else value:
            yield from _collections(within, each, f"{path}[]")


def _is_collection(schema: Schema) -> bool:
    return "items" in schema or isinstance(schema.get("additionalProperties"), dict)


def _grown(schema: Schema, value: Any) -> Any:
    """A copy with every list and map filled up with variations of what is in it."""
    if isinstance(value, dict) and "properties" in schema:
        return {name: _grown(schema["properties"][name], each) for name, each in value.items()}
    if isinstance(value, dict) and "additionalProperties" in schema:
        within = {name: _grown(schema["additionalProperties"], each) for name, each in value.items()}
        (name, model), *_ = within.items()
        missing = range(schema["maxProperties"] - len(within))
        return within | {f"{name}-{number}": copy.deepcopy(model) for number in missing}
    if isinstance(value, list):
        return _filled(schema, [_grown(schema["items"], each) for each in value])
    return value


def _filled(schema: Schema, items: list[Any]) -> list[Any]:
    within, most = schema["items"], schema["maxItems"]
    if "enum" in within:
        distinct = [*items, *(value for value in within["enum"] if value not in items)]
        return distinct[:most]
    more = (_varied(schema, item, number) for number, item in enumerate(itertools.cycle(items)))
    full = [*items, *itertools.islice(more, most - len(items))]
    return full if _is_valid(schema, full) else items


def _varied(schema: Schema, item: Any, number: int) -> Any:
    """Another item: with another key where the list has keys or names, with another text where it is a set."""
    if isinstance(item, str):
        return _another(schema["items"], item, number)
    if not isinstance(item, dict):
        return copy.deepcopy(item)
    fields = schema["items"].get("properties", {})
    keys = schema.get("x-kubernetes-list-map-keys", [key for key in ("name",) if key in item])
    changed = {key: _another(fields[key], item.get(key, ""), number) for key in keys if "enum" not in fields[key]}
    return {**copy.deepcopy(item), **changed}


def _another(schema: Schema, text: str, number: int) -> str:
    """A text that the schema allows, different for every number."""
    digits = f"{number:04}"
    appended = (f"{text}{mark}{digits}" for mark in ("-", "_", "/", ""))
    candidates = (*appended, f"{text[: -len(digits)]}{digits}", f"{digits}{text[len(digits) :]}")
    return next(candidate for candidate in candidates if _is_valid(schema, candidate))


def _is_valid(schema: Schema, value: Any) -> bool:
    return not [*structural_violations(schema, value), *cel.violations(schema, value)]


def _lengthen(schema: Schema, spec: Any) -> None:
    """Make the texts that may say anything longer, one after the other, until a MiB is used up.

    A text in a set, or in the key of a list, counts twice: the API server writes it into `managedFields` as well.
    """
    room = MIB - len(json.dumps(spec, separators=(",", ":")).encode())
    for text, limit, copies, put in list(_free_texts(schema, spec)):
        longer = min(limit - len(text), room // copies)
        if longer > 0:
            put(text + "x" * longer)
            room -= longer * copies


def _free_texts(
    schema: Schema, value: Any, keys: Sequence[str] = (), *, owned_apart: bool = True
) -> Iterator[tuple[str, int, int, Callable[[str], None]]]:
    """Every text in `value` without a form of its own, its longest length, how often it counts, how to replace it.

    keys: the fields of `value` that tell it apart in the list around it. owned_apart: False below a list that has one
    owner as a whole.
    """
    list_type = schema.get("x-kubernetes-list-type")
    owned_apart = owned_apart and (isinstance(value, dict) or list_type in ("set", "map"))
    for key, each in value.items() if isinstance(value, dict) else enumerate(value):
        child = schema.get("properties", {}).get(key) or schema.get("additionalProperties") or schema.get("items") or {}
        if isinstance(each, dict | list) and isinstance(child, dict):
            yield from _free_texts(child, each, schema.get("x-kubernetes-list-map-keys", ()), owned_apart=owned_apart)
        elif isinstance(each, str) and "maxLength" in child and child.keys().isdisjoint({"pattern", "enum", KEYWORD}):
            copies = 2 if owned_apart and (list_type == "set" or key in keys) else 1
            yield each, child["maxLength"], copies, partial(value.__setitem__, key)
