"""Whether an object in the cluster is still what we last applied, so that an apply that changes nothing is not sent."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from kubernetes.utils.quantity import parse_quantity

from nightlatch.api.names import ANNOTATION_APPLIED


def stamped(wanted: dict[str, Any]) -> dict[str, Any]:
    """The object with a digest of itself: a field that we stop asking for leaves no other trace."""
    digest = hashlib.sha256(json.dumps(wanted, sort_keys=True).encode()).hexdigest()
    metadata = wanted["metadata"]
    annotations = {**metadata.get("annotations", {}), ANNOTATION_APPLIED: digest[:16]}
    return {**wanted, "metadata": {**metadata, "annotations": annotations}}


def is_as_applied(wanted: dict[str, Any], found: Mapping[str, Any]) -> bool:
    """Tell whether `found` has all that the stamped `wanted` says; what others or defaults added is theirs."""
    return _covers(wanted, found)


def _covers(wanted: Any, found: Any) -> bool:
    if isinstance(wanted, dict):
        return isinstance(found, Mapping) and all(_has(found, name, value) for name, value in wanted.items())
    if isinstance(wanted, list):
        return (
            isinstance(found, list)
            and len(found) == len(wanted)
            and all(_covers(one, other) for one, other in zip(wanted, found, strict=True))
        )
    return bool(wanted == found) or _same_quantity(wanted, found)


def _has(found: Mapping[str, Any], name: str, value: Any) -> bool:
    # The API server drops what is empty.
    return _covers(value, found[name]) if name in found else value in ([], {}, "")


def _same_quantity(wanted: Any, found: Any) -> bool:
    """`0.5` and `500m`: the API server keeps quantities in a form of its own."""
    if not isinstance(wanted, str | int | float) or not isinstance(found, str):
        return False
    try:
        return bool(parse_quantity(str(wanted)) == parse_quantity(found))
    except ValueError:
        return False
