"""What all gateways together say of one endpoint."""

from nightlatch.api.meta import Key
from nightlatch.scaling.decide import Load
from nightlatch.scaling.fleet import Fleet, Heard, changed_endpoints, load_of
from nightlatch.scaling.report import EndpointReport, GatewayReport

KEY, OTHER = Key("search", "minilm"), Key("search", "other")


def said(endpoint=KEY, in_flight=0, issued=0, held=0):
    return EndpointReport(endpoint, 1, "Warm", in_flight, issued, held)


def heard(*endpoints, serving=True):
    return Heard.of(GatewayReport("any", serving, endpoints))


def load(**members):
    return load_of(Fleet(members).views(KEY))


def test_load_is_the_sum_over_the_gateways():
    members = {"a": heard(said(in_flight=1, issued=3, held=2)), "b": heard(said(in_flight=4, issued=5))}
    assert load(**members) == Load(in_flight=5, held=2, issued=8)


def test_no_gateway_is_unknown_load():
    assert load() == Load(None, 0, 0)


def test_one_silent_gateway_makes_the_load_unknown_and_hides_no_demand():
    assert load(a=heard(said(held=2)), b=None) == Load(None, 2, 0)


def test_a_gateway_without_the_endpoint_is_unknown_load():
    assert load(a=heard(said()), b=heard(said(OTHER))).in_flight is None


def test_a_gateway_that_does_not_serve_yet_does_not_count():
    assert load(a=heard(said()), b=heard(serving=False)) == Load(0, 0, 0)


def test_a_gateway_that_left_is_forgotten():
    fleet = Fleet().with_members(["a", "b"]).with_heard("a", heard(said()))
    assert fleet.disconnected == ("b",)
    assert load_of(fleet.with_members(["a"]).views(KEY)).in_flight == 0
    assert fleet.with_heard("stranger", heard(said())) == fleet


def test_only_endpoints_of_which_a_report_says_something_new_have_changed():
    before = heard(said(), said(OTHER))
    assert changed_endpoints(before, heard(said(), said(OTHER))) == set()
    assert changed_endpoints(before, heard(said(), said(OTHER, held=1))) == {OTHER}
    assert changed_endpoints(before, heard(said())) == {OTHER}
    assert changed_endpoints(before, None) == {KEY, OTHER}
    assert changed_endpoints(before, heard(said(), said(OTHER), serving=False)) == {KEY, OTHER}
