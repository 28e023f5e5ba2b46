"""`access.mtls`: whose certificates a route document lists, which CAs it trusts, and what the status says of it."""

import base64
from dataclasses import replace
from datetime import timedelta

import pytest

from nightlatch import pki
from nightlatch.api import names
from nightlatch.api.meta import NamespacedName
from nightlatch.pki.material import to_pem
from nightlatch.planning.access.certificates import certificate_grants
from nightlatch.planning.access.grants import GrantRequest, refusal
from nightlatch.planning.access.revocation import granted_permissions, losing_endpoints
from nightlatch.planning.endpoint.plan import plan_endpoint
from nightlatch.planning.inputs import ClientView
from nightlatch.planning.secrets import view_secret
from nightlatch.scaling.runtime import EndpointRuntime
from nightlatch.wire import route_document as routing
from nightlatch.wire.narrowing import takes_away
from tests.unit.planning.scene import ISSUING, ISSUING_CA, KEY, NOW, SETTINGS, client, endpoint, found, held, issued

MINILM = NamespacedName("search", "minilm")
BOT = "spiffe://nightlatch.local/ns/search/ic/bot"
TRAINER, NAMED = "spiffe://corp.example/ml/trainer", "trainer.corp.example"
CORP, OTHER = (pki.new_root(now=NOW) for _ in range(2))
ISSUER = {"issuerRef": {"name": "corp"}}
TRUST = {"trust": [{"secretName": "corp"}]}
RULES = [
    {"permissions": ["metadata"]},
    {"permissions": ["infer"], "when": {"certificates": [TRAINER]}},
    {"permissions": ["health"], "when": {"certificates": [TRAINER, NAMED]}},
]


def certified(*, certificate=None, apiKey=None, **spec):  # noqa: N803 - the name in the spec
    return client(certificate=certificate or {}, apiKey=apiKey, **spec)


def trusted(**data):
    """The user's Secret of CAs."""
    entries = {name.replace("_", "."): base64.b64encode(value).decode() for name, value in data.items()}
    metadata = {"namespace": "search", "name": "corp", "labels": {names.LABEL_USE: names.USE_TRUST}}
    return view_secret({"metadata": {**metadata, "uid": "u", "resourceVersion": "1"}, "data": entries})


def observed(subject, *clients, trust=None):
    secrets = {NamespacedName("search", "corp"): trust} if trust else {}
    views = tuple(each if isinstance(each, ClientView) else ClientView(each) for each in clients)
    return issued(subject, clients=views, trust=secrets, runtime=EndpointRuntime(formats={"gw-0": routing.FORMAT}))


def planned(subject, seen, now=NOW):
    result = plan_endpoint(subject, seen, now)
    put = next((each for each in result.apply if hasattr(each, "data")), None)
    return result, routing.decode(put.data) if put else None


def stored(subject, seen, now=NOW):
    put = plan_endpoint(subject, seen, now).apply[0]
    return replace(seen, document=found(put.target, put.data, version="7"))


def certificates(result):
    return next(each for each in result.status.conditions if each.type == "CertificatesReady")


OWN = endpoint(access={"mtls": {}})
FOREIGN = endpoint(access={"mtls": TRUST, "rules": RULES})


def test_without_trust_our_ca_counts_and_the_clients_that_it_certifies():
    _, document = planned(OWN, observed(OWN, certified()))
    assert document.client_ca.encode() == ISSUING_CA.trust_pem
    assert [(each.identity, each.client, each.permissions) for each in document.certificates] == [
        (BOT, NamespacedName("search", "bot"), ("infer", "metadata"))
    ]
    assert (document.accept, document.keys) == ((("mtls",),), ())


def test_with_trust_our_ca_counts_no_more_and_rules_say_who_may_what():
    seen = observed(FOREIGN, certified(), trust=trusted(ca_crt=CORP.trust_pem))
    _, document = planned(FOREIGN, seen)
    assert document.client_ca.encode() == CORP.trust_pem
    assert [(each.identity, each.client, each.permissions) for each in document.certificates] == [
        (TRAINER, None, ("health", "infer", "metadata")),
        (NAMED, None, ("health", "metadata")),
    ]


@pytest.mark.parametrize(
    ("access", "spec", "reason"),
    [
        ({"mtls": {}}, {"certificate": {}}, None),
        ({"mtls": {}}, {"certificate": ISSUER}, "CertificatesNotAccepted"),
        ({"mtls": TRUST}, {"certificate": {}}, "CertificatesNotAccepted"),
        ({"mtls": TRUST}, {"certificate": ISSUER}, None),
        ({"apiKey": {}}, {"certificate": {}}, "CertificatesNotAccepted"),
        ({"mtls": {}}, {"apiKey": {}}, "ApiKeysNotAccepted"),
        ({"apiKey": {}, "mtls": {}}, {"certificate": {}}, None),
        ({"apiKey": {}, "mtls": {}}, {"apiKey": {}}, None),
        ({"apiKey": {}, "mtls": {}, "accept": [["apiKey", "mtls"]]}, {"apiKey": {}}, "CredentialsIncomplete"),
        ({"apiKey": {}, "mtls": {}, "accept": [["apiKey", "mtls"]]}, {"certificate": {}}, "CredentialsIncomplete"),
        ({"apiKey": {}, "mtls": {}, "accept": [["apiKey", "mtls"]]}, {"apiKey": {}, "certificate": {}}, None),
        ({"apiKey": {}, "mtls": {}, "accept": [["apiKey", "mtls"], ["mtls"]]}, {"certificate": {}}, None),
    ],
)
def test_which_credentials_let_a_client_in(access, spec, reason):
    subject = client(**{"apiKey": None} | spec)
    found_ = refusal(GrantRequest(subject, MINILM, endpoint(access=access)))
    assert (found_.reason if found_ else None) == reason


def test_a_client_of_an_issuer_is_known_by_the_identity_that_was_asked_for():
    (grant,) = certificate_grants(endpoint(access={"mtls": TRUST}), [ClientView(certified(certificate=ISSUER))], "td")
    assert (grant.identity, str(grant.client)) == ("spiffe://td/ns/search/ic/bot", "search/bot")


def test_a_rule_cannot_name_an_identity_of_ours():
    rules = [{"permissions": ["infer"], "when": {"certificates": [TRAINER, BOT]}}]
    rejection = endpoint(access={"mtls": TRUST, "rules": rules}).rejection
    assert rejection.reason == "Invalid"
    assert rejection.message.startswith("spec.access.rules[0].when.certificates[1]: ")


@pytest.mark.parametrize(
    ("secret", "reason", "says"),
    [
        (None, "TrustMissing", "--trust search/corp=FILE"),
        (replace(trusted(ca_crt=CORP.trust_pem), use=""), "TrustMissing", "--trust search/corp=FILE"),
        (trusted(ca_crt=b""), "TrustWithoutCA", "has no ca.crt"),
        (trusted(ca_crt=b"no certificate"), "TrustWithoutCA", "ca.crt in Secret corp is"),
        (
            trusted(ca_crt=pki.issue_leaf(ISSUING, pki.LeafRequest(BOT, "client"), now=NOW).certificate),
            "TrustHoldsLeaf",
            "put there the CA that signed it",
        ),
        (trusted(ca_crt=CORP.trust_pem, tls_key=b"-----BEGIN PRIVATE KEY-----"), "TrustHoldsPrivateKey", "alone"),
        (trusted(ca_crt=pki.new_root(now=NOW - timedelta(days=4000)).trust_pem), "TrustWithoutCA", "has expired"),
    ],
    ids=["missing", "without label", "empty", "no PEM", "leaf", "private key", "expired"],
)
def test_a_secret_of_cas_that_cannot_be_used_is_named_and_the_cas_before_stay(secret, reason, says):
    before = stored(FOREIGN, observed(FOREIGN, trust=trusted(ca_crt=CORP.trust_pem)))
    secrets = {NamespacedName("search", "corp"): secret} if secret else {}
    result, document = planned(FOREIGN, replace(before, trust=secrets))
    said = certificates(result)
    assert (said.status, said.reason) == ("False", reason)
    assert says in said.message
    assert said.message.endswith("; the CAs that were trusted before stay, all of them")
    assert document is None, "the document before stays"
    # The first time there are none before.
    first, none = planned(FOREIGN, observed(FOREIGN, trust=secret))
    assert (certificates(first).reason, none) == (reason, None)


def test_what_a_spec_no_longer_names_goes_although_its_cas_cannot_be_used():
    before = stored(FOREIGN, observed(FOREIGN, trust=trusted(ca_crt=CORP.trust_pem)))
    fewer = endpoint(access={"mtls": TRUST, "rules": RULES[:2]})
    _, document = planned(fewer, replace(before, trust={}))
    assert [each.identity for each in document.certificates] == [TRAINER]
    assert document.client_ca.encode() == CORP.trust_pem


def test_our_own_ca_does_not_stand_in_for_others_that_cannot_be_used():
    before = stored(OWN, observed(OWN, certified()))
    _, document = planned(FOREIGN, before)
    assert document.certificates == ()


def test_expired_cas_and_copies_are_left_out_and_named_and_the_next_expiry_is_looked_at():
    old = pki.new_root(now=NOW - timedelta(days=4000))
    soon = pki.new_root(now=NOW - timedelta(days=3650) + timedelta(minutes=5))
    bundle = to_pem(CORP.certificate, old.certificate, CORP.certificate, soon.certificate)
    seen = observed(FOREIGN, trust=trusted(ca_crt=bundle))
    result, document = planned(FOREIGN, seen)
    assert document.client_ca.encode() == to_pem(CORP.certificate, soon.certificate)
    said = certificates(result)
    assert (said.status, said.reason) == ("True", "TrustCleaned")
    assert "expired on" in said.message
    assert "is there twice" in said.message
    assert result.requeue_after <= 300
    _, later = planned(FOREIGN, seen, NOW + timedelta(minutes=6))
    assert later.client_ca.encode() == CORP.trust_pem


def test_a_ca_that_goes_takes_something_away_and_one_that_comes_does_not():
    one, two = (
        planned(FOREIGN, observed(FOREIGN, trust=trusted(ca_crt=pem)))[1]
        for pem in (CORP.trust_pem, CORP.trust_pem + OTHER.trust_pem)
    )
    assert not takes_away(one, two)
    assert takes_away(two, one)


def test_a_suspended_client_s_certificate_leaves_the_document_at_once():
    subject = certified()
    before, after = (
        granted_permissions(ClientView(each), {MINILM: OWN}) for each in (subject, certified(suspend=True))
    )
    assert losing_endpoints(before, after) == {MINILM}
    seen = stored(OWN, observed(OWN, subject))
    _, document = planned(OWN, replace(seen, clients=(ClientView(certified(suspend=True)),)))
    assert document.certificates == ()


def test_an_endpoint_refuses_certificates_by_their_digest_also_while_its_spec_is_not_accepted():
    digest = "ab" * 32
    revoking = {"mtls": {"revokedDigests": [digest]}}
    before = stored(OWN, observed(OWN, certified()))
    for access in (revoking, {**revoking, "jwt": {"issuers": [{"name": "later"}]}}):
        subject = endpoint(access=access)
        _, document = planned(subject, before)
        assert document.revoked_certificates == (digest,)
        assert [each.identity for each in document.certificates] == [BOT]
        assert document.takes_away_since == document.sequence


def test_an_endpoint_without_certificates_needs_no_newer_format():
    subject = endpoint()
    _, document = planned(subject, observed(subject, held()))
    assert routing.needed_format(document) == 1
    assert [each.key_id for each in document.keys] == [KEY.key_id]


def test_the_status_counts_clients_with_certificates():
    result, _ = planned(OWN, observed(OWN, certified(), certified(name="other")))
    assert result.status.clients == 2
    said = next(each for each in result.status.conditions if each.type == "CredentialsReady")
    assert said.message == "2 clients hold a certificate"
    assert SETTINGS.trust_domain == "nightlatch.local"
