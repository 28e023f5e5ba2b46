"""Reading JSON that must be of one exact shape: what is missing, unknown or ill-typed is a DocumentError naming it."""

import re
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

T = TypeVar("T")


class DocumentError(ValueError):
    """The data is not a route document. The message names the member and never repeats its value."""


class Fields:
    """The members of one JSON object, each taken once; `close` refuses what nobody took."""

    def __init__(self, members: Any, where: str) -> None:
        if not isinstance(members, Mapping):
            raise DocumentError(f"{where} must be an object")
        self._members = dict(members)
        self._where = where

    def _take(self, name: str) -> tuple[Any, str]:
        where = f"{self._where}.{name}"
        if name not in self._members:
            raise DocumentError(f"{where} is missing")
        return self._members.pop(name), where

    def text(self, name: str, pattern: re.Pattern[str], expected: str) -> str:
        """A string that matches the whole pattern."""
        value, where = self._take(name)
        return _text(value, where, pattern, expected)

    def texts(self, name: str, pattern: re.Pattern[str], expected: str) -> tuple[str, ...]:
        """An array of such strings."""
        value, where = self._take(name)
        return tuple(_text(entry, f"{where}[{i}]", pattern, expected) for i, entry in enumerate(_array(value, where)))

    def integer(self, name: str, low: int, high: int) -> int:
        """A whole number within bounds, both included."""
        value, where = self._take(name)
        if type(value) is not int or not low <= value <= high:
            raise DocumentError(f"{where} must be a whole number from {low} to {high}")
        return value

    def seconds(self, name: str, high: float) -> float:
        """A number above zero and at most `high`."""
        value, where = self._take(name)
        if type(value) not in (int, float) or not 0 < value <= high:
            raise DocumentError(f"{where} must be a number of seconds above 0 and at most {high:g}")
        return float(value)

    def optional(self, name: str, read: Callable[[str], T]) -> T | None:
        """`null`, or what `read` makes of the member."""
        if self._members.get(name, ...) is None:
            del self._members[name]
            return None
        return read(name)

    def nested(self, name: str, read: Callable[["Fields"], T]) -> T:
        """An object."""
        value, where = self._take(name)
        return read(Fields(value, where))

    def each(self, name: str, read: Callable[["Fields"], T]) -> tuple[T, ...]:
        """An array of objects."""
        value, where = self._take(name)
        return tuple(read(Fields(entry, f"{where}[{i}]")) for i, entry in enumerate(_array(value, where)))

    def mapping(self, name: str, read: Callable[["Fields"], T]) -> dict[str, T]:
        """An object whose values are objects. The caller checks the keys."""
        value, where = self._take(name)
        if not isinstance(value, dict):
            raise DocumentError(f"{where} must be an object")
        return {key: read(Fields(entry, f"{where}[{i}]")) for i, (key, entry) in enumerate(value.items())}

    def close(self, result: T) -> T:
        """`result`, provided nothing is left over."""
        if self._members:
            raise DocumentError(f"{self._where} has {len(self._members)} members that this version does not know")
        return result


def _array(value: Any, where: str) -> list[Any]:
    if not isinstance(value, list):
        raise DocumentError(f"{where} must be an array")
    return value


def _text(value: Any, where: str, pattern: re.Pattern[str], expected: str) -> str:
    if not isinstance(value, str) or not pattern.fullmatch(value):
        raise DocumentError(f"{where} must be {expected}")
    return value
