"""Objects as the table that `kubectl get` would print, from the columns of the CRD. Pure: the time is an argument."""

import re
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from nightlatch.api.crd.columns import AGE, COLUMNS, Column
from nightlatch.api.meta import SECRET, Kind, RawObject

_NAMESPACE = Column("Namespace", "string", ".metadata.namespace")
_NAME = Column("Name", "string", ".metadata.name")
# A Secret has no CRD. Its values stay hidden, also here.
_SECRET_COLUMNS = (Column("Type", "string", ".type"), Column("Data", "integer", ".data"), AGE)
# One step of a column's path: `.field`, or `[?(@.field=="value")]`, which picks entries of a list.
_STEP = re.compile(r'\.(\w+)|\[\?\(@\.(\w+)=="([^"]*)"\)\]')


def table(kind: Kind, objects: Sequence[RawObject], *, wide: bool, namespaces: bool, now: float) -> list[list[str]]:
    """Header and rows. `now` is in Unix seconds."""
    of_kind = _SECRET_COLUMNS if kind == SECRET else COLUMNS[kind]
    first = (_NAMESPACE, _NAME) if namespaces else (_NAME,)
    columns = [*first, *(column for column in of_kind if wide or not column.wide)]
    rows = [[cell(column, obj, now) for column in columns] for obj in objects]
    return [[column.name.upper() for column in columns], *rows]


def cell(column: Column, obj: RawObject, now: float) -> str:
    """One cell; empty when the object has nothing at the path."""
    value = _value_at(column.path, obj)
    if value is None:
        return ""
    if column.type == "date":
        return age(now - datetime.fromisoformat(value).timestamp())
    if isinstance(value, bool):
        return str(value).lower()
    return str(len(value)) if isinstance(value, dict) else str(value)


def _value_at(path: str, obj: RawObject) -> Any:
    """The first value at the path, or None. Raises ValueError for a path of another form than `_STEP` knows."""
    if _STEP.sub("", path):
        raise ValueError(f"cannot evaluate the column path {path}")
    found: Any = obj
    for field, filter_field, wanted in _STEP.findall(path):
        if field:
            found = found.get(field) if isinstance(found, dict) else None
        else:
            found = next((entry for entry in found or () if entry.get(filter_field) == wanted), None)
    return found


def age(seconds: float) -> str:
    """A time span as kubectl shows it: two units while the first is small, else one (5m30s, 47h, 3d4h, 12d)."""
    s = max(0, int(seconds))
    minutes, hours, days = s // 60, s // 3600, s // 86400
    years = days // 365
    if s < 120:
        return f"{s}s"
    if minutes < 10:
        return _two_units(minutes, "m", s % 60, "s")
    if minutes < 180:
        return f"{minutes}m"
    if hours < 8:
        return _two_units(hours, "h", minutes % 60, "m")
    if hours < 48:
        return f"{hours}h"
    if days < 8:
        return _two_units(days, "d", hours % 24, "h")
    if years < 2:
        return f"{days}d"
    return _two_units(years, "y", days % 365, "d") if years < 8 else f"{years}y"


def _two_units(first: int, first_unit: str, second: int, second_unit: str) -> str:
    return f"{first}{first_unit}" + (f"{second}{second_unit}" if second else "")


def aligned(rows: list[list[str]]) -> list[str]:
    """The rows as lines, with three spaces between the columns."""
    widths = [max(len(row[index]) for row in rows) for index in range(len(rows[0]))]
    return ["   ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip() for row in rows]
