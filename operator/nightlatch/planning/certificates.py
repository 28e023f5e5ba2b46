"""A Certificate of cert-manager as planning sees it."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from nightlatch.api import names
from nightlatch.api.meta import NamespacedName, RawObject

# Messages of issuers can be whole answers of a server.
_LONGEST_MESSAGE = 400


@dataclass(frozen=True, slots=True)
class CertificateView:
    """A Certificate as found. `owner_uid`, `owner`: as on our Secrets.

    ready: cert-manager says that the Secret is as the spec asks. issuing: a certificate is being issued. message: what
    cert-manager says of it, of its last failure if there was one since it last issued. renew_at: when it will renew.
    renewed, replaced: which request to renew, and which revoked certificate, it was last asked to issue for.
    """

    key: NamespacedName
    uid: str
    owner_uid: str
    owner: str
    ready: bool = False
    issuing: bool = False
    failed: bool = False
    message: str = ""
    renew_at: datetime | None = None
    renewed: str = ""
    replaced: str = ""


def view_certificate(raw: RawObject) -> CertificateView:
    """Never raises for what somebody else wrote into it."""
    metadata, status = raw["metadata"], raw.get("status") or {}
    labels, annotations = metadata.get("labels") or {}, metadata.get("annotations") or {}
    found = {each.get("type"): each for each in status.get("conditions") or ()}
    ready, issuing = found.get("Ready", {}), found.get("Issuing", {})
    # Most releases take the condition away after a success; the reason of a failure is that of the request.
    failed = issuing.get("status") == "False" and issuing.get("reason") != "Issued"
    return CertificateView(
        key=NamespacedName.of(raw),
        uid=metadata.get("uid", ""),
        owner_uid=labels.get(names.LABEL_OWNER_UID, ""),
        owner=annotations.get(names.ANNOTATION_OWNER, ""),
        ready=ready.get("status") == "True",
        issuing=issuing.get("status") == "True",
        failed=failed,
        message=_message(issuing if failed else ready),
        renew_at=_time(status.get("renewalTime")),
        renewed=annotations.get(names.ANNOTATION_RENEWED, ""),
        replaced=annotations.get(names.ANNOTATION_REPLACED, ""),
    )


def _message(condition: Mapping[str, Any]) -> str:
    """On one line, and not longer than a condition can show."""
    text = " ".join(str(condition.get("message", "")).split())
    return text if len(text) <= _LONGEST_MESSAGE else f"{text[:_LONGEST_MESSAGE]}…"


def _time(text: object) -> datetime | None:
    try:
        found = datetime.fromisoformat(text) if isinstance(text, str) else None
    except ValueError:
        return None
    return found if found and found.tzinfo else None
