"""Whether an object in the cluster is still what we last applied, so that an apply that changes nothing is not sent."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from nightlatch.api.names import ANNOTATION_APPLIED
from nightlatch.kube.quantity import same_quantity

# Fields without defaults of the API server's, and which server-side apply replaces whole.
_EXACT = {"podSelector", "selector", "labelSelector", "nodeSelector", "ingress", "egress", "policyTypes"}
_EMPTY: tuple[Any, ...] = ([], {}, "")


def stamped(wanted: dict[str, Any]) -> dict[str, Any]:
    """The object with a digest of itself: a field that we stop asking for leaves no other trace."""
    digest = hashlib.sha256(json.dumps(wanted, sort_keys=True).encode()).hexdigest()
    metadata = wanted["metadata"]
    annotations = {**metadata.get("annotations", {}), ANNOTATION_APPLIED: digest[:16]}
    return {**wanted, "metadata": {**metadata, "annotations": annotations}}


def is_as_applied(wanted: dict[str, Any], found: Mapping[str, Any]) -> bool:
    """Tell whether `found` has all that the stamped `wanted` says.

    What others or defaults added is theirs, but not in what selects pods or lets traffic through: there a key more is a
    pod less or a door more.
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
    """The same with None for what is empty: the API server leaves that out of a map."""
    if isinstance(value, Mapping):
        value = {name: kept for name, each in value.items() if (kept := _without_empties(each)) is not None}
    elif isinstance(value, list):
        value = [_without_empties(each) for each in value]
    return None if value in _EMPTY else value
