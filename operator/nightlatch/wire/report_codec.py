"""JSON on the report stream: strict both ways, so that a peer of another version fails loudly.

A missing or unknown member, a wrong type (`true` is no number): ReportError, which names the member.
"""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar, get_args

import orjson

from nightlatch.api.endpoint import EndpointState
from nightlatch.api.meta import NamespacedName
from nightlatch.wire.report import (
    Directive,
    Directives,
    EndpointReport,
    GatewayReport,
    HoldPhase,
    WakeFailure,
    WakeReport,
)

T = TypeVar("T")


class ReportError(ValueError):
    """The frame is not a message of this protocol."""


def encode_report(report: GatewayReport) -> bytes:
    """JSON of a gateway's report."""
    return _encode(report)


def decode_report(frame: bytes) -> GatewayReport:
    """The inverse of encode_report. Raises ReportError."""
    return _report(_Fields.of_frame(frame))


def encode_directives(directives: Directives) -> bytes:
    """JSON of the leader's directives."""
    return _encode(directives)


def decode_directives(frame: bytes) -> Directives:
    """The inverse of encode_directives. Raises ReportError."""
    return _directives(_Fields.of_frame(frame))


def _encode(message: GatewayReport | Directives) -> bytes:
    return orjson.dumps(message)


class _Fields:
    """The members of one JSON object, each taken once; `close` refuses what nobody took."""

    def __init__(self, members: Any, where: str) -> None:
        if not isinstance(members, Mapping):
            raise ReportError(f"{where} must be an object")
        self._members = dict(members)
        self._where = where

    @classmethod
    def of_frame(cls, frame: bytes) -> "_Fields":
        try:
            return cls(orjson.loads(frame), "message")
        except orjson.JSONDecodeError as error:
            raise ReportError(f"not JSON: {error}") from None

    def _take(self, name: str) -> tuple[Any, str]:
        where = f"{self._where}.{name}"
        if name not in self._members:
            raise ReportError(f"{where} is missing")
        return self._members.pop(name), where

    def plain(self, name: str, kind: type[T]) -> T:
        value, where = self._take(name)
        if type(value) is not kind:
            raise ReportError(f"{where} must be {kind.__name__}")
        return value

    def count(self, name: str) -> int:
        value = self.plain(name, int)
        if value < 0:
            raise ReportError(f"{self._where}.{name} must not be negative")
        return value

    def number(self, name: str) -> float:
        value, where = self._take(name)
        return _number(value, where)

    def numbers(self, name: str) -> dict[str, float]:
        value, where = self._take(name)
        if not isinstance(value, dict):
            raise ReportError(f"{where} must be an object")
        return {key: _number(entry, f"{where}.{key}") for key, entry in value.items()}

    def one_of(self, name: str, allowed: tuple[str, ...]) -> Any:
        value, where = self._take(name)
        if value not in allowed:
            raise ReportError(f"{where} must be one of {', '.join(allowed)}")
        return value

    def optional(self, name: str, read: Callable[[str], T]) -> T | None:
        """`null`, or what `read` (a bound method of this object) makes of the same member."""
        if self._members.get(name, ...) is None:
            del self._members[name]
            return None
        return read(name)

    def nested(self, name: str, read: Callable[["_Fields"], T]) -> T:
        value, where = self._take(name)
        return read(_Fields(value, where))

    def each(self, name: str, read: Callable[["_Fields"], T]) -> tuple[T, ...]:
        value, where = self._take(name)
        if not isinstance(value, list):
            raise ReportError(f"{where} must be an array")
        return tuple(read(_Fields(entry, f"{where}[{index}]")) for index, entry in enumerate(value))

    def close(self, result: T) -> T:
        if self._members:
            raise ReportError(f"{self._where} has unknown members: {', '.join(sorted(self._members))}")
        return result


def _number(value: Any, where: str) -> float:
    if type(value) not in (int, float):
        raise ReportError(f"{where} must be a number")
    return float(value)


def _key(fields: _Fields) -> NamespacedName:
    return fields.close(NamespacedName(fields.plain("namespace", str), fields.plain("name", str)))


def _report(fields: _Fields) -> GatewayReport:
    return fields.close(
        GatewayReport(
            gateway=fields.plain("gateway", str),
            serving=fields.plain("serving", bool),
            endpoints=fields.each("endpoints", _endpoint),
            wakes=fields.each("wakes", _wake),
            checks=fields.count("checks"),
        )
    )


def _endpoint(fields: _Fields) -> EndpointReport:
    return fields.close(
        EndpointReport(
            endpoint=fields.nested("endpoint", _key),
            applied=fields.count("applied"),
            phase=fields.one_of("phase", get_args(HoldPhase)),
            in_flight=fields.optional("in_flight", fields.count),
            issued=fields.count("issued"),
            held=fields.count("held"),
            epoch=fields.count("epoch"),
            refused_epoch=fields.count("refused_epoch"),
            nacked=fields.optional("nacked", lambda name: fields.plain(name, str)),
        )
    )


def _wake(fields: _Fields) -> WakeReport:
    return fields.close(
        WakeReport(
            endpoint=fields.nested("endpoint", _key),
            at=fields.number("at"),
            phases=fields.numbers("phases"),
        )
    )


def _directives(fields: _Fields) -> Directives:
    return fields.close(
        Directives(
            complete=fields.plain("complete", bool),
            directives=fields.each("directives", _directive),
        )
    )


def _directive(fields: _Fields) -> Directive:
    return fields.close(
        Directive(
            endpoint=fields.nested("endpoint", _key),
            state=fields.one_of("state", get_args(EndpointState)),
            epoch=fields.count("epoch"),
            failure=fields.optional("failure", lambda name: fields.nested(name, _failure)),
        )
    )


def _failure(fields: _Fields) -> WakeFailure:
    return fields.close(
        WakeFailure(
            attempt=fields.count("attempt"),
            reason=fields.plain("reason", str),
            message=fields.plain("message", str),
        )
    )
