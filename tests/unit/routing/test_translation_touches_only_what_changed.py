"""Endpoints are translated and built one by one; of two that claim a host, the older has it."""

from dataclasses import replace

from nightlatch.api.meta import NamespacedName
from nightlatch.api.operations import operations_for
from nightlatch.routing.filter_order import http_filters
from nightlatch.routing.hosts import lost_hosts
from nightlatch.routing.ir import BrokenDocument, CertificateIR, GateIR, GatewaySettings, IssuerIR, Serving
from nightlatch.routing.translate import translate
from nightlatch.routing.xds.snapshot import changes, snapshot
from nightlatch.wire.route_document import KeyGrant, RateTier, RouteDocument
from nightlatch.wire.xds_types import ADDRESSES, CLUSTER, EXTENSION, LISTENER, ROUTES, SCOPE, SECRET

SETTINGS = GatewaySettings("127.0.0.1", 1, CertificateIR("c", "k"), CertificateIR("c", "k"))


def document(name, **changed):
    key = NamespacedName("search", name)
    members = {
        "endpoint": key,
        "uid": "u",
        "sequence": 1,
        "hosts": (f"{name}.search.localhost",),
        "operations": operations_for("OpenAI", name),
        "upstream_identity": f"spiffe://nightlatch.local/ns/search/ie/{name}",
        "keys": (KeyGrant("a" * 64, NamespacedName("search", "bot"), "id", ("infer",)),),
        "server_certificate": "c",
        "server_private_key": "k",
        "upstream_ca": "ca",
    }
    return RouteDocument(**{**members, **changed})


def states(*steps):
    """A snapshot for each (documents, serving), each on top of the one before."""
    ir, built = None, None
    for documents, serving in steps:
        ir = translate(documents, serving, SETTINGS, ir)
        built = snapshot(ir, built)
        yield built


A, B = document("a"), document("b")
WARM = Serving(hold=False, addresses=(("127.0.0.1", 4000),))


def changed_between(first, second):
    before, after = states(first, second)
    return changes(before, after)


def test_nothing_changes_when_nothing_does():
    assert changed_between(([A, B], {}), ([A, B], {})) == {}


def test_an_equal_document_that_was_read_anew_changes_nothing():
    assert changed_between(([A, B], {}), ([document("a"), document("b")], {})) == {}


def test_the_gate_is_in_the_route_configuration_and_the_addresses_in_the_assignment():
    holding = replace(WARM, hold=True)
    assert changed_between(([A, B], {A.endpoint: WARM}), ([A, B], {A.endpoint: holding})) == {ROUTES: {"search/a"}}
    moved = replace(WARM, addresses=(("127.0.0.1", 4001),))
    assert changed_between(([A, B], {A.endpoint: WARM}), ([A, B], {A.endpoint: moved})) == {ADDRESSES: {"search/a"}}


def test_a_flip_does_not_build_the_policy_again():
    before, after = states(([A], {}), ([A], {A.endpoint: WARM}))
    assert before.endpoints[A.endpoint].policy is after.endpoints[A.endpoint].policy


def test_what_the_gate_knows_of_issuers_and_revocations_changes_its_configuration_alone():
    issuer = IssuerIR("ids/a", "https://a", ("us",), ("ES256",), ({"kty": "EC"},))
    revoked = replace(SETTINGS, gate=GateIR(revoked_keys=("id",), issuers=(issuer,)))
    before = snapshot(translate([A], {}, SETTINGS))
    after = snapshot(translate([A], {}, revoked, before.ir), before)
    assert changes(before, after) == {EXTENSION: {"nightlatch.gate"}}


def test_the_number_of_gateways_changes_the_policies_that_have_limits():
    limited = document("b", rate_tiers={"slow": RateTier(1, 60.0, 1)})
    before = snapshot(translate([A, limited], {}, SETTINGS))
    after = snapshot(translate([A, limited], {}, replace(SETTINGS, gateways=2), before.ir), before)
    assert changes(before, after) == {ROUTES: {"search/b"}}


def test_a_key_changes_the_route_configuration_alone():
    assert changed_between(([A, B], {}), ([replace(A, keys=()), B], {})) == {ROUTES: {"search/a"}}


def test_a_certificate_changes_its_secret_alone():
    renewed = replace(A, server_certificate="new")
    assert changed_between(([A, B], {}), ([renewed, B], {})) == {SECRET: {"a.search.localhost"}}


def test_trust_changes_one_secret_for_all_endpoints_and_no_cluster():
    renewed = [replace(each, upstream_ca="new", sequence=2) for each in (A, B)]
    # A policy carries the sequence of its document.
    policies = {ROUTES: {"search/a", "search/b"}}
    assert changed_between(([A, B], {}), (renewed, {})) == {SECRET: {"trust:own"}, **policies}


def test_the_trust_of_the_document_written_last_is_in_force():
    """A roll-over writes one document after the other; the first of them brings the new trust to every endpoint."""
    renewed = replace(A, upstream_ca="new", sequence=2)
    for order in ([renewed, B], [B, renewed]):
        assert translate(order, {}, SETTINGS).trust == "new"
    follows = replace(B, upstream_ca="new", sequence=3)
    assert changed_between(([renewed, B], {}), ([renewed, follows], {})) == {ROUTES: {"search/b"}}


def test_a_damaged_bundle_in_the_newest_document_counts_only_if_there_is_no_good_one():
    damaged = replace(A, upstream_ca="damaged", sequence=9)
    for newest, others in (("ca", [B]), ("damaged", [])):
        assert translate([damaged, *others], {}, SETTINGS, is_bundle="ca".__eq__).trust == newest


def test_a_new_endpoint_brings_its_own_resources_and_an_entry_in_the_listener():
    assert changed_between(([A], {}), ([A, B], {})) == {
        CLUSTER: {"search/b"},
        ADDRESSES: {"search/b"},
        ROUTES: {"search/b"},
        SCOPE: {"b.search.localhost"},
        SECRET: {"b.search.localhost"},
        LISTENER: {"callers"},
    }


def test_the_older_of_two_that_claim_a_host_has_it_and_the_younger_keeps_its_others():
    shared = "shared.example"
    older = document("old", hosts=("old.search.localhost", shared), created=10)
    younger = document("young", hosts=("young.search.localhost", shared), created=20)
    for order in ([older, younger], [younger, older]):
        hosts = {each.endpoint.name: each.hosts for each in translate(order, {}, SETTINGS).endpoints}
        assert hosts == {"old": ("old.search.localhost", shared), "young": ("young.search.localhost",)}
        assert lost_hosts(order) == {younger.endpoint: {shared: older.endpoint}}


def test_an_endpoint_that_lost_every_host_has_no_route():
    younger = document("young", hosts=A.hosts, created=20)
    (built,) = states(([A, younger], {}))
    assert set(built[ROUTES]) == {"search/a"}


def test_an_endpoint_that_lost_its_host_gets_it_when_the_older_one_goes():
    younger = document("young", hosts=A.hosts, created=20)
    before, after = states(([A, younger], {}), ([younger], {}))
    assert before[SCOPE]["a.search.localhost"] is not after[SCOPE]["a.search.localhost"]
    assert set(after[ROUTES]) == {"search/young"}


def test_an_unreadable_document_has_hosts_and_no_cluster():
    (built,) = states(([BrokenDocument(NamespacedName("search", "x"), "policy_invalid", ("x.example",))], {}))
    assert set(built[SCOPE]) == {"x.example"}
    assert built[CLUSTER] == {}
    assert "x.example" in built[SECRET]


def test_an_endpoint_without_a_gate_is_cold():
    assert translate([A], {}, SETTINGS).endpoints[0].serving.hold


def test_a_certificate_is_found_by_its_host_in_lower_case_alone():
    (built,) = states(([A], {}))
    assert built[SECRET].get("a.search.localhost") is not None
    assert built[SECRET].get("A.search.LOCALHOST") is None
    assert built[SECRET].get("nobody.example") is None


def test_the_order_of_the_filters():
    assert [each["name"].removeprefix("nightlatch.") for each in http_filters()] == ["gate", "hold", "router"]
