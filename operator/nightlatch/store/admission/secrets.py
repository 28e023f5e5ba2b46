"""Validation of Secrets. Messages name keys, never values."""

import base64
import binascii
import re
from collections.abc import Iterator, Mapping
from typing import Any

from nightlatch.api.meta import RawObject
from nightlatch.api.validation.causes import Cause
from nightlatch.api.validation.suggest import did_you_mean

TLS_TYPE = "kubernetes.io/tls"
_FIELDS = ("apiVersion", "kind", "metadata", "type", "data", "stringData", "immutable")
_KEY = re.compile(r"[-._A-Za-z0-9]{1,253}")
_LARGEST = 1024 * 1024


def completed(secret: RawObject) -> RawObject:
    """The Secret with `stringData` merged into `data`, and with a type."""
    plain = secret.get("stringData")
    folded = (
        {key: base64.b64encode(value.encode()).decode() for key, value in plain.items()}
        if isinstance(plain, Mapping) and all(isinstance(value, str) for value in plain.values())
        else {}
    )
    data = secret.get("data")
    kept = {key: value for key, value in secret.items() if key != "stringData"}
    merged = {**data, **folded} if isinstance(data, Mapping) else folded if data is None else data
    return {**kept, "type": secret.get("type") or "Opaque", "data": merged}


def violations(secret: RawObject) -> Iterator[Cause]:
    """A cause for each reason why a cluster would refuse the completed Secret."""
    for key in secret:
        if key not in _FIELDS:
            yield key, f"unknown field{did_you_mean(key, _FIELDS)}"
    data = secret["data"]
    if not isinstance(data, Mapping):
        yield "data", "must be a map of base64 text"
        return
    for key, value in data.items():
        yield from _entry(key, value)
    if sum(len(str(value)) * 3 // 4 for value in data.values()) > _LARGEST:
        yield "data", f"too long: may not be more than {_LARGEST} bytes"
    if secret["type"] == TLS_TYPE:
        yield from ((f"data.{key}", "required value") for key in ("tls.crt", "tls.key") if key not in data)


def _entry(key: str, value: Any) -> Iterator[Cause]:
    if not _KEY.fullmatch(key):
        yield f"data.{key[:80]}", "a key can contain only letters, digits, '-', '_' and '.'"
    try:
        base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError, TypeError):
        yield f"data.{key[:80]}", "must be base64: write the plain text under stringData instead"


def changed_type(old: RawObject, new: RawObject) -> Iterator[Cause]:
    """A cause if the type would change."""
    if old.get("type") != new.get("type"):
        yield "type", "field is immutable: delete the Secret and create it again"
