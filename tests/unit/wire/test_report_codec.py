"""The report stream's frames: what goes in comes out, and nothing else is taken."""

from dataclasses import replace

import orjson
import pytest

from nightlatch.api.meta import NamespacedName
from nightlatch.scaling.fleet import LastReport
from nightlatch.wire.report import (
    Directive,
    Directives,
    EndpointReport,
    GatewayReport,
    ModelReport,
    Tensor,
    WakeFailure,
    WakeReport,
)
from nightlatch.wire.report_codec import ReportError, decode_directives, decode_report, encode_directives, encode_report

KEY = NamespacedName("search", "minilm")
MODEL = ModelReport((Tensor("text", "BYTES", (-1,)),), (Tensor("embedding", "FP32", (-1, 384)),), "sha256:0")
REPORT = GatewayReport(
    gateway="gw-0",
    serving=True,
    endpoints=(
        EndpointReport(KEY, applied=7, phase="Warm", in_flight=3, issued=12, held=0, model=MODEL),
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
            too_new=True,
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
    gateways=2,
)


def test_a_report_survives_the_wire():
    assert decode_report(encode_report(REPORT)) == REPORT


def test_directives_survive_the_wire():
    assert decode_directives(encode_directives(DIRECTIVES)) == DIRECTIVES


def test_a_peer_of_the_first_format_is_not_told_of_the_model():
    told = orjson.loads(encode_report(REPORT, reads=1))
    assert all("model" not in entry for entry in told["endpoints"])
    assert told["endpoints"][0]["applied"] == 7


def test_a_gateway_that_does_not_know_of_models_says_nothing_of_them():
    older = decode_report(damaged(["endpoints", 0, "model"]))
    assert older.endpoints[0] == replace(REPORT.endpoints[0], model=None)


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
        (damaged(["endpoints"], {}), "message.endpoints must be an array"),
        (damaged(["endpoints", 0, "held"], True), "endpoints[0].held must be int"),
        (damaged(["endpoints", 0, "held"], None), "endpoints[0].held must be int"),
        (damaged(["endpoints", 0, "model", "inputs", 0, "shape"], [1.5]), "shape must be an array of whole numbers"),
        (damaged(["endpoints", 0, "held"], -1), "endpoints[0].held must not be negative"),
        (damaged(["endpoints", 0, "in_flight"]), "endpoints[0].in_flight is missing"),
        (damaged(["endpoints", 0, "phase"], 1), "endpoints[0].phase must be str"),
        (damaged(["gone"], [1]), "gone[0] must be an object"),
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


def test_what_a_newer_gateway_says_more_is_ignored():
    frame = damaged(["extra"], 1)
    assert decode_report(frame) == REPORT
    assert decode_report(damaged(["endpoints", 0, "extra"], {"more": 1})) == REPORT


def test_a_phase_of_a_newer_gateway_makes_its_endpoint_unknown_and_no_other():
    other = NamespacedName("search", "other")
    frame = orjson.loads(encode_report(replace(REPORT, endpoints=(REPORT.endpoints[0], entry(other)))))
    frame["endpoints"][0]["phase"] = "Hot"
    decoded = decode_report(orjson.dumps(frame))
    assert (decoded.endpoints, decoded.gone) == ((entry(other),), (KEY,))


def test_a_report_from_before_formats_is_whole_and_reads_the_first_format():
    old = orjson.loads(encode_report(REPORT))
    for member in ("complete", "gone", "reads"):
        del old[member]
    assert decode_report(orjson.dumps(old)) == replace(REPORT, reads=1)


def test_a_report_for_a_leader_of_the_first_format_has_its_members_alone():
    old = orjson.loads(encode_report(REPORT, reads=1))
    assert set(old) == {"gateway", "serving", "endpoints", "wakes", "checks"}
    assert "too_new" not in old["endpoints"][1]
    endpoints = tuple(replace(each, too_new=False, model=None) for each in REPORT.endpoints)
    assert decode_report(orjson.dumps(old)) == replace(REPORT, reads=1, endpoints=endpoints)


def test_what_a_newer_leader_says_more_is_ignored():
    newer = orjson.loads(encode_directives(DIRECTIVES))
    newer["extra"] = newer["directives"][0]["extra"] = 1
    newer["directives"].append({**newer["directives"][0], "state": "Dozing"})
    assert decode_directives(orjson.dumps(newer)) == DIRECTIVES


def test_directives_for_a_gateway_of_the_first_format_have_its_members_alone():
    old = orjson.loads(encode_directives(replace(DIRECTIVES, documents={"route.a.b": 1}), reads=1))
    assert set(old) == {"complete", "directives"}
    assert decode_directives(orjson.dumps(old)) == replace(DIRECTIVES, reads=1, gateways=None)


def test_a_sequence_must_be_a_number():
    with pytest.raises(ReportError, match="documents"):
        decode_directives(orjson.dumps({"complete": True, "directives": [], "documents": {"route.a.b": "1"}}))


def entry(endpoint, held=0):
    return EndpointReport(endpoint, applied=1, phase="Warm", in_flight=0, issued=0, held=held)


def test_a_delta_has_what_changed_and_what_went_and_restores_the_whole():
    a, b, c, d = (NamespacedName("search", name) for name in "abcd")
    wake = WakeReport(a, 1.0, {})
    before = GatewayReport("g", serving=True, endpoints=(entry(a), entry(b), entry(c)), wakes=(wake,))
    after = GatewayReport(
        "g", serving=True, endpoints=(entry(a), entry(b, held=1), entry(d)), wakes=(wake, replace(wake, at=2.0))
    )
    delta = decode_report(encode_report(after.since(before)))
    assert (delta.complete, delta.endpoints, delta.gone) == (False, (entry(b, held=1), entry(d)), (c,))
    assert [wake.at for wake in delta.wakes] == [2.0]
    assert LastReport.of(delta, LastReport.of(before)) == LastReport.of(after)
    assert after.since(after).endpoints == ()
