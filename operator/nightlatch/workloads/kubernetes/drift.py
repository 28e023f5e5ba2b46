"""Tells whether an object in the cluster is still as we applied it, so that no apply without effect is sent."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from nightlatch.api.names import ANNOTATION_APPLIED
from nightlatch.kube.quantity import same_quantity

# Fields that the API server does not default and that server-side apply replaces as a whole.
_EXACT = {"podSelector", "selector", "labelSelector", "nodeSelector", "ingress", "egress", "policyTypes"}
_EMPTY: tuple[Any, ...] = ([], {}, "")


def stamped(wanted: dict[str, Any]) -> dict[str, Any]:
    """The object with its digest as an annotation: nothing else shows that we no longer ask for a field."""
    digest = hashlib.sha256(json.dumps(wanted, sort_keys=True).encode()).hexdigest()
    metadata = wanted["metadata"]
    annotations = {**metadata.get("annotations", {}), ANNOTATION_APPLIED: digest[:16]}
    return {**wanted, "metadata": {**metadata, "annotations": annotations}}


def is_as_applied(wanted: dict[str, Any], found: Mapping[str, Any]) -> bool:
    """True if `found` has everything that the stamped `wanted` contains.

    Fields added by other managers or by API-server defaults are ignored, except in selectors and policy rules, which
    must match exactly: an extra key there would deselect pods or open traffic.
    """
    return _covers(wanted, found)


def _covers(wanted: Any, found: Any) -> bool:
    if isinstance(wanted, dict):
        return isinstance(found, Mapping) and all(_has(found, name, value) for name, value in wanted.items())
    if isinstance(wanted, list):
        return isinstance(found, list) and _covers_items(wanted, found)
    if wanted == found:
        return True
    # The API server keeps quantities in its own form: `500m` for `0.5`.
    return isinstance(wanted, str | int | float) and isinstance(found, str) and same_quantity(str(wanted), found)


def _covers_items(wanted: list[Any], found: list[Any]) -> bool:
    if all(isinstance(item, dict) and "name" in item for item in (*wanted, *found)):
        # Server-side apply merges such lists by name.
        named = {item["name"]: item for item in found}
        return all(item["name"] in named and _covers(item, named[item["name"]]) for item in wanted)
    return len(found) == len(wanted) and all(_covers(one, other) for one, other in zip(wanted, found, strict=True))


def _has(found: Mapping[str, Any], name: str, value: Any) -> bool:
    there = found.get(name)
    if name in _EXACT:
        return bool(_without_empties(value) == _without_empties(there))
    return _covers(value, there) if name in found else value in _EMPTY


def _without_empties(value: Any) -> Any:
    """The value with None in place of anything empty: the API server drops empty values from a map."""
    if isinstance(value, Mapping):
        value = {name: kept for name, each in value.items() if (kept := _without_empties(each)) is not None}
    elif isinstance(value, list):
        value = [_without_empties(each) for each in value]
    return None if value in _EMPTY else value
