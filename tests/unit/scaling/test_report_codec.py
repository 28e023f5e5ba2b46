"""The report stream's frames: what goes in comes out, and nothing else is taken."""

import orjson
import pytest

from nightlatch.api.meta import NamespacedName
from nightlatch.wire.report import Directive, Directives, EndpointReport, GatewayReport, WakeFailure, WakeReport
from nightlatch.wire.report_codec import ReportError, decode_directives, decode_report, encode_directives, encode_report

KEY = NamespacedName("search", "minilm")
REPORT = GatewayReport(
    gateway="gw-0",
    serving=True,
    endpoints=(
        EndpointReport(KEY, applied=7, phase="Warm", in_flight=3, issued=12, held=0),
        EndpointReport(
            KEY,
            applied=0,
            phase="Holding",
            in_flight=None,
            issued=0,
            held=2,
            epoch=9,
            refused_epoch=8,
            nacked="no",
        ),
    ),
    wakes=(WakeReport(KEY, at=1.5, phases={"demand": 3.0, "eds": 1}),),
    checks=4,
)
DIRECTIVES = Directives(
    complete=True,
    directives=(
        Directive(KEY, "Draining", epoch=9),
        Directive(KEY, "Waking", failure=WakeFailure(2, "ModelServerExited", "exit code 1")),
    ),
)


def test_a_report_survives_the_wire():
    assert decode_report(encode_report(REPORT)) == REPORT


def test_directives_survive_the_wire():
    assert decode_directives(encode_directives(DIRECTIVES)) == DIRECTIVES


def damaged(path, value=...):
    """REPORT as JSON with the member at `path` replaced, or removed."""
    tree = orjson.loads(encode_report(REPORT))
    node = tree
    for step in path[:-1]:
        node = node[step]
    if value is ...:
        del node[path[-1]]
    else:
        node[path[-1]] = value
    return orjson.dumps(tree)


@pytest.mark.parametrize(
    ("frame", "complaint"),
    [
        (b"{", "not JSON"),
        (b"[]", "message must be an object"),
        (damaged(["serving"]), "message.serving is missing"),
        (damaged(["serving"], 1), "message.serving must be bool"),
        (damaged(["extra"], 1), "unknown members: extra"),
        (damaged(["endpoints"], {}), "message.endpoints must be an array"),
        (damaged(["endpoints", 0, "held"], True), "endpoints[0].held must be int"),
        (damaged(["endpoints", 0, "held"], None), "endpoints[0].held must be int"),
        (damaged(["endpoints", 0, "held"], -1), "endpoints[0].held must not be negative"),
        (damaged(["endpoints", 0, "in_flight"]), "endpoints[0].in_flight is missing"),
        (damaged(["endpoints", 0, "phase"], "Hot"), "endpoints[0].phase must be one of Cold"),
        (damaged(["endpoints", 0, "endpoint", "name"], 5), "endpoints[0].endpoint.name must be str"),
        (damaged(["wakes", 0, "phases", "eds"], "1"), "phases.eds must be a number"),
        (damaged(["wakes", 0, "phases"], []), "phases must be an object"),
    ],
)
def test_a_damaged_report_is_refused_by_field(frame, complaint):
    with pytest.raises(ReportError, match=complaint.replace("[", r"\[").replace("]", r"\]")):
        decode_report(frame)


def test_a_report_is_no_directives():
    with pytest.raises(ReportError):
        decode_directives(encode_report(REPORT))
