"""The report stream's messages as JSON. Reading is strict, so that a peer of another version fails loudly.

A missing or unknown member or a wrong type raises ReportError, which names the member.
"""

from typing import get_args

import orjson

from nightlatch.api.endpoint import EndpointState
from nightlatch.api.meta import NamespacedName
from nightlatch.wire.fields import Fields
from nightlatch.wire.report import (
    Directive,
    Directives,
    EndpointReport,
    GatewayReport,
    HoldPhase,
    WakeFailure,
    WakeReport,
)


class ReportError(ValueError):
    """The frame is not a message of the report stream."""


def encode_report(report: GatewayReport) -> bytes:
    """JSON of a gateway's report."""
    return orjson.dumps(report)


def decode_report(frame: bytes) -> GatewayReport:
    """The inverse of encode_report. Raises ReportError."""
    return _report(_members(frame))


def encode_directives(directives: Directives) -> bytes:
    """JSON of the leader's directives."""
    return orjson.dumps(directives)


def decode_directives(frame: bytes) -> Directives:
    """The inverse of encode_directives. Raises ReportError."""
    return _directives(_members(frame))


def _members(frame: bytes) -> Fields:
    try:
        return Fields(orjson.loads(frame), "message", ReportError)
    except orjson.JSONDecodeError as error:
        raise ReportError(f"not JSON: {error}") from None


def _namespaced_name(fields: Fields) -> NamespacedName:
    return fields.close(NamespacedName(fields.plain("namespace", str), fields.plain("name", str)))


def _report(fields: Fields) -> GatewayReport:
    return fields.close(
        GatewayReport(
            gateway=fields.plain("gateway", str),
            serving=fields.plain("serving", bool),
            endpoints=fields.each("endpoints", _endpoint),
            wakes=fields.each("wakes", _wake),
            checks=fields.count("checks"),
        )
    )


def _endpoint(fields: Fields) -> EndpointReport:
    return fields.close(
        EndpointReport(
            endpoint=fields.nested("endpoint", _namespaced_name),
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


def _wake(fields: Fields) -> WakeReport:
    return fields.close(
        WakeReport(
            endpoint=fields.nested("endpoint", _namespaced_name),
            at=fields.number("at"),
            phases=fields.numbers("phases"),
        )
    )


def _directives(fields: Fields) -> Directives:
    return fields.close(
        Directives(
            complete=fields.plain("complete", bool),
            directives=fields.each("directives", _directive),
        )
    )


def _directive(fields: Fields) -> Directive:
    return fields.close(
        Directive(
            endpoint=fields.nested("endpoint", _namespaced_name),
            state=fields.one_of("state", get_args(EndpointState)),
            epoch=fields.count("epoch"),
            failure=fields.optional("failure", lambda name: fields.nested(name, _failure)),
        )
    )


def _failure(fields: Fields) -> WakeFailure:
    return fields.close(
        WakeFailure(
            attempt=fields.count("attempt"),
            reason=fields.plain("reason", str),
            message=fields.plain("message", str),
        )
    )
