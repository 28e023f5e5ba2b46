"""`access.rules`: what a route document says of the callers that a rule names."""

import pytest

from nightlatch import pki
from nightlatch.api.meta import NamespacedName
from nightlatch.planning.access.rules import client_rules, token_rules
from nightlatch.wire import route_document as routing
from nightlatch.wire.narrowing import takes_away
from nightlatch.wire.route_document import ClientRule, TokenRule
from tests.unit.planning.scene import NOW, client, endpoint, held
from tests.unit.planning.test_certificate_access import TRAINER, TRUST, observed, planned, trusted

BOT, BATCH = NamespacedName("search", "bot"), NamespacedName("ml", "batch")
CORP = pki.new_root(now=NOW)
ML = {"groups": ["ml", "admins"], "realm_access.roles": ["x"]}
PATHS = ((("groups",), ("admins", "ml")), (("realm_access", "roles"), ("x",)))
TOKENS = {"jwt": {"issuers": [{"name": "corp"}]}}


def ruled(*whens, **access):
    rules = [{"permissions": ["metadata", "infer"], **({"when": when} if when else {})} for when in whens]
    return endpoint(access={"apiKey": {}, **access, "rules": rules})


GIVEN = ("infer", "metadata")


@pytest.mark.parametrize(
    ("when", "tokens", "clients"),
    [
        (None, TokenRule("rules[0]", GIVEN), None),
        ({"claims": ML}, TokenRule("rules[0]", GIVEN, PATHS), None),
        ({"clients": ["search/bot", "ml/batch"]}, None, ClientRule("rules[0]", GIVEN, (BATCH, BOT))),
        # What a certificate may do by its name alone is part of its grant.
        ({"certificates": [TRAINER]}, None, None),
        (
            {"certificates": [TRAINER], "claims": ML},
            None,
            ClientRule("rules[0]", GIVEN, certificates=(TRAINER,), claims=PATHS),
        ),
        (
            {"certificates": [TRAINER], "claims": ML, "clients": ["search/bot"]},
            None,
            ClientRule("rules[0]", GIVEN, (BOT,), (TRAINER,), PATHS),
        ),
    ],
)
def test_a_rule_becomes_what_the_gate_is_told(when, tokens, clients):
    access = ruled(when, **TOKENS, mtls=TRUST, accept=[["mtls", "jwt", "apiKey"]]).spec.access
    assert token_rules(access) == ((tokens,) if tokens else ())
    assert client_rules(access) == ((clients,) if clients else ())


def test_a_rule_about_a_client_is_in_the_document_and_needs_a_gateway_that_knows_it():
    subject = ruled({"clients": ["search/bot"]})
    _, document = planned(subject, observed(subject, held()))
    assert document.client_rules == (ClientRule("rules[0]", GIVEN, (BOT,)),)
    assert routing.needed_format(document) == 5
    assert [each.client for each in document.keys] == [BOT]


def test_a_rule_lets_no_client_in_that_does_not_name_the_endpoint_itself():
    subject = ruled({"clients": ["search/bot"]})
    _, document = planned(subject, observed(subject, client(endpoints=[{"name": "another"}])))
    assert document.keys == ()


def test_a_certificate_that_is_named_with_claims_alone_is_known_and_permits_nothing_by_itself():
    subject = endpoint(
        access={
            **TOKENS,
            "mtls": TRUST,
            "accept": [["mtls", "jwt"]],
            "rules": [{"permissions": ["infer"], "when": {"certificates": [TRAINER], "claims": ML}}],
        }
    )
    _, document = planned(subject, observed(subject, trust=trusted(ca_crt=CORP.trust_pem)))
    assert [(each.identity, each.permissions) for each in document.certificates] == [(TRAINER, ())]
    assert [rule.certificates for rule in document.client_rules] == [(TRAINER,)]


def test_a_rule_that_goes_takes_something_away():
    subject = ruled({"clients": ["search/bot"]})
    _, document = planned(subject, observed(subject, held()))
    assert routing.decode(routing.encode(document)) == document
    _, without = planned(endpoint(), observed(endpoint(), held()))
    assert without.client_rules == ()
    assert takes_away(document, without)
    assert not takes_away(without, document)
