"""Objects as rows of a table, with the columns that `kubectl get` shows. Pure: the time is handed in."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from nightlatch.api.meta import RawObject


@dataclass(frozen=True, slots=True)
class Column:
    """`value(object, now)` gives the cell; `wide` columns show with `-o wide` only."""

    title: str
    value: Callable[[RawObject, float], str]
    wide: bool = False


def _ready(part: str) -> Callable[[RawObject, float], str]:
    def value(obj: RawObject, _now: float) -> str:
        conditions = (obj.get("status") or {}).get("conditions") or []
        return next((str(c.get(part, "")) for c in conditions if c.get("type") == "Ready"), "")

    return value


def _status(field: str) -> Callable[[RawObject, float], str]:
    return lambda obj, _now: str((obj.get("status") or {}).get(field, ""))


def _name(obj: RawObject, _now: float) -> str:
    return str(obj["metadata"]["name"])


def _namespace(obj: RawObject, _now: float) -> str:
    return str(obj["metadata"]["namespace"])


def age(obj: RawObject, now: float) -> str:
    """Since creation, in the largest unit, as kubectl shows it."""
    created = obj["metadata"].get("creationTimestamp")
    if not created:
        return ""
    seconds = max(0, int(now - datetime.fromisoformat(created).timestamp()))
    for size, unit in ((86400, "d"), (3600, "h"), (60, "m")):
        if seconds >= 2 * size:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"


def _access(obj: RawObject, _now: float) -> str:
    return ",".join(name for name in ("apiKey", "jwt", "oauth2", "mtls") if name in (obj["spec"].get("access") or {}))


def _cert_expiry(obj: RawObject, _now: float) -> str:
    return min(
        (c["notAfter"] for c in (obj.get("status") or {}).get("certificates", []) if c.get("notAfter")), default=""
    )


def _endpoints(obj: RawObject, _now: float) -> str:
    return ",".join(grant["name"] for grant in obj["spec"].get("endpoints", []))


def _key_ids(obj: RawObject, _now: float) -> str:
    return ",".join(key["id"] for key in (obj.get("status") or {}).get("keys", []))


def _issuer(obj: RawObject, _now: float) -> str:
    return str(obj["spec"].get("issuer", ""))


def _secret_keys(obj: RawObject, _now: float) -> str:
    return ",".join(sorted(obj.get("data") or {}))


_AGE = Column("AGE", age)
_READY = Column("READY", _ready("status"))
_REASON = Column("REASON", _ready("reason"))
COLUMNS: Mapping[str, tuple[Column, ...]] = {
    "InferenceEndpoint": (
        Column("URL", _status("url")),
        _READY,
        Column("STATE", _status("state")),
        Column("REPLICAS", _status("replicas")),
        _REASON,
        _AGE,
        Column("ACCESS", _access, wide=True),
        Column("CERTEXPIRY", _cert_expiry, wide=True),
    ),
    "InferenceClient": (
        _READY,
        _REASON,
        Column("ENDPOINTS", _endpoints),
        _AGE,
        Column("KEYS", _key_ids, wide=True),
    ),
    "TokenIssuer": (Column("ISSUER", _issuer), _READY, _REASON, _AGE),
    "Secret": (Column("KEYS", _secret_keys), _AGE),
}


def table(kind: str, objects: list[RawObject], *, wide: bool, namespaces: bool, now: float) -> list[list[str]]:
    """Header and rows."""
    first = [Column("NAMESPACE", _namespace)] if namespaces else []
    shown = [column for column in COLUMNS[kind] if wide or not column.wide]
    columns = [*first, Column("NAME", _name), *shown]
    rows = [[column.value(obj, now) for column in columns] for obj in objects]
    return [[column.title for column in columns], *rows]


def aligned(rows: list[list[str]]) -> list[str]:
    """The rows as lines, columns three spaces apart."""
    widths = [max(len(row[index]) for row in rows) for index in range(len(rows[0]))]
    return ["   ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def utc_now() -> float:
    """Unix seconds."""
    return datetime.now(UTC).timestamp()
