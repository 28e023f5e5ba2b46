"""The Certificate object, and what planning reads from one."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from nightlatch.api.meta import NamespacedName
from nightlatch.planning.certificates import view_certificate
from nightlatch.planning.objects.certificate import certificate
from tests.unit.planning.test_issued_client import caller, plan


def made():
    (action,) = plan(caller()).apply
    return action


def test_the_certificate_says_what_ours_would_say_and_labels_its_secret():
    found = certificate(made())
    assert found["metadata"]["name"] == found["spec"]["secretName"] == "bot-certificate"
    (owner,) = found["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["name"], owner["uid"], owner["controller"]) == (
        "InferenceClient",
        "bot",
        "uid-c",
        True,
    )
    spec = found["spec"]
    assert spec["issuerRef"] == {"name": "corp", "kind": "ClusterIssuer", "group": "cert-manager.io"}
    assert spec["uris"] == ["spiffe://nightlatch.local/ns/search/ic/bot"]
    assert (spec["duration"], spec["renewBefore"]) == ("24h0m0s", "8h0m0s")
    assert spec["privateKey"] == {"rotationPolicy": "Always", "algorithm": "ECDSA", "size": 256, "encoding": "PKCS8"}
    assert spec["usages"] == ["digital signature", "client auth"]
    assert {"dnsNames", "commonName", "isCA"}.isdisjoint(spec)
    assert spec["secretTemplate"] == {
        "labels": {
            "nightlatch.dev/client": "bot",
            "nightlatch.dev/role": "client-tls",
            "nightlatch.dev/owner-uid": "uid-c",
        },
        "annotations": {"nightlatch.dev/owner": "InferenceClient/search/bot"},
    }
    assert spec["secretTemplate"]["labels"].items() <= found["metadata"]["labels"].items()


def raw(*conditions, **status):
    return {
        **certificate(replace(made(), annotations={"nightlatch.dev/renewed": "monday"})),
        "status": {"conditions": list(conditions), **status},
    }


def test_a_certificate_is_read_with_what_cert_manager_says_of_it():
    ready = {"type": "Ready", "status": "True", "reason": "Ready", "message": "up to date"}
    found = view_certificate(raw(ready, renewalTime="2026-03-02T04:00:00Z"))
    assert (found.key, found.owner_uid) == (NamespacedName("search", "bot-certificate"), "uid-c")
    assert found.owner == "InferenceClient/search/bot"
    assert (found.ready, found.issuing, found.failed, found.message) == (True, False, False, "up to date")
    assert (found.renew_at, found.renewed) == (datetime(2026, 3, 2, 4, tzinfo=UTC), "monday")
    assert view_certificate(raw(ready, {"type": "Issuing", "status": "True"})).issuing


@pytest.mark.parametrize(("reason", "failed"), [("Failed", True), ("Denied", True), ("Issued", False)])
def test_a_request_that_ended_without_a_certificate_is_a_failure(reason, failed):
    ended = {"type": "Issuing", "status": "False", "reason": reason, "message": "why"}
    found = view_certificate(raw({"type": "Ready", "status": "True", "message": "up to date"}, ended))
    assert (found.failed, found.message) == (failed, "why" if failed else "up to date")


def test_long_messages_are_cut():
    text = "the issuer said:\n" + "x" * 1000
    failed = {"type": "Issuing", "status": "False", "reason": "Failed", "message": text}
    found = view_certificate(raw({"type": "Ready", "status": "True", "message": "up to date"}, failed))
    assert found.failed
    assert found.message.startswith("the issuer said: xxx")
    assert len(found.message) == 401


@pytest.mark.parametrize("time", [None, 7, "soon", "2026-03-02T04:00:00"])
def test_what_somebody_else_wrote_into_it_is_no_defect(time):
    found = view_certificate({"metadata": {"name": "a", "namespace": "b"}, "status": {"renewalTime": time}})
    assert (found.renew_at, found.owner_uid, found.message) == (None, "", "")
