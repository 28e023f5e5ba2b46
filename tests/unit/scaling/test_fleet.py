"""What all gateways together say of one endpoint."""

from nightlatch.api.meta import NamespacedName
from nightlatch.scaling.decide import Load
from nightlatch.scaling.fleet import Fleet, LastReport, changed_endpoints, load_of
from nightlatch.wire.report import EndpointReport, GatewayReport
from nightlatch.wire.route_document import FORMAT

KEY, OTHER = NamespacedName("search", "minilm"), NamespacedName("search", "other")


def reports(endpoint=KEY, in_flight=0, issued=0, held=0):
    return EndpointReport(endpoint, 1, "Warm", in_flight, issued, held)


def last_report(*endpoints, serving=True):
    return LastReport.of(GatewayReport("any", serving, endpoints))


def load(**members):
    return load_of(Fleet(members).views(KEY))


def test_load_is_the_sum_over_the_gateways():
    members = {
        "a": last_report(reports(in_flight=1, issued=3, held=2)),
        "b": last_report(reports(in_flight=4, issued=5)),
    }
    assert load(**members) == Load(in_flight=5, held=2, issued=8)


def test_no_gateway_is_unknown_load():
    assert load() == Load(None, 0, 0)


def test_one_silent_gateway_makes_the_load_unknown_and_hides_no_demand():
    assert load(a=last_report(reports(held=2)), b=None) == Load(None, 2, 0)


def test_a_gateway_without_the_endpoint_is_unknown_load():
    assert load(a=last_report(reports()), b=last_report(reports(OTHER))).in_flight is None


def test_a_gateway_that_does_not_serve_yet_does_not_count():
    assert load(a=last_report(reports()), b=last_report(serving=False)) == Load(0, 0, 0)


def test_a_gateway_that_left_is_forgotten():
    fleet = Fleet().with_members(["a", "b"]).with_report("a", last_report(reports()))
    assert fleet.disconnected == ("b",)
    assert load_of(fleet.with_members(["a"]).views(KEY)).in_flight == 0
    assert fleet.with_report("stranger", last_report(reports())) == fleet


def test_only_endpoints_of_which_a_report_says_something_new_have_changed():
    before = last_report(reports(), reports(OTHER))
    assert changed_endpoints(before, last_report(reports(), reports(OTHER))) == set()
    assert changed_endpoints(before, last_report(reports(), reports(OTHER, held=1))) == {OTHER}
    assert changed_endpoints(before, last_report(reports())) == {OTHER}
    assert changed_endpoints(before, None) == {KEY, OTHER}
    assert changed_endpoints(before, last_report(reports(), reports(OTHER), serving=False)) == {KEY, OTHER}


def test_a_delta_changes_what_it_names_and_keeps_the_rest():
    before = last_report(reports(), reports(OTHER))
    delta = GatewayReport("any", serving=True, endpoints=(reports(held=1),), complete=False)
    after = LastReport.of(delta, before)
    assert after.endpoints == {KEY: reports(held=1), OTHER: reports(OTHER)}
    assert changed_endpoints(before, after) == {KEY}
    gone = LastReport.of(GatewayReport("any", serving=True, endpoints=(), complete=False, gone=(OTHER,)), after)
    assert set(gone.endpoints) == {KEY}
    # A stream begins with the whole, whatever the one before it said.
    assert LastReport.of(GatewayReport("any", serving=True, endpoints=()), after).endpoints == {}


def test_what_the_gateways_read():
    old = LastReport.of(GatewayReport("any", serving=False, endpoints=(), reads=1))
    assert Fleet({"b": old, "a": last_report(), "c": None}).formats == {"a": FORMAT, "b": 1, "c": None}
