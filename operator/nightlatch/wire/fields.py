"""A strict reader for JSON objects of one shape.

A missing or ill-typed member is an error that names the member, and so is an unknown one unless the reader is lenient.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

T = TypeVar("T")

# What our member names look like, and no key, token or certificate does.
_PLAIN = re.compile(r"[a-z_]{1,40}")


class Fields:
    """The members of one JSON object, each taken once; `close` refuses members that were not taken.

    `error` is the exception to raise. Its message names the member and never repeats a value, which may be a secret.
    lenient: ignore members that were not taken, here and in the objects inside, because a newer writer may add some.
    """

    def __init__(self, members: Any, where: str, error: type[ValueError], *, lenient: bool = False) -> None:
        if not isinstance(members, Mapping):
            raise error(f"{where} must be an object")
        self._members = dict(members)
        self._where = where
        self._error = error
        self._lenient = lenient

    def default(self, name: str, value: Any) -> None:
        """Read a missing member as this value."""
        self._members.setdefault(name, value)

    def _take(self, name: str) -> tuple[Any, str]:
        where = f"{self._where}.{name}"
        if name not in self._members:
            raise self._error(f"{where} is missing")
        return self._members.pop(name), where

    def plain(self, name: str, kind: type[T]) -> T:
        """A value of exactly this JSON type: `true` is not a number."""
        value, where = self._take(name)
        if type(value) is not kind:
            raise self._error(f"{where} must be {kind.__name__}")
        return value

    def take_if(self, name: str, value: Any) -> bool:
        """Take the member if it has exactly this value. Returns whether it had."""
        taken = bool(self._members.get(name, ...) == value)
        if taken:
            del self._members[name]
        return taken

    def text(self, name: str, pattern: re.Pattern[str], expected: str) -> str:
        """A string that matches the whole pattern."""
        value, where = self._take(name)
        return self._text(value, where, pattern, expected)

    def texts(self, name: str, pattern: re.Pattern[str], expected: str) -> tuple[str, ...]:
        """An array of such strings."""
        value, where = self._take(name)
        entries = enumerate(self._array(value, where))
        return tuple(self._text(entry, f"{where}[{i}]", pattern, expected) for i, entry in entries)

    def one_of(self, name: str, allowed: tuple[str, ...]) -> Any:
        """One of these strings."""
        value, where = self._take(name)
        if value not in allowed:
            raise self._error(f"{where} must be one of {', '.join(allowed)}")
        return value

    def integer(self, name: str, low: int, high: int) -> int:
        """A whole number within bounds, both included."""
        value, where = self._take(name)
        if type(value) is not int or not low <= value <= high:
            raise self._error(f"{where} must be a whole number from {low} to {high}")
        return value

    def count(self, name: str) -> int:
        """A whole number that is not negative."""
        value = self.plain(name, int)
        if value < 0:
            raise self._error(f"{self._where}.{name} must not be negative")
        return value

    def number(self, name: str) -> float:
        """Any number."""
        value, where = self._take(name)
        return self._number(value, where)

    def numbers(self, name: str) -> dict[str, float]:
        """An object whose values are numbers."""
        value, where = self._take(name)
        if not isinstance(value, dict):
            raise self._error(f"{where} must be an object")
        return {key: self._number(entry, f"{where}.{key}") for key, entry in value.items()}

    def counts(self, name: str) -> dict[str, int]:
        """An object whose values are whole numbers that are not negative."""
        value, where = self._take(name)
        if not isinstance(value, dict) or not all(type(entry) is int and entry >= 0 for entry in value.values()):
            raise self._error(f"{where} must be an object of whole numbers")
        return value

    def integers(self, name: str) -> tuple[int, ...]:
        """An array of whole numbers."""
        value, where = self._take(name)
        entries = self._array(value, where)
        if not all(type(entry) is int for entry in entries):
            raise self._error(f"{where} must be an array of whole numbers")
        return tuple(entries)

    def seconds(self, name: str, high: float) -> float:
        """A number above zero and at most `high`."""
        value, where = self._take(name)
        if type(value) not in (int, float) or not 0 < value <= high:
            raise self._error(f"{where} must be a number of seconds above 0 and at most {high:g}")
        return float(value)

    def optional(self, name: str, read: Callable[[str], T]) -> T | None:
        """`null`, or what `read` (usually a bound method of this object) makes of the member."""
        if self._members.get(name, ...) is None:
            del self._members[name]
            return None
        return read(name)

    def nested(self, name: str, read: Callable[["Fields"], T]) -> T:
        """An object."""
        value, where = self._take(name)
        return read(self._inside(value, where))

    def each(self, name: str, read: Callable[["Fields"], T]) -> tuple[T, ...]:
        """An array of objects."""
        value, where = self._take(name)
        entries = enumerate(self._array(value, where))
        return tuple(read(self._inside(entry, f"{where}[{i}]")) for i, entry in entries)

    def mapping(self, name: str, read: Callable[["Fields"], T]) -> dict[str, T]:
        """An object whose values are objects. The caller checks the keys."""
        value, where = self._take(name)
        if not isinstance(value, dict):
            raise self._error(f"{where} must be an object")
        entries = enumerate(value.items())
        return {key: read(self._inside(entry, f"{where}[{i}]")) for i, (key, entry) in entries}

    def close(self, result: T) -> T:
        """`result`, provided that every member was taken or that others are ignored."""
        if self._members and not self._lenient:
            names = (name if _PLAIN.fullmatch(name) else "(a name that is not shown)" for name in sorted(self._members))
            raise self._error(f"{self._where} has unknown members: {', '.join(names)}")
        return result

    def _inside(self, members: Any, where: str) -> "Fields":
        return Fields(members, where, self._error, lenient=self._lenient)

    def _array(self, value: Any, where: str) -> list[Any]:
        if not isinstance(value, list):
            raise self._error(f"{where} must be an array")
        return value

    def _text(self, value: Any, where: str, pattern: re.Pattern[str], expected: str) -> str:
        if not isinstance(value, str) or not pattern.fullmatch(value):
            raise self._error(f"{where} must be {expected}")
        return value

    def _number(self, value: Any, where: str) -> float:
        if type(value) not in (int, float):
            raise self._error(f"{where} must be a number")
        return float(value)
