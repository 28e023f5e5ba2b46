"""The report stream's messages as JSON.

A missing member or a wrong type raises ReportError, which names the member. What only a newer peer can say is ignored:
an unknown member anywhere, and an endpoint with an unknown phase or state (its entry says nothing then).
"""

from typing import Any, get_args

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
    ModelReport,
    Tensor,
    WakeFailure,
    WakeReport,
)
from nightlatch.wire.route_document import FORMAT

# What peers of the first format know of an endpoint.
_ENDPOINT_MEMBERS = ("endpoint", "applied", "phase", "in_flight", "issued", "held", "epoch", "refused_epoch", "nacked")


class ReportError(ValueError):
    """The frame is not a message of the report stream."""


def encode_report(report: GatewayReport, reads: int = FORMAT) -> bytes:
    """JSON of a gateway's report. `reads`: the newest format that the leader reads.

    Peers of the first format know only whole reports, and refuse members that they do not know.
    """
    if reads == 1:
        members = ("gateway", "serving", "wakes", "checks")
        endpoints = [{name: getattr(each, name) for name in _ENDPOINT_MEMBERS} for each in report.endpoints]
        return orjson.dumps({**{name: getattr(report, name) for name in members}, "endpoints": endpoints})
    return orjson.dumps(report)


def decode_report(frame: bytes) -> GatewayReport:
    """The inverse of encode_report. Raises ReportError."""
    return _report(_members(frame))


def encode_directives(directives: Directives, reads: int = FORMAT) -> bytes:
    """JSON of the leader's directives. `reads`: the newest format that the gateway reads."""
    if reads == 1:
        return orjson.dumps({"complete": directives.complete, "directives": directives.directives})
    return orjson.dumps(directives)


def decode_directives(frame: bytes) -> Directives:
    """The inverse of encode_directives. Raises ReportError."""
    return _directives(_members(frame))


def _members(frame: bytes) -> Fields:
    try:
        return Fields(orjson.loads(frame), "message", ReportError, lenient=True)
    except orjson.JSONDecodeError as error:
        raise ReportError(f"not JSON: {error}") from None


def _namespaced_name(fields: Fields) -> NamespacedName:
    return fields.close(NamespacedName(fields.plain("namespace", str), fields.plain("name", str)))


def _report(fields: Fields) -> GatewayReport:
    # Peers of the time before formats were negotiated send whole reports, and read the first format.
    fields.default("complete", value=True)
    fields.default("gone", [])
    fields.default("reads", 1)
    fields.default("used", {})
    fields.default("unknown_keys", {})
    entries = fields.each("endpoints", _endpoint)
    unknown = tuple(entry.endpoint for entry in entries if entry.phase not in get_args(HoldPhase))
    return fields.close(
        GatewayReport(
            gateway=fields.plain("gateway", str),
            serving=fields.plain("serving", bool),
            endpoints=tuple(entry for entry in entries if entry.phase in get_args(HoldPhase)) if unknown else entries,
            wakes=fields.each("wakes", _wake),
            checks=fields.count("checks"),
            complete=fields.plain("complete", bool),
            gone=fields.each("gone", _namespaced_name) + unknown,
            reads=fields.count("reads"),
            used=fields.counts("used"),
            unknown_keys=fields.counts("unknown_keys"),
        )
    )


def _endpoint(fields: Fields) -> EndpointReport:
    fields.default("model", None)
    phase: Any = fields.plain("phase", str)
    fields.default("too_new", value=False)
    return fields.close(
        EndpointReport(
            endpoint=fields.nested("endpoint", _namespaced_name),
            applied=fields.count("applied"),
            phase=phase,
            in_flight=fields.optional("in_flight", fields.count),
            issued=fields.count("issued"),
            held=fields.count("held"),
            epoch=fields.count("epoch"),
            refused_epoch=fields.count("refused_epoch"),
            nacked=fields.optional("nacked", lambda name: fields.plain(name, str)),
            model=fields.optional("model", lambda name: fields.nested(name, _model)),
            too_new=fields.plain("too_new", bool),
        )
    )


def _model(fields: Fields) -> ModelReport:
    return fields.close(
        ModelReport(
            inputs=fields.each("inputs", _tensor),
            outputs=fields.each("outputs", _tensor),
            digest=fields.plain("digest", str),
        )
    )


def _tensor(fields: Fields) -> Tensor:
    return fields.close(
        Tensor(
            name=fields.plain("name", str),
            datatype=fields.plain("datatype", str),
            shape=fields.integers("shape"),
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
    fields.default("documents", {})
    fields.default("reads", 1)
    fields.default("gateways", None)
    directives = fields.each("directives", _directive)
    return fields.close(
        Directives(
            complete=fields.plain("complete", bool),
            directives=tuple(each for each in directives if each.state in get_args(EndpointState)),
            documents=fields.counts("documents"),
            reads=fields.count("reads"),
            gateways=fields.optional("gateways", fields.count),
        )
    )


def _directive(fields: Fields) -> Directive:
    state: Any = fields.plain("state", str)
    return fields.close(
        Directive(
            endpoint=fields.nested("endpoint", _namespaced_name),
            state=state,
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
