"""A new document is a revocation if it takes away any access that the old one gave."""

from dataclasses import dataclass, fields, replace

import pytest

from nightlatch.api.meta import NamespacedName
from nightlatch.api.operations import operations_for
from nightlatch.wire.narrowing import takes_away
from nightlatch.wire.route_document import CertificateGrant, ClientRule, KeyGrant, RateTier, RouteDocument
from tests.unit.gatekeeper.test_documents import DOCUMENT

GRANT = KeyGrant(
    "0" * 64, NamespacedName("search", "bot"), "k", ("infer", "metadata"), "t", not_before=50, not_after=100
)
TIERS = {"t": RateTier(10, 1.0, 20)}
BEFORE = replace(DOCUMENT, keys=(GRANT,), rate_tiers=TIERS, operations=operations_for(None, "minilm"))
OTHER_CA = "-----BEGIN CERTIFICATE-----\nb\n-----END CERTIFICATE-----\n"
CA = "-----BEGIN CERTIFICATE-----\na\n-----END CERTIFICATE-----\n"


def test_revocations_are_told_from_other_changes() -> None:
    grant = KeyGrant("0" * 64, NamespacedName("search", "bot"), "k", ("infer", "metadata"), not_after=100)
    before = replace(DOCUMENT, keys=(grant,))
    assert not takes_away(before, replace(before, sequence=2, request_timeout=1.0))
    assert not takes_away(before, replace(before, keys=(grant, replace(grant, sha256="1" * 64))))
    assert not takes_away(before, replace(before, keys=(replace(grant, not_after=200),)))
    for less in (
        replace(before, keys=()),
        replace(before, keys=(replace(grant, permissions=("metadata",)),)),
        replace(before, keys=(replace(grant, not_after=50),)),
        replace(before, denied="broken"),
    ):
        assert takes_away(before, less)


def granting(**changes):
    return {"keys": (replace(GRANT, **changes),)}


@pytest.mark.parametrize(
    "change",
    [
        {"endpoint": NamespacedName("search", "other")},
        {"uid": "another"},
        {"created": 5},
        {"hosts": ("other.search.localhost",)},
        {"hosts": ()},
        {"operations": BEFORE.operations[1:]},
        {"operations": (replace(BEFORE.operations[0], permission="infer"), *BEFORE.operations[1:])},
        {"upstream_identity": "spiffe://nightlatch.local/ns/search/ie/other"},
        {"upstream_ca": OTHER_CA},
        granting(client=NamespacedName("search", "other")),
        granting(key_id="l"),
        granting(not_before=51),
        granting(not_after=99),
        granting(permissions=("infer",)),
        {"rate_tiers": {"t": RateTier(9, 1.0, 20)}},
        {"rate_tiers": {"t": RateTier(10, 2.0, 20)}},
        {"rate_tiers": {"t": RateTier(100, 1.0, 19)}},
        {"denied": "policy_invalid"},
    ],
    ids=lambda change: next(iter(change)),
)
def test_whatever_is_not_an_addition_takes_away(change) -> None:
    assert takes_away(BEFORE, replace(BEFORE, **change))


@pytest.mark.parametrize(
    "change",
    [
        {"sequence": 2, "takes_away_since": 2},
        {"request_timeout": 1.0, "hold_timeout": 1.0, "hold_max_requests": 1},
        {"server_certificate": "renewed", "server_private_key": "renewed"},
        {"hosts": ("more.search.localhost", *BEFORE.hosts)},
        {"operations": (replace(BEFORE.operations[0], path="/v3"), *BEFORE.operations)},
        {"keys": (GRANT, replace(GRANT, sha256="1" * 64))},
        granting(not_before=49),
        granting(not_before=None),
        granting(not_after=None),
        granting(tier=""),
        {"rate_tiers": {"t": RateTier(20, 2.0, 20)}},
        {"rate_tiers": {"t": RateTier(11, 1.0, 21)}},
        {"rate_tiers": {**TIERS, "unused": RateTier(1, 1.0, 1)}},
    ],
    ids=lambda change: next(iter(change)),
)
def test_additions_and_what_concerns_nobodys_access_take_nothing_away(change) -> None:
    assert not takes_away(BEFORE, replace(BEFORE, **change))


def test_a_limit_where_there_was_none_takes_away() -> None:
    free = replace(BEFORE, keys=(replace(GRANT, tier=""),))
    assert takes_away(free, BEFORE)
    assert not takes_away(BEFORE, free)


def test_a_bundle_that_gained_a_ca_takes_nothing_away_and_one_that_lost_a_ca_does() -> None:
    one, both = replace(BEFORE, upstream_ca=CA), replace(BEFORE, upstream_ca=CA + OTHER_CA)
    assert not takes_away(one, both)
    assert takes_away(both, one)


def test_an_endpoint_that_is_let_in_again_gained_something() -> None:
    assert not takes_away(replace(BEFORE, denied="policy_invalid"), BEFORE)


CERTIFICATE = CertificateGrant(
    "spiffe://td/ns/search/ic/bot", NamespacedName("search", "bot"), ("infer", "health"), "t"
)
CERTIFIED = replace(
    BEFORE,
    certificates=(CERTIFICATE,),
    accept=(("mtls",), ("apiKey", "mtls")),
    client_ca=CA + OTHER_CA,
    revoked_certificates=("ab" * 32,),
)


@pytest.mark.parametrize(
    ("change", "takes"),
    [
        ({"certificates": ()}, True),
        ({"certificates": (replace(CERTIFICATE, permissions=("infer",)),)}, True),
        ({"certificates": (replace(CERTIFICATE, client=None),)}, True),
        ({"certificates": (replace(CERTIFICATE, identity="spiffe://td/x"),)}, True),
        ({"certificates": (CERTIFICATE, replace(CERTIFICATE, identity="spiffe://td/x"))}, False),
        ({"certificates": (replace(CERTIFICATE, tier=""),)}, False),
        ({"rate_tiers": {"t": RateTier(9, 1.0, 20)}, "keys": ()}, True),
        ({"accept": (("apiKey", "mtls"),)}, True),
        ({"accept": ()}, True),
        ({"accept": (("mtls",),)}, False),
        ({"accept": (("apiKey",), ("mtls",), ("mtls", "apiKey"))}, False),
        ({"revoked_certificates": ("ab" * 32, "cd" * 32)}, True),
        ({"revoked_certificates": ()}, False),
        ({"client_ca": CA}, True),
        ({"client_ca": ""}, True),
        ({"client_ca": OTHER_CA + CA}, False),
    ],
)
def test_what_takes_something_from_callers_with_certificates(change, takes) -> None:
    assert takes_away(CERTIFIED, replace(CERTIFIED, **change)) == takes


BOT = NamespacedName("search", "bot")
CLAIMS = ((("groups",), ("ml",)),)
RULE = ClientRule("rules[0]", ("infer", "health"), (BOT,), ("spiffe://corp.example/x",), CLAIMS)
RULED = replace(BEFORE, client_rules=(RULE,))


@pytest.mark.parametrize(
    ("rules", "takes"),
    [
        ((), True),
        ((replace(RULE, permissions=("infer",)),), True),
        ((replace(RULE, clients=(NamespacedName("search", "other"),)),), True),
        ((replace(RULE, certificates=("spiffe://corp.example/y",)),), True),
        ((replace(RULE, claims=()),), True),
        ((replace(RULE, name="rules[1]"),), False),
        ((replace(RULE, clients=()),), False),
        ((replace(RULE, certificates=()),), False),
        ((replace(RULE, clients=(BOT, NamespacedName("search", "other"))),), False),
        ((replace(RULE, permissions=("infer", "health", "metadata")), RULE), False),
    ],
)
def test_what_takes_something_from_callers_that_a_rule_names(rules, takes) -> None:
    assert takes_away(RULED, replace(BEFORE, client_rules=rules)) == takes
    assert not takes_away(BEFORE, replace(BEFORE, client_rules=rules))


def test_a_rule_that_asks_for_a_proof_more_takes_away() -> None:
    free = replace(BEFORE, client_rules=(replace(RULE, certificates=()),))
    assert takes_away(free, RULED)


@dataclass(frozen=True, slots=True)
class NextDocument(RouteDocument):
    quota: str = "any"


def test_a_member_that_nobody_thought_of_takes_away_when_it_changes() -> None:
    document = NextDocument(**{each.name: getattr(BEFORE, each.name) for each in fields(BEFORE)})
    assert not takes_away(document, document)
    assert takes_away(document, replace(document, quota="all"))
