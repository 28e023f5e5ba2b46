"""The page api.md: every field of the three kinds, and the operations that each permission allows. Pure."""

import json
from collections.abc import Iterator
from typing import Any

from nightlatch.api import duration, names
from nightlatch.api.crd.columns import COLUMNS
from nightlatch.api.crd.generate import RESOURCES, Resource, schema_of
from nightlatch.api.crd.schema import Schema
from nightlatch.api.meta import API_VERSION
from nightlatch.api.operations import OPERATIONS
from nightlatch.api.rules import KEYWORD, OUT_OF_RANGE
from nightlatch.api.scalars import ALL_PERMISSIONS, DNS_LABEL, DNS_LABEL_OR_EMPTY, DNS_SUBDOMAIN

_INTRODUCTION = f"""# API reference

The kinds of `{API_VERSION}`. All of them are namespaced. `kubectl explain ie.spec.scaling` shows the same texts.

- In paths of fields, `[]` stands for each entry of a list and `{{}}` for each value of a map.
- A *duration* is one or more whole numbers with a unit (`ms`, `s`, `m`, `h`), such as `45s` or `1h30m`. Write days in
  hours: `720h` for 30 days.
- A *quantity* is an amount as in Kubernetes, such as `500m` or `1Gi`.
- Unknown fields are refused. A field that is not supported, yet or on this platform, is never ignored: the object's
  condition `Accepted` becomes False and names the field.
"""
_FIELD_HEADER = ("field", "type", "default", "limits", "description")
# The keywords for the least and the most of something, and what it is.
_RANGES = (
    ("minimum", "maximum", ""),
    ("minLength", "maxLength", " characters"),
    ("minItems", "maxItems", " entries"),
    ("minProperties", "maxProperties", " entries"),
)
_PATTERNS = {
    names.NAME_PATTERN: "a DNS label that begins with a letter",
    DNS_LABEL: "a DNS label",
    DNS_LABEL_OR_EMPTY: "a DNS label",
    DNS_SUBDOMAIN: "a DNS subdomain",
}


def render() -> str:
    """The text of the page."""
    return "\n".join([_INTRODUCTION, *(line for resource in RESOURCES for line in _kind(resource)), *_permissions()])


def _kind(resource: Resource) -> Iterator[str]:
    schema = schema_of(resource.kind)
    kind = resource.kind.kind
    yield from (f"## {kind}", "", f"{schema['description']} Short name: `{resource.short_name}`.", "")
    yield from _refusals([("", {KEYWORD: schema.get(KEYWORD, [])})])
    for part in ("spec", "status"):
        yield from _part(f"{kind} {part}", part, schema["properties"][part])
    yield from (f"### {kind} columns", "", f"`kubectl get {resource.short_name}` and `nightlatch get` show:", "")
    columns = COLUMNS[resource.kind]
    yield from _table(
        ("column", "field", "with `-o wide` only"),
        ((column.name, f"`{column.path.removeprefix('.')}`", "yes" if column.wide else "") for column in columns),
    )


def _part(title: str, part: str, node: Schema) -> Iterator[str]:
    """A table of the direct fields, then one for each of them that has fields itself."""
    yield from (f"### {title}", "", node["description"], "")
    fields = node["properties"]
    yield from _table(
        _FIELD_HEADER, (_row(name, child, name in node.get("required", ())) for name, child in fields.items())
    )
    yield from _refusals([(part, node)])
    for name, child in fields.items():
        below = list(_below(name, child))
        if below:
            yield from (f"#### {title}.{name}", "")
            yield from _table(_FIELD_HEADER, (_row(*row) for row in below))
            yield from _refusals([(f"{part}.{name}", child), *((f"{part}.{path}", field) for path, field, _ in below)])
        else:
            yield from _refusals([(f"{part}.{name}", child)])


def _below(path: str, node: Schema) -> Iterator[tuple[str, Schema, bool]]:
    """All fields below a node: the path, the schema, and whether it is required."""
    while inner := node.get("items") or node.get("additionalProperties"):
        path += "[]" if "items" in node else "{}"
        node = inner
    for name, child in node.get("properties", {}).items():
        yield f"{path}.{name}", child, name in node.get("required", ())
        yield from _below(f"{path}.{name}", child)


def _row(path: str, node: Schema, required: bool) -> tuple[str, ...]:  # noqa: FBT001 - a column of the table
    default = node.get("default")
    written = "" if default is None or isinstance(default, dict) else _code(default)
    return f"`{path}`", _type(node), "required" if required else written, _limits(node), _description(node)


def _description(node: Schema) -> str:
    """As `kubectl explain` has it: the field's, then that of the entries of a list or map of values."""
    inner = node.get("items") or node.get("additionalProperties") or {}
    of_entries = "" if "properties" in inner or not inner else _description(inner)
    return " ".join(text for text in (node.get("description", ""), of_entries) if text)


def _type(node: Schema) -> str:
    if _is_duration(node):
        return "duration"
    if node.get("x-kubernetes-int-or-string"):
        return "quantity"
    if "items" in node:
        return f"list of {_plural(node['items'])}"
    if "additionalProperties" in node:
        return f"map of {_plural(node['additionalProperties'])}"
    return str(node["type"])


def _plural(node: Schema) -> str:
    kind = _type(node)
    return {"quantity": "quantities"}.get(
        kind, f"lists{kind.removeprefix('list')}" if kind.startswith("list") else f"{kind}s"
    )


def _limits(node: Schema) -> str:
    """The limits of a field, then those of the entries of a list or map."""
    if _is_duration(node):
        return "; ".join(rule["message"].removeprefix(OUT_OF_RANGE) for rule in node[KEYWORD][1:])
    if _type(node) == "quantity":
        return ""
    found = [
        f"{_range(node.get(least), node.get(most))}{of}" for least, most, of in _RANGES if least in node or most in node
    ]
    if node.get("x-kubernetes-list-type") == "set":
        found.append("no duplicates")
    if keys := node.get("x-kubernetes-list-map-keys"):
        found.append(f"one for each {' and '.join(map(_code, keys))}")
    if "pattern" in node:
        found.append(_PATTERNS.get(node["pattern"], f"matches `{node['pattern']}`"))
    if "enum" in node:
        found.append(", ".join(map(_code, node["enum"])))
    inner = node.get("items") or node.get("additionalProperties")
    of_entries = _limits(inner) if inner else ""
    return "; ".join([*found, *([f"each: {of_entries}"] if of_entries else [])])


def _range(least: int | None, most: int | None) -> str:
    if most is None:
        return f"{least} or more"
    return f"up to {most}" if least is None else f"{least} to {most}"


def _code(value: Any) -> str:
    return f"`{value if isinstance(value, str) else json.dumps(value)}`"


def _is_duration(node: Schema) -> bool:
    return node.get("type") == "string" and any(duration.PATTERN in rule["rule"] for rule in node.get(KEYWORD, ()))


def _refusals(nodes: list[tuple[str, Schema]]) -> Iterator[str]:
    """The messages of the CEL rules of these nodes."""
    found = [
        ((path + rule.get("fieldPath", "")).removeprefix("."), rule["message"])
        for outer, outermost in nodes
        for path, node in _with_entries(outer, outermost)
        if not _is_duration(node)
        for rule in node.get(KEYWORD, ())
    ]
    if found:
        yield from ("Messages when an object is refused:", "")
        yield from (f"- `{path}`: {message}" for path, message in found)
        yield ""


def _with_entries(path: str, node: Schema) -> Iterator[tuple[str, Schema]]:
    yield path, node
    for word, mark in (("items", "[]"), ("additionalProperties", "{}")):
        if word in node:
            yield from _with_entries(path + mark, node[word])


def _permissions() -> Iterator[str]:
    yield from (
        "## Permissions",
        "",
        "Every permission allows exactly these operations. A gateway refuses all others.",
        "",
    )
    yield from _table(
        ("permission", "operation", "API"),
        (
            (f"`{permission}`", f"`{method} {path}`", " and ".join(protocols))
            for permission in ALL_PERMISSIONS
            for (method, path), protocols in _operations(permission).items()
        ),
    )


def _operations(permission: str) -> dict[tuple[str, str], list[str]]:
    found: dict[tuple[str, str], list[str]] = {}
    for each in OPERATIONS:
        if each.permission == permission:
            found.setdefault((each.method, each.path), []).append(each.protocol)
    return found


def _table(header: tuple[str, ...], rows: Iterator[tuple[str, ...]]) -> Iterator[str]:
    yield _line(header)
    yield _line(("---",) * len(header))
    yield from (_line(row) for row in rows)
    yield ""


def _line(cells: tuple[str, ...]) -> str:
    escaped = [cell.replace("|", r"\|") for cell in cells]
    return f"| {' | '.join(escaped)} |"
