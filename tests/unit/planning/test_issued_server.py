"""InferenceEndpoint.tls.issuerRef: which certificate callers see while cert-manager makes one, or does not."""

from dataclasses import replace
from datetime import timedelta

import pytest

from nightlatch.api.meta import API_VERSION, NamespacedName
from nightlatch.planning.endpoint.certificates import server_leaf, serving_leaf, upstream_leaf
from nightlatch.planning.endpoint.plan import owner_of, plan_endpoint
from nightlatch.planning.inputs import Observed
from nightlatch.planning.parsed import read_endpoint
from nightlatch.planning.plan import DeleteCertificate, DeleteSecret, EnsureCertificate, IssueLeaf, PutSecret
from nightlatch.wire import route_document as routing
from tests.unit.planning.cert_manager import CLUSTER, NAMED, certificate_of, filled, there
from tests.unit.planning.scene import ISSUING_CA, NOW, found, leaf_secret

HOUR = timedelta(hours=1)
SERVING = NamespacedName("search", "minilm-serving-cert")
HOSTS = ("minilm.search.svc", "minilm.search", "minilm.search.svc.cluster.local")


def subject(tls=None, *, settings=CLUSTER, annotations=(), **spec):
    body = {"model": {"source": {"pvc": {"claimName": "models"}}}, "access": {"apiKey": {}}}
    raw = {
        "apiVersion": API_VERSION,
        "kind": "InferenceEndpoint",
        "metadata": {"name": "minilm", "namespace": "search", "uid": "uid-e", "annotations": dict(annotations)},
        "spec": body | {"tls": NAMED if tls is None else tls} | spec,
    }
    return read_endpoint(raw, settings)


OWNER = owner_of(subject())
WANTED = serving_leaf(CLUSTER, NamespacedName("search", "minilm"), OWNER, subject().spec.tls)
OURS = server_leaf(CLUSTER, NamespacedName("search", "minilm"), OWNER, subject({}).spec.tls)


def plan(endpoint, now=NOW, **changes):
    upstream = leaf_secret(upstream_leaf(CLUSTER, endpoint.key, OWNER), now=now)
    observed = Observed(CLUSTER, ISSUING_CA, upstream_tls=upstream, cert_manager=there())
    return plan_endpoint(endpoint, replace(observed, **changes), now)


def document(planned):
    put = next((each for each in planned.apply if isinstance(each, PutSecret)), None)
    return routing.decode(put.data) if put else None


def stored(planned):
    """The route document as it is read back."""
    put = next(each for each in planned.apply if isinstance(each, PutSecret))
    return found(put.target, put.data)


def shown(planned):
    return document(planned).server_certificate.encode()


def condition(planned, kind="CertificatesReady"):
    return next(each for each in planned.status.conditions if each.type == kind)


def of(planned, kind):
    return [each for each in planned.apply if isinstance(each, kind)]


def test_cert_manager_is_asked_for_the_endpoints_hosts_in_the_endpoints_namespace():
    planned = plan(subject())
    (action,) = of(planned, EnsureCertificate)
    assert (action.target.key, action.target.role) == (SERVING, "server-tls")
    assert (action.request.dns_names, action.request.identity, action.request.usage) == (HOSTS, "", "server")
    assert of(planned, IssueLeaf) == []
    assert (condition(planned).status, condition(planned).reason) == ("False", "CertificateNotIssued")
    assert condition(planned, "Programmed").reason == "ConfigurationPending"


def test_callers_see_what_cert_manager_issued_and_each_renewal_of_it():
    first, second = filled(WANTED), filled(WANTED)
    view = there(certificate_of(WANTED))
    planned = plan(subject(), serving_cert=first, cert_manager=view)
    assert shown(planned) == first.data["tls.crt"]
    assert (condition(planned).status, condition(planned).reason) == ("True", "Issued")
    (told,) = [each for each in planned.status.certificates if each.role == "server-tls"]
    assert told.renew_at == "2026-03-02T04:00:00Z"
    renewed = plan(subject(), serving_cert=second, cert_manager=view, document=stored(planned))
    assert shown(renewed) == second.data["tls.crt"]
    assert document(plan(subject(), serving_cert=first, cert_manager=view, document=stored(planned))) is None
    assert "PRIVATE" not in repr(planned.apply)


@pytest.mark.parametrize("serving", [None, "other names"])
def test_until_it_can_be_used_callers_see_ours_which_is_renewed(serving):
    ours = leaf_secret(OURS)
    theirs = serving and filled(WANTED, request=replace(WANTED.request, dns_names=("other.example",)))
    at = {"server_tls": ours, "serving_cert": theirs, "cert_manager": there(certificate_of(WANTED))}
    planned = plan(subject(), **at)
    assert shown(planned) == ours.data["tls.crt"]
    assert (condition(planned).status, planned.delete) == ("False", ())
    assert condition(planned).message.endswith("the certificate before stays in use")
    due = plan(subject(), NOW + 20 * HOUR, **at)
    assert [each.target.key for each in of(due, IssueLeaf) if each.target.role == "server-tls"] == [OURS.key]
    assert due.requeue_after == 0.0


def test_ours_goes_once_theirs_can_be_used_and_theirs_once_ours_can():
    ours, theirs, view = leaf_secret(OURS), filled(WANTED), certificate_of(WANTED)
    both = {"server_tls": ours, "serving_cert": theirs, "cert_manager": there(view)}
    planned = plan(subject(), **both)
    assert (shown(planned), planned.delete) == (theirs.data["tls.crt"], (DeleteSecret(OURS.key, ours.revision),))
    back = plan(subject({}), **both)
    assert (shown(back), back.delete) == (ours.data["tls.crt"], (DeleteSecret(SERVING, theirs.revision),))
    assert of(back, DeleteCertificate) == [DeleteCertificate(SERVING, "uid-cert")]
    waiting = plan(subject({}), serving_cert=theirs, cert_manager=there(view))
    assert (of(waiting, DeleteCertificate), waiting.delete) == ([], ())
    assert [each.target.key for each in of(waiting, IssueLeaf)] == [OURS.key]


def test_something_unusable_leaves_the_last_good_certificate_in_the_document():
    good = filled(WANTED)
    view = there(certificate_of(WANTED))
    before = stored(plan(subject(), serving_cert=good, cert_manager=view))
    for broken in (
        filled(WANTED, request=replace(WANTED.request, dns_names=HOSTS[:1])),
        filled(WANTED, request=replace(WANTED.request, usage="client")),
        filled(WANTED, **{"ca.crt": ISSUING_CA.trust_pem}),
        None,
    ):
        planned = plan(subject(), serving_cert=broken, cert_manager=view, document=before)
        assert document(planned) is None
        assert condition(planned).status == "False"
        assert condition(planned).message.endswith("the certificate before stays in use")


def test_a_rejected_spec_keeps_what_cert_manager_made():
    theirs, view = filled(WANTED), there(certificate_of(WANTED))
    closed = replace(CLUSTER, allowed=replace(CLUSTER.allowed, cert_manager=False))
    before = stored(plan(subject(), serving_cert=theirs, cert_manager=view))
    rejected = subject(settings=closed)
    assert "certManager.enabled" in rejected.rejection.message
    renewed = filled(WANTED)
    planned = plan(rejected, serving_cert=renewed, cert_manager=view, document=before)
    assert shown(planned) == renewed.data["tls.crt"]
    assert (of(planned, EnsureCertificate), of(planned, IssueLeaf), planned.delete) == ([], [], ())
    assert condition(planned).status == "True"


def test_the_annotation_asks_cert_manager_for_this_certificate_and_us_for_the_other():
    named = subject(annotations={"nightlatch.dev/renew": "monday"})
    planned = plan(named, serving_cert=filled(WANTED), cert_manager=there(certificate_of(WANTED)))
    (asked,) = of(planned, EnsureCertificate)
    assert asked.renew
    assert [each.target.role for each in of(planned, IssueLeaf)] == ["upstream-tls"]


def test_without_cert_manager_it_is_looked_for_again():
    planned = plan(subject(), cert_manager=replace(there(), available=False))
    assert condition(planned).reason == "CertManagerMissing"
    assert planned.requeue_after == pytest.approx(10)
