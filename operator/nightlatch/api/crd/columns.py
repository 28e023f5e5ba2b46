"""The columns that `kubectl get` and `nightlatch get` show, defined once. Pure.

The CRDs carry them as `additionalPrinterColumns`; `nightlatch get` evaluates the same paths itself.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from nightlatch.api import names
from nightlatch.api.meta import INFERENCE_CLIENT, INFERENCE_ENDPOINT, TOKEN_ISSUER, Kind


@dataclass(frozen=True, slots=True)
class Column:
    """`path` is a JSONPath that starts with a dot. A `date` is shown as the time since then, so never use it for a
    time that lies ahead: kubectl prints `<invalid>`. `wide` columns appear with `-o wide` only."""

    name: str
    type: Literal["string", "integer", "boolean", "date"]
    path: str
    wide: bool = False

    def printer_column(self) -> dict[str, Any]:
        """The entry in `additionalPrinterColumns`."""
        column = {"name": self.name, "type": self.type, "jsonPath": self.path}
        return {**column, "priority": 1} if self.wide else column


_READY = Column("Ready", "string", '.status.conditions[?(@.type=="Ready")].status')
_REASON = Column("Reason", "string", '.status.conditions[?(@.type=="Ready")].reason')
AGE = Column("Age", "date", ".metadata.creationTimestamp")
_SERVER_CERTIFICATE = f'.status.certificates[?(@.role=="{names.ROLE_SERVER_TLS}")]'

COLUMNS: Mapping[Kind, tuple[Column, ...]] = {
    INFERENCE_ENDPOINT: (
        Column("URL", "string", ".status.url"),
        _READY,
        Column("State", "string", ".status.state"),
        Column("Replicas", "integer", ".status.replicas"),
        _REASON,
        AGE,
        Column("Access", "string", ".status.access", wide=True),
        Column("CertExpiry", "string", f"{_SERVER_CERTIFICATE}.notAfter", wide=True),
    ),
    INFERENCE_CLIENT: (
        _READY,
        _REASON,
        Column("Suspend", "boolean", ".spec.suspend"),
        AGE,
        Column("CertExpiry", "string", ".status.certificate.notAfter", wide=True),
    ),
    TOKEN_ISSUER: (
        Column("Issuer", "string", ".spec.issuer"),
        _READY,
        _REASON,
        AGE,
    ),
}
