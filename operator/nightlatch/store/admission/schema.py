"""Admission without an API server: the same defaults and the same refusals, from the same generated schema.

A cause is `(field path, message)`. As in the API server, CEL rules are checked only if the structure is valid.
"""

from collections.abc import Iterator
from typing import Any

from nightlatch.api.crd.generate import schema_of
from nightlatch.api.crd.schema import Schema
from nightlatch.api.meta import SECRET, STORED_KINDS, Kind, NamespacedName, ObjectRef, RawObject
from nightlatch.api.validation.causes import Cause
from nightlatch.store.admission import cel, metadata, secrets
from nightlatch.store.admission.messages import structural_violations
from nightlatch.store.admission.structure import completed, duplicates, unknown_fields
from nightlatch.store.protocol import InvalidError


def kind_of(obj: RawObject) -> Kind:
    """The kind of an object. Raises InvalidError if this store does not keep that kind."""
    for kind in STORED_KINDS:
        if (obj.get("apiVersion"), obj.get("kind")) == (kind.api_version, kind.kind):
            return kind
    known = ", ".join(f"{kind.api_version} {kind.kind}" for kind in STORED_KINDS)
    raise InvalidError(
        reference(obj),
        (("kind", f"{obj.get('apiVersion')} {obj.get('kind')} is not supported here: write one of {known}"),),
    )


def reference(obj: RawObject) -> ObjectRef:
    """The reference to an object that may be invalid, for messages about it."""
    metadata_part = obj.get("metadata")
    known = metadata_part if isinstance(metadata_part, dict) else {}
    key = NamespacedName(str(known.get("namespace") or "-"), str(known.get("name") or "-"))
    return ObjectRef(str(obj.get("kind") or "object"), key)


def admitted(obj: RawObject) -> RawObject:
    """A copy with defaults. Raises InvalidError with every cause found."""
    kind = kind_of(obj)
    ours = {key: value for key, value in obj.items() if key != "metadata"}
    checked = secrets.completed(ours) if kind == SECRET else completed(schema_of(kind), ours)
    checked = {"apiVersion": obj["apiVersion"], "kind": obj["kind"], "metadata": obj.get("metadata")} | checked
    causes = tuple(metadata.violations(checked["metadata"])) + tuple(
        secrets.violations(checked) if kind == SECRET else _schema_violations(kind, checked)
    )
    if causes:
        raise InvalidError(reference(obj), _distinct(causes))
    return checked


def admitted_status(obj: RawObject) -> dict[str, Any]:
    """The status of an object, without nulls; the rest is not checked. Raises InvalidError."""
    schema = {"type": "object", "properties": {"status": schema_of(kind_of(obj))["properties"]["status"]}}
    checked: dict[str, Any] = completed(schema, {"status": obj.get("status") or {}})
    causes = tuple(_structural_violations(schema, checked))
    if causes:
        raise InvalidError(reference(obj), causes)
    status: dict[str, Any] = checked["status"]
    return status


def _schema_violations(kind: Kind, obj: RawObject) -> Iterator[Cause]:
    schema = schema_of(kind)
    structural = tuple(_structural_violations(schema, obj))
    yield from structural
    if not structural:
        yield from cel.violations(schema, obj)


def _structural_violations(schema: Schema, value: Any) -> Iterator[Cause]:
    yield from unknown_fields(schema, value)
    yield from structural_violations(schema, value)
    yield from duplicates(schema, value)


def _distinct(causes: tuple[Cause, ...]) -> tuple[Cause, ...]:
    """The causes with one for each path of metadata, because two checks look at metadata."""
    seen: dict[Any, Cause] = {}
    for cause in causes:
        seen.setdefault(cause[0] if cause[0].startswith("metadata.") else cause, cause)
    return tuple(seen.values())
