"""InferenceClient.certificate.issuerRef: what cert-manager is asked for, and what status says of what it makes."""

from dataclasses import replace
from datetime import timedelta

import pytest

from nightlatch import pki
from nightlatch.api.meta import API_VERSION, NamespacedName
from nightlatch.pki.material import to_pem
from nightlatch.planning.client.certificate import client_leaf
from nightlatch.planning.client.plan import plan_client
from nightlatch.planning.inputs import NO_CERT_MANAGER
from nightlatch.planning.parsed import read_client
from nightlatch.planning.plan import DeleteCertificate, DeleteSecret, EnsureCertificate, IssueLeaf, MergeSecret, Owner
from tests.unit.planning.cert_manager import CLUSTER, CORP, NAMED, certificate_of, filled, there
from tests.unit.planning.scene import ISSUING, ISSUING_CA, NOW, endpoint, found, observed_client

HOUR = timedelta(hours=1)
TLS = NamespacedName("search", "bot-certificate")
MINILM = NamespacedName("search", "minilm")
TRUSTING = {MINILM: endpoint(access={"mtls": {"trust": [{"secretName": "corp"}]}})}
BESIDE = {
    "url": b"https://minilm.search.svc",
    "endpoints.json": b'{\n  "search/minilm": {\n    "url": "https://minilm.search.svc"\n  }\n}\n',
    "server-ca.crt": ISSUING.trust_pem,
}


def caller(certificate=None, *, annotations=(), settings=CLUSTER, **spec):
    raw = {
        "apiVersion": API_VERSION,
        "kind": "InferenceClient",
        "metadata": {"name": "bot", "namespace": "search", "uid": "uid-c", "annotations": dict(annotations)},
        "spec": {"endpoints": [{"name": "minilm"}], "certificate": NAMED if certificate is None else certificate}
        | spec,
    }
    return read_client(raw, {}, settings)


def wanted_of(subject, key=TLS):
    return client_leaf(CLUSTER, subject, Owner(subject.ref, "uid-c", API_VERSION), key)


def plan(subject, now=NOW, **changes):
    observed = observed_client(**{"settings": CLUSTER, "endpoints": TRUSTING, "cert_manager": there()} | changes)
    planned = plan_client(subject, observed, now, lambda size: b"n" * size)
    return replace(planned, apply=tuple(each for each in planned.apply if type(each).__name__ != "PublishTrust"))


def condition(planned, kind="CredentialsReady"):
    return next(each for each in planned.status.conditions if each.type == kind)


def test_cert_manager_is_asked_for_a_certificate_with_the_clients_identity_and_our_labels_on_its_secret():
    (action,) = plan(caller()).apply
    assert isinstance(action, EnsureCertificate)
    assert (action.target.key, action.target.role, action.target.labels) == (
        TLS,
        "client-tls",
        {"nightlatch.dev/client": "bot"},
    )
    assert action.target.annotations == {}
    assert action.request.identity == "spiffe://nightlatch.local/ns/search/ic/bot"
    assert (action.request.usage, action.request.dns_names, action.request.duration) == ("client", (), 24 * HOUR)
    assert (action.issuer.name, action.issuer.kind, action.issuer.group) == ("corp", "ClusterIssuer", "cert-manager.io")
    assert (action.renew_before, action.renew) == (8 * HOUR, False)


def test_what_cert_manager_issued_is_used_and_status_has_its_renewal_time():
    subject = caller()
    secret = filled(wanted_of(subject), **BESIDE)
    planned = plan(subject, tls=secret, cert_manager=there(certificate_of(wanted_of(subject))))
    leaf = pki.read_leaf(secret.data)
    assert [type(each) for each in planned.apply] == [EnsureCertificate]
    assert (condition(planned).status, condition(planned).reason) == ("True", "Issued")
    told = planned.status.certificate
    assert (told.serial, told.sha256, told.renew_at) == (leaf.serial, leaf.sha256, "2026-03-02T04:00:00Z")
    # It is looked at again when cert-manager is late, and nothing is due before.
    assert planned.requeue_after == pytest.approx((16 + 8 / 5) * 3600)
    assert "PRIVATE" not in repr(planned)


def test_the_addresses_and_the_endpoints_cas_are_put_beside_it_without_an_owner_of_the_secret():
    subject = caller()
    secret = filled(wanted_of(subject))
    ca = CORP.trust_pem
    planned = plan(subject, tls=secret, server_cas={MINILM: ca}, cert_manager=there(certificate_of(wanted_of(subject))))
    (merge,) = [each for each in planned.apply if isinstance(each, MergeSecret)]
    assert merge.data == {**BESIDE, "server-ca.crt": ISSUING.trust_pem + ca}
    assert (merge.replaces, merge.target.owner.api_version, merge.target.annotations) == (secret.revision, "", {})
    assert merge.target.key == TLS


def test_an_api_keys_secret_brings_the_endpoints_cas_along():
    planned = plan(caller({}, apiKey={}), server_cas={MINILM: CORP.trust_pem, NamespacedName("a", "b"): b"other"})
    assert planned.apply[0].data["ca.crt"] == ISSUING.trust_pem + CORP.trust_pem


@pytest.mark.parametrize(
    ("cert_manager", "reason", "says"),
    [
        (NO_CERT_MANAGER, "CertManagerMissing", "install it"),
        (there(refusal="the webhook said no"), "CertificateRefused", "the webhook said no"),
        (there(), "CertificateNotIssued", "is being created"),
    ],
)
def test_why_there_is_no_certificate_is_said(cert_manager, reason, says):
    planned = plan(caller(), cert_manager=cert_manager)
    assert (condition(planned).status, condition(planned).reason) == ("False", reason)
    assert says in condition(planned).message
    assert [type(each) for each in planned.apply] == [EnsureCertificate] * cert_manager.available
    assert planned.status.certificate is None


def test_what_cert_manager_says_of_it_is_carried_over():
    subject = caller()
    view = certificate_of(
        wanted_of(subject), ready=False, renew_at=None, message="Issuing certificate as Secret is new"
    )
    planned = plan(subject, cert_manager=there(view))
    assert condition(planned).message.startswith(
        "ClusterIssuer corp has issued no certificate yet: Issuing certificate as Secret is new (Certificate"
    )


def test_without_cert_manager_it_is_looked_for_again_and_what_was_issued_stays_in_use():
    subject = caller()
    planned = plan(subject, tls=filled(wanted_of(subject), **BESIDE), cert_manager=NO_CERT_MANAGER)
    assert condition(planned).status == "True"
    assert planned.requeue_after == pytest.approx(10)
    assert planned.apply == planned.delete == ()


def test_a_certificate_that_is_not_renewed_in_time_is_still_used_and_somebody_hears_of_it():
    subject = caller()
    secret = filled(wanted_of(subject), **BESIDE)
    view = certificate_of(wanted_of(subject))
    at = {"tls": secret, "cert_manager": there(view)}
    assert condition(plan(subject, NOW + 17 * HOUR, **at)).reason == "Issued"
    late = condition(plan(subject, NOW + 18 * HOUR, **at))
    assert (late.status, late.reason) == ("True", "CertificateNotRenewed")
    failed = there(replace(view, failed=True, message="the CA is away"))
    told = condition(plan(subject, NOW + 16 * HOUR, tls=secret, cert_manager=failed))
    assert (told.reason, "the CA is away" in told.message) == ("CertificateNotRenewed", True)
    ended = plan(subject, NOW + 25 * HOUR, tls=secret, cert_manager=failed)
    assert (condition(ended).status, condition(ended).reason) == ("False", "CertificateExpired")
    assert ended.requeue_after is None


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"identity": "spiffe://nightlatch.local/ns/search/ic/other"}, "CertificateWrongIdentity"),
        ({"usage": "server"}, "CertificateWrongIdentity"),
    ],
)
def test_a_certificate_that_says_something_else_is_not_used(change, reason):
    subject = caller()
    wanted = wanted_of(subject)
    secret = filled(wanted, request=replace(wanted.request, **change), **BESIDE)
    found_ = condition(plan(subject, tls=secret, cert_manager=there(certificate_of(wanted))))
    assert (found_.status, found_.reason) == ("False", reason)
    assert "correct the issuer" in found_.message


def test_a_certificate_of_another_ca_than_its_own_says_or_with_another_key_is_not_used():
    subject = caller()
    wanted = wanted_of(subject)
    other = filled(wanted)
    view = there(certificate_of(wanted))
    for entry, value, reason in (
        ("ca.crt", ISSUING.trust_pem, "CertificateUnverified"),
        ("ca.crt", b"nonsense", "CertificateUnverified"),
        (
            "ca.crt",
            other.data["tls.crt"].partition(b"-----END CERTIFICATE-----\n")[0] + b"-----END CERTIFICATE-----\n",
            "CertificateUnverified",
        ),
        ("tls.key", other.data["tls.key"], "CertificateKeyMismatch"),
        ("tls.crt", b"nonsense", "CertificateUnreadable"),
        ("tls.crt", CORP.trust_pem, "CertificateKeyMismatch"),
    ):
        planned = plan(subject, tls=filled(wanted, **BESIDE, **{entry: value}), cert_manager=view)
        assert (condition(planned).status, condition(planned).reason) == ("False", reason), entry
        assert "PRIVATE" not in condition(planned).message


def test_the_certificate_of_an_issuer_before_is_used_until_the_next_one_issues():
    subject = caller()
    secret = replace(filled(wanted_of(subject), **BESIDE), issuer="Issuer before")
    view = certificate_of(wanted_of(subject), ready=False, message="no such issuer")
    told = condition(plan(subject, tls=secret, cert_manager=there(view)))
    assert (told.status, told.reason) == ("True", "CertificateNotRenewed")
    assert "ClusterIssuer corp has not renewed the certificate of Issuer before" in told.message
    assert "no such issuer" in told.message
    same = replace(secret, issuer="ClusterIssuer corp")
    assert condition(plan(subject, tls=same, cert_manager=there(view))).reason == "Issued"


def test_an_issuer_without_a_ca_of_its_own_is_believed():
    """ACME writes no ca.crt, because everybody knows its CA."""
    subject = caller()
    secret = filled(wanted_of(subject), **BESIDE)
    secret = replace(secret, data={name: value for name, value in secret.data.items() if name != "ca.crt"})
    assert condition(plan(subject, tls=secret, cert_manager=there(certificate_of(wanted_of(subject))))).status == "True"


def test_the_annotation_asks_cert_manager_once():
    subject = caller(annotations={"nightlatch.dev/renew": "monday"})
    assert plan(subject).apply[0].annotations == {"nightlatch.dev/renewed": "monday"}
    secret = filled(wanted_of(subject), **BESIDE)

    def asked(**view):
        (action,) = plan(subject, tls=secret, cert_manager=there(certificate_of(wanted_of(subject), **view))).apply
        return action.renew, action.annotations

    assert asked() == (True, {"nightlatch.dev/renewed": "monday"})
    assert asked(renewed="monday") == (False, {"nightlatch.dev/renewed": "monday"})
    # One that is being issued is new enough.
    assert asked(issuing=True) == (False, {"nightlatch.dev/renewed": "monday"})
    assert plan(caller(), tls=secret, cert_manager=there(certificate_of(wanted_of(subject), renewed="monday"))).apply[
        0
    ].annotations == {"nightlatch.dev/renewed": "monday"}


def test_a_revoked_certificate_is_replaced_once():
    first = filled(wanted_of(caller()), **BESIDE)
    digest = pki.read_leaf(first.data).sha256
    subject = caller(NAMED | {"revokedDigests": [digest]})
    wanted = wanted_of(subject)
    planned = plan(subject, tls=first, cert_manager=there(certificate_of(wanted)))
    assert (planned.apply[0].renew, planned.apply[0].annotations) == (True, {"nightlatch.dev/replaced": digest})
    assert condition(planned).reason == "CertificateRevoked"
    again = plan(subject, tls=first, cert_manager=there(certificate_of(wanted, replaced=digest)))
    assert not again.apply[0].renew
    after = plan(subject, tls=filled(wanted, **BESIDE), cert_manager=there(certificate_of(wanted, replaced=digest)))
    assert (after.apply[0].renew, condition(after).reason) == (False, "Issued")


def test_our_own_certificate_stays_until_cert_manager_writes_over_it():
    subject = caller()
    ours = found(wanted_of(subject).target, pki.issue_leaf(ISSUING, wanted_of(subject).request, now=NOW).secret_data())
    planned = plan(subject, tls=ours)
    assert [type(each) for each in planned.apply] == [EnsureCertificate]
    assert (condition(planned).reason, planned.delete) == ("CertificateNotIssued", ())


def test_without_the_reference_the_certificate_goes_before_ours_is_written():
    theirs = filled(wanted_of(caller()), **BESIDE)
    view = certificate_of(wanted_of(caller()))
    planned = plan(caller({}), tls=theirs, cert_manager=there(view))
    assert [type(each) for each in planned.apply] == [DeleteCertificate, IssueLeaf]
    assert planned.apply[0] == DeleteCertificate(TLS, "uid-cert")
    assert planned.apply[1].replaces == theirs.revision
    # And with no certificate at all, both go.
    none = caller(apiKey={})
    none = replace(none, spec=none.spec.model_copy(update={"certificate": None}))
    planned = plan(none, other_tls=(theirs,), cert_manager=there(view))
    assert DeleteCertificate(TLS, "uid-cert") in planned.apply
    assert DeleteSecret(TLS, theirs.revision) in planned.delete


def test_another_name_moves_it_and_the_certificate_before_goes_once_there_is_the_new_one():
    subject = caller(NAMED | {"secretName": "mine"})
    mine = NamespacedName("search", "mine")
    old, new = certificate_of(wanted_of(subject)), certificate_of(wanted_of(subject, mine), uid="uid-new")
    earlier = filled(wanted_of(subject), **BESIDE)
    waiting = plan(subject, other_tls=(earlier,), cert_manager=there(old))
    assert ([type(each) for each in waiting.apply], waiting.delete) == ([EnsureCertificate], ())
    moved = plan(
        subject,
        tls=filled(wanted_of(subject, mine), **BESIDE),
        other_tls=(earlier,),
        cert_manager=there(old, new),
    )
    assert DeleteCertificate(TLS, "uid-cert") in moved.apply
    assert DeleteCertificate(mine, "uid-new") not in moved.apply
    assert moved.delete == (DeleteSecret(TLS, earlier.revision),)


def test_a_secret_that_is_not_ours_is_left_alone_and_nothing_is_asked_for():
    subject = caller()
    foreign = replace(filled(wanted_of(subject)), owner_uid="", role="", owner="")
    planned = plan(subject, tls=foreign)
    assert (planned.apply, planned.delete) == ((), ())
    assert condition(planned).reason == "SecretConflict"


def test_a_rejected_spec_keeps_what_cert_manager_made():
    theirs = filled(wanted_of(caller()), **BESIDE)
    subject = caller(settings=replace(CLUSTER, allowed=replace(CLUSTER.allowed, cert_manager=False)))
    assert "certManager.enabled" in subject.rejection.message
    planned = plan(subject, tls=theirs, cert_manager=there(certificate_of(wanted_of(subject))))
    assert (planned.apply, planned.delete) == ((), ())
    assert condition(planned).status == "True"
    assert condition(planned, "Accepted").reason == "NotAllowedByAdministrator"


def test_it_does_not_wait_for_our_own_ca():
    subject = caller()
    planned = plan(subject, tls=filled(wanted_of(subject), **BESIDE), issuing_ca=None)
    assert condition(planned).reason != "IssuingCAPending"
    assert ISSUING_CA.key_id != pki.read_leaf(filled(wanted_of(subject)).data).issuer_key_id


OTHER = NamespacedName("search", "other")


@pytest.mark.parametrize(
    ("trusted", "refusing"),
    [
        (CORP.trust_pem, ""),
        (ISSUING.trust_pem + CORP.trust_pem, ""),
        # The issuing CA alone, which signed it, without the root above.
        (to_pem(CORP.certificate), ""),
        (ISSUING.trust_pem, "search/minilm, search/other"),
        (None, ""),
    ],
)
def test_an_endpoint_that_trusts_none_of_the_cas_that_signed_it_is_named(trusted, refusing):
    subject = caller(endpoints=[{"name": "minilm"}, {"name": "other"}])
    access = {"mtls": {"trust": [{"secretName": "corp"}]}}
    endpoints = {each: endpoint(name=each.name, access=access) for each in (MINILM, OTHER)}
    cas = {} if trusted is None else dict.fromkeys(endpoints, trusted.decode())
    view = there(certificate_of(wanted_of(subject)))
    secret = filled(wanted_of(subject), **BESIDE)
    planned = plan(subject, tls=secret, endpoints=endpoints, client_cas=cas, cert_manager=view)
    told = condition(planned, "EndpointsGranted")
    assert (told.status, told.reason) == (("False", "CertificateNotTrusted") if refusing else ("True", "Granted"))
    if refusing:
        assert f"certificate at {refusing}, where" in told.message
        assert condition(planned, "Ready").status == "False"


def test_where_no_certificate_is_in_use_nobody_is_said_to_distrust_it():
    subject = caller()
    cas = {MINILM: ISSUING.trust_pem.decode()}
    assert condition(plan(subject, client_cas=cas), "EndpointsGranted").reason == "Granted"
    # Our own certificate counts where our own CA is trusted, and such an endpoint refuses it by its spec.
    assert condition(plan(caller({}), client_cas=cas), "EndpointsGranted").reason == "CertificatesNotAccepted"
