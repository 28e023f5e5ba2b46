"""What a verb of `nightlatch` adds to an object that a manifest declares, so that the next edit does not undo it.

In a cluster, server-side apply gives each writer what it wrote. Here an annotation on the object remembers what verbs
added, and applying a manifest merges it in again.
"""

import json
from collections.abc import Mapping
from typing import Any

from nightlatch.api.crd.generate import schema_of
from nightlatch.api.crd.schema import Schema
from nightlatch.api.meta import GROUP, ObjectRef, RawObject
from nightlatch.store.admission.schema import kind_of
from nightlatch.store.protocol import StoreError

ANNOTATION_ADDED = f"{GROUP}/added"


def with_addition(obj: RawObject, spec: Mapping[str, Any]) -> RawObject:
    """The object with these fields in its spec, for Store.replace. Raises StoreError."""
    schema = _spec_schema(obj)
    metadata = obj["metadata"]
    remembered = json.dumps(merged(schema, _added(obj), spec, new_parts=True))
    return {
        **obj,
        "metadata": {**metadata, "annotations": {**(metadata.get("annotations") or {}), ANNOTATION_ADDED: remembered}},
        "spec": merged(schema, obj["spec"], spec, new_parts=True),
    }


def with_additions_of(obj: RawObject, declared: RawObject) -> RawObject:
    """What a manifest declares, with what verbs added to `obj`, the object as it is. Raises StoreError.

    A part that the manifest leaves out stays out: without `apiKey`, a client has no key, whatever was revoked of it.
    """
    added = _added(obj)
    return (
        {**declared, "spec": merged(_spec_schema(obj), declared["spec"], added, new_parts=False)} if added else declared
    )


def merged(schema: Schema, base: Mapping[str, Any], more: Mapping[str, Any], *, new_parts: bool) -> dict[str, Any]:
    """`base` and `more`, as server-side apply merges them: sets and keyed lists item by item, all else by field.

    new_parts: whether `more` brings objects that `base` does not have.
    """
    result = dict(base)
    for name, value in more.items():
        child = schema.get("properties", {}).get(name) or schema.get("additionalProperties") or {}
        if isinstance(value, Mapping):
            if name in base or new_parts:
                result[name] = merged(child, base.get(name) or {}, value, new_parts=new_parts)
        elif child.get("x-kubernetes-list-type") in ("set", "map"):
            result[name] = _united(child, base.get(name) or [], value)
        else:
            result[name] = value
    return result


def _united(schema: Schema, base: list[Any], more: list[Any]) -> list[Any]:
    keys = schema.get("x-kubernetes-list-map-keys")
    defaults = {key: schema["items"]["properties"][key].get("default") for key in keys or ()}

    def identity(item: Any) -> Any:
        return [item.get(key, defaults[key]) for key in keys] if keys else item

    items = {json.dumps(identity(item)): item for item in (*base, *more)}
    return list(items.values())


def _spec_schema(obj: RawObject) -> Schema:
    schema: Schema = schema_of(kind_of(obj))["properties"]["spec"]
    return schema


def _added(obj: RawObject) -> dict[str, Any]:
    text = (obj["metadata"].get("annotations") or {}).get(ANNOTATION_ADDED, "{}")
    try:
        found = json.loads(text)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise StoreError(
            f"`nightlatch` did not write the annotation {ANNOTATION_ADDED} on {ObjectRef.of(obj)}: remove it"
        )
    return found
