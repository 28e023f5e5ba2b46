"""InferenceClient.certificate: the Secret that plan_client() asks for, its renewal, and what status says of it."""

from dataclasses import replace
from datetime import timedelta

import pytest

from nightlatch import pki
from nightlatch.api.meta import API_VERSION, NamespacedName
from nightlatch.planning.client.certificate import client_leaf
from nightlatch.planning.client.plan import plan_client
from nightlatch.planning.inputs import KeyCoverage
from nightlatch.planning.plan import IssueLeaf, MergeSecret, Owner
from tests.unit.planning.scene import (
    ISSUING,
    NOW,
    PUBLIC,
    SETTINGS,
    client,
    endpoint,
    foreign,
    found,
    observed_client,
)

TLS = NamespacedName("search", "bot-certificate")
HOUR = timedelta(hours=1)
MTLS = {NamespacedName("search", "minilm"): endpoint(access={"mtls": {}})}


def caller(certificate=None, *, annotations=(), **spec):
    """A client with a certificate alone."""
    return client(certificate=certificate or {}, apiKey=None, annotations=annotations, **spec)


def plan(subject, observed, now=NOW):
    return plan_client(subject, observed, now, lambda size: b"n" * size)


def observed(**changes):
    return observed_client(**{"endpoints": MTLS} | changes)


def secret_of(subject, *, name=TLS, now=NOW, asked="", uid="uid-c", **data):
    """The Secret as the plan for this client would have made it."""
    wanted = client_leaf(SETTINGS, subject, Owner(subject.ref, uid, API_VERSION), name)
    material = pki.issue_leaf(ISSUING, wanted.request, now=now).secret_data()
    return found(replace(wanted, asked=asked).target, material | PUBLIC | data)


def condition(planned, kind):
    return next(each for each in planned.status.conditions if each.type == kind)


def test_a_client_with_a_certificate_gets_a_tls_secret_with_its_spiffe_identity_the_ca_and_the_addresses():
    (action,) = plan(caller(), observed()).apply
    assert isinstance(action, IssueLeaf)
    assert (action.target.key, action.target.type, action.replaces) == (TLS, "kubernetes.io/tls", None)
    assert action.request.identity == "spiffe://nightlatch.local/ns/search/ic/bot"
    assert (action.request.usage, action.request.dns_names, action.request.duration) == ("client", (), 24 * HOUR)
    assert action.beside == PUBLIC


def test_the_secret_has_the_annotations_by_which_tools_for_cert_manager_know_a_certificate():
    (action,) = plan(caller(), observed()).apply
    assert action.target.annotations["cert-manager.io/uri-sans"] == "spiffe://nightlatch.local/ns/search/ic/bot"
    assert action.target.annotations["cert-manager.io/issuer-name"] == "nightlatch"
    assert action.target.labels == {"nightlatch.dev/client": "bot"}


def test_a_revoked_certificate_is_replaced_and_not_ready_until_then():
    first = secret_of(caller())
    digest = pki.read_leaf(first.data).sha256
    planned = plan(caller({"revokedDigests": [digest]}), observed(tls=first))
    assert [type(action).__name__ for action in planned.apply] == ["IssueLeaf"]
    assert condition(planned, "CredentialsReady").reason == "CertificateRevoked"
    assert condition(planned, "Revoked").status == "True"
    assert plan(caller(), observed(tls=first)).status.certificate.sha256 == digest


def test_a_client_with_key_and_certificate_gets_two_secrets():
    planned = plan(client(certificate={}), observed())
    assert [action.target.key.name for action in planned.apply] == ["bot-key", "bot-certificate"]


def test_a_valid_certificate_is_kept_and_status_has_serial_end_and_next_renewal():
    subject = caller()
    secret = secret_of(subject)
    planned = plan(subject, observed(tls=secret))
    leaf = pki.read_leaf(secret.data)
    assert planned.apply == ()
    told = planned.status.certificate
    assert (told.serial, told.not_after) == (leaf.serial, "2026-03-02T12:00:00Z")
    assert told.identity == "spiffe://nightlatch.local/ns/search/ic/bot"
    assert told.not_after > told.renew_at > "2026-03-02T02:00:00Z"
    assert condition(planned, "CredentialsReady").status == "True"
    assert "bot-certificate" in condition(planned, "CredentialsReady").message
    assert planned.requeue_after == pytest.approx((pki.renew_at(leaf, 8 * HOUR) - NOW).total_seconds())
    assert "PRIVATE" not in repr(planned)


def test_it_is_renewed_before_its_end_over_exactly_the_secret_that_is_there():
    subject = caller({"duration": "10h", "renewBefore": "6h"})
    secret = secret_of(subject)
    assert plan(subject, observed(tls=secret), NOW + 3 * HOUR).apply == ()
    (action,) = plan(subject, observed(tls=secret), NOW + 4 * HOUR).apply
    assert (action.replaces, action.request.duration) == (secret.revision, 10 * HOUR)


def test_the_annotation_asks_for_a_new_certificate_once():
    subject = caller(annotations={"nightlatch.dev/renew": "monday"})
    (action,) = plan(subject, observed(tls=secret_of(subject))).apply
    assert isinstance(action, IssueLeaf)
    assert action.target.annotations["nightlatch.dev/renewed"] == "monday"
    assert plan(subject, observed(tls=secret_of(subject, asked="monday"))).apply == ()
    assert plan(caller(), observed(tls=secret_of(subject, asked="monday"))).apply == ()


@pytest.mark.parametrize("entry", ["ca.crt", "url", "endpoints.json"])
def test_what_lies_beside_the_certificate_is_kept_right_without_a_new_one(entry):
    subject = caller()
    secret = secret_of(subject, **{entry: b"old"})
    (action,) = plan(subject, observed(tls=secret)).apply
    assert isinstance(action, MergeSecret)
    assert (action.data[entry], action.replaces) == (PUBLIC[entry], secret.revision)
    assert not {"tls.crt", "tls.key"} & action.data.keys()


def test_another_name_moves_the_certificate_and_the_old_secret_goes_only_once_the_new_one_is_there():
    subject = caller({"secretName": "mine"})
    old = secret_of(subject)
    planned = plan(subject, observed(other_tls=(old,)))
    assert ([action.target.key.name for action in planned.apply], planned.delete) == (["mine"], ())
    new = secret_of(subject, name=NamespacedName("search", "mine"))
    planned = plan(subject, observed(tls=new, other_tls=(old,)))
    assert ([each.key for each in planned.delete], planned.apply) == ([TLS], ())


def test_without_the_field_the_secret_goes():
    planned = plan(client(), observed(other_tls=(secret_of(caller()),)))
    assert [each.key for each in planned.delete] == [TLS]
    assert planned.status.certificate is None


@pytest.mark.parametrize("broken", [{"certificate": {"duration": "nonsense"}}, {"rateLimit": {"requests": -1}}])
def test_a_spec_that_cannot_be_read_takes_no_certificate_away_and_it_is_still_renewed(broken):
    subject = client(**{"apiKey": None, "certificate": {}} | broken)
    assert subject.spec is None
    secret = secret_of(caller())
    assert plan(subject, observed(other_tls=(secret,))).delete == ()
    (action,) = plan(subject, observed(other_tls=(secret,)), NOW + 20 * HOUR).apply
    assert (action.target.key, action.replaces) == (TLS, secret.revision)
    assert (action.beside["url"], action.beside["ca.crt"]) == (PUBLIC["url"], PUBLIC["ca.crt"])


def test_a_spec_that_is_not_accepted_makes_no_secret():
    assert plan(caller({"issuerRef": {"name": "ca"}}), observed()).apply == ()


def test_a_secret_that_is_not_ours_is_never_overwritten_and_status_says_so():
    planned = plan(caller(), observed(tls=foreign(TLS)))
    assert (planned.apply, planned.delete) == ((), ())
    ready = condition(planned, "CredentialsReady")
    assert (ready.status, ready.reason) == ("False", "SecretConflict")
    assert "spec.certificate.secretName" in ready.message


def test_a_key_secret_is_not_taken_for_the_certificate():
    subject = client(certificate={"secretName": "bot-key"})
    planned = plan(subject, observed(secret=None, tls=None))
    assert len({action.target.key for action in planned.apply}) == 1
    planned = plan(subject, observed(tls=replace(secret_of(subject), role="api-key")))
    assert condition(planned, "CredentialsReady").reason == "SecretConflict"


def test_a_secret_of_an_earlier_client_of_the_name_is_deleted():
    planned = plan(caller(), observed(tls=secret_of(caller(), uid="earlier")))
    assert [each.key for each in planned.delete] == [TLS]


def test_a_client_with_a_certificate_alone_waits_for_no_key():
    planned = plan(caller(), observed(tls=secret_of(caller())))
    assert {each.type: each.status for each in planned.status.conditions} == {
        "Accepted": "True",
        "CredentialsReady": "True",
        "EndpointsGranted": "True",
        "Programmed": "True",
        "Revoked": "False",
        "Ready": "True",
    }


@pytest.mark.parametrize(
    ("access", "reason"),
    [({"apiKey": {}}, "CertificatesNotAccepted"), ({"mtls": {}}, "Granted"), ({"apiKey": {}, "mtls": {}}, "Granted")],
)
def test_an_endpoint_without_mtls_says_that_it_takes_no_certificates(access, reason):
    endpoints = {NamespacedName("search", "minilm"): endpoint(access=access)}
    planned = plan(caller(), observed(tls=secret_of(caller()), endpoints=endpoints))
    assert condition(planned, "EndpointsGranted").reason == reason


def test_before_there_is_a_ca_no_secret_is_made_and_status_says_why():
    planned = plan(caller(), observed(issuing_ca=None))
    assert planned.apply == ()
    assert condition(planned, "CredentialsReady").reason == "IssuingCAPending"


def test_an_expired_certificate_makes_the_client_not_ready_until_the_new_one_is_there():
    subject = caller()
    planned = plan(subject, observed(tls=secret_of(subject)), NOW + 25 * HOUR)
    assert condition(planned, "CredentialsReady").reason == "CertificateExpired"
    assert isinstance(planned.apply[0], IssueLeaf)


MINILM = NamespacedName("search", "minilm")


@pytest.mark.parametrize(
    ("coverage", "status", "reason"),
    [
        (KeyCoverage(), "True", "Programmed"),
        (KeyCoverage(missing=(MINILM,), in_force=False), "False", "CertificateNotProgrammed"),
        (KeyCoverage(behind=(MINILM,), in_force=False), "False", "CertificateNotProgrammed"),
    ],
)
def test_a_client_is_programmed_when_every_gateway_knows_its_identity(coverage, status, reason):
    subject = caller()
    planned = plan(subject, observed(tls=secret_of(subject), certificate_coverage=coverage))
    said = condition(planned, "Programmed")
    assert (said.status, said.reason) == (status, reason)
    assert (planned.requeue_after < 20) == (status == "False")


def test_a_renewal_does_not_make_a_client_wait_for_gateways_again():
    subject = caller()
    before = plan(subject, observed(tls=secret_of(subject))).status
    known = replace(subject, status=before)
    behind = KeyCoverage(behind=(MINILM,), in_force=False)
    planned = plan(known, observed(tls=secret_of(subject), certificate_coverage=behind), NOW + 60 * HOUR / 60)
    assert condition(planned if planned.status else replace(planned, status=before), "Programmed").status == "True"
