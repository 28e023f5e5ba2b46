"""Kubernetes' rules for names, labels and the rest of `metadata`, for a store without an API server."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from nightlatch.api.validation.causes import Cause
from nightlatch.api.validation.suggest import did_you_mean

_SERVER_OWNED = ("uid", "resourceVersion", "generation", "creationTimestamp")
_FIELDS = ("name", "namespace", "labels", "annotations", "ownerReferences", *_SERVER_OWNED)
# Fields of a real API server that `kubectl get -o yaml` prints. They mean nothing here and are dropped.
FOREIGN = ("managedFields", "selfLink", "deletionTimestamp", "deletionGracePeriodSeconds")

_LABEL = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_NAMESPACE = re.compile(_LABEL)
_SUBDOMAIN = re.compile(rf"{_LABEL}(\.{_LABEL})*")
_LABEL_VALUE = re.compile(r"([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?")
_QUALIFIED = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?")
_ANNOTATIONS_LIMIT = 256 * 1024


def violations(metadata: Any) -> Iterator[Cause]:
    """A cause for each part of `metadata` that a cluster would refuse."""
    if not isinstance(metadata, Mapping):
        yield "metadata", "required value: write name and namespace"
        return
    yield from _name(metadata, "name", _SUBDOMAIN, 253)
    yield from _name(metadata, "namespace", _NAMESPACE, 63)
    yield from _labels(metadata.get("labels") or {})
    yield from _annotations(metadata.get("annotations") or {})
    yield from _unknown(metadata)


def _name(metadata: Mapping[str, Any], field: str, pattern: re.Pattern[str], longest: int) -> Iterator[Cause]:
    value = metadata.get(field)
    if isinstance(value, int | float):
        yield f"metadata.{field}", f'{value} is not text: quote it, {field}: "{value}"'
    elif not isinstance(value, str) or not value:
        yield f"metadata.{field}", "required value: write it"
    elif len(value) > longest or not pattern.fullmatch(value):
        rule = f"write at most {longest} lower-case letters, digits and '-', a letter or digit first and last"
        yield f"metadata.{field}", f"{value[:80]!r} is not a valid name: {rule}"


def _labels(labels: Any) -> Iterator[Cause]:
    if not isinstance(labels, Mapping):
        yield "metadata.labels", "must be a map"
        return
    for key, value in labels.items():
        if not _is_qualified(key):
            yield "metadata.labels", f"{key!r} is not a valid label key: write NAME or PREFIX/NAME"
        if not isinstance(value, str) or len(value) > 63 or not _LABEL_VALUE.fullmatch(value):
            yield f"metadata.labels.{key}", "must be text of at most 63 letters, digits, '-', '_' and '.'"


def _is_qualified(key: Any) -> bool:
    if not isinstance(key, str):
        return False
    prefix, _, name = key.rpartition("/")
    good_prefix = not prefix or (len(prefix) <= 253 and _SUBDOMAIN.fullmatch(prefix) is not None)
    return good_prefix and 0 < len(name) <= 63 and _QUALIFIED.fullmatch(name) is not None


def _annotations(annotations: Any) -> Iterator[Cause]:
    if not isinstance(annotations, Mapping) or not all(isinstance(value, str) for value in annotations.values()):
        yield "metadata.annotations", "must be a map of text"
        return
    if sum(len(key) + len(value) for key, value in annotations.items()) > _ANNOTATIONS_LIMIT:
        yield "metadata.annotations", "too long: may not be more than 262144 bytes"


def _unknown(metadata: Mapping[str, Any]) -> Iterator[Cause]:
    for key in metadata:
        if key in ("finalizers", "generateName"):
            yield f"metadata.{key}", "is supported in a cluster only: remove it"
        elif key not in _FIELDS and key not in FOREIGN:
            yield f"metadata.{key}", f"unknown field{did_you_mean(key, _FIELDS)}"
