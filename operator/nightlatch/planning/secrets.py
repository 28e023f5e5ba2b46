"""A Secret as planning sees it: decoded, with the owner and role that our labels name."""

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass, field

from nightlatch.api import names
from nightlatch.api.meta import NamespacedName, ObjectRef, RawObject
from nightlatch.planning.plan import Owner, Revision


@dataclass(frozen=True, slots=True)
class SecretView:
    """A Secret as found. `owner_uid` and `owner` come from our label and annotation; a foreign Secret has neither.

    adopt: a person asks that the owner takes it over, although an earlier object of the owner's name made it.
    """

    key: NamespacedName
    revision: Revision
    role: str
    owner_uid: str
    owner: str
    created_at: str
    data: Mapping[str, bytes] = field(repr=False)
    adopt: bool = False

    def is_of(self, owner: Owner, role: str) -> bool:
        """Whether this owner made the Secret for this role. Only then may it be replaced."""
        return bool(owner.uid) and (self.owner_uid, self.role) == (owner.uid, role)

    def is_orphan_of(self, owner: Owner, role: str) -> bool:
        """Whether an earlier object of the same name as the owner made the Secret."""
        return self.role == role and self.owner == owner_text(owner.ref) and self.owner_uid != owner.uid


def owner_text(ref: ObjectRef) -> str:
    """The value of names.ANNOTATION_OWNER: `Kind/namespace/name`."""
    return f"{ref.kind}/{ref.key}"


def parse_owner(text: str) -> ObjectRef | None:
    """The inverse of `owner_text`; None for any other text."""
    kind, _, rest = text.partition("/")
    namespace, slash, name = rest.partition("/")
    return ObjectRef(kind, NamespacedName(namespace, name)) if slash and kind else None


def view_secret(raw: RawObject) -> SecretView:
    """Decode a Secret. An entry that is not base64 becomes empty."""
    metadata = raw["metadata"]
    labels, annotations = metadata.get("labels") or {}, metadata.get("annotations") or {}
    return SecretView(
        key=NamespacedName.of(raw),
        revision=Revision(metadata.get("uid", ""), metadata.get("resourceVersion", "")),
        role=labels.get(names.LABEL_ROLE, ""),
        owner_uid=labels.get(names.LABEL_OWNER_UID, ""),
        owner=annotations.get(names.ANNOTATION_OWNER, ""),
        created_at=metadata.get("creationTimestamp") or "",
        data={entry: _decode(value) for entry, value in (raw.get("data") or {}).items()},
        adopt=names.ANNOTATION_ADOPT in annotations,
    )


def _decode(value: str) -> bytes:
    try:
        return base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        return b""
