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
    renewed: of a certificate, the request to renew for which it was issued; empty for none.
    use: of a user's Secret, what it lets us read it for (names.LABEL_USE). certificate: the Certificate of cert-manager
    whose certificate it holds; empty for none. issuer: the issuer's kind and name.
    """

    key: NamespacedName
    revision: Revision
    role: str
    owner_uid: str
    owner: str
    created_at: str
    data: Mapping[str, bytes] = field(repr=False)
    adopt: bool = False
    renewed: str = ""
    use: str = ""
    certificate: str = ""
    issuer: str = ""

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
        renewed=annotations.get(names.ANNOTATION_RENEWED, ""),
        use=labels.get(names.LABEL_USE, ""),
        certificate=annotations.get(names.ANNOTATION_CERTIFICATE, ""),
        issuer=" ".join(filter(None, (annotations.get(name, "") for name in names.ANNOTATIONS_ISSUER))),
    )


def _decode(value: str) -> bytes:
    try:
        return base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        return b""
