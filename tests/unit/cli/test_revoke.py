"""What `revoke` says and writes, and when every gateway has confirmed it."""

import pytest

from nightlatch.cli.place_cluster import FIELD_MANAGER, added_before, revocation
from nightlatch.cli.revoke import (
    announced_certificates,
    announcement,
    digest_of,
    digests_to_write,
    judge,
    named_digests,
    refuse_what_is_no_id,
    to_write,
)
from nightlatch.cli.wait import Done, Impossible, Pending
from nightlatch.embedded.errors import UserError
from nightlatch.planning.parsed import read_client
from tests.unit.cli.keyed import LATER, NEW, NOW, OLD, client, condition, key, raw_client

WHOLE_KEY = "nl_aaaaaaaaaaaa_" + "s" * 43 + "_123456"


def test_the_only_key_gets_a_successor_and_that_is_said():
    said = announcement(client(key()), [OLD], NOW)
    assert said[0] == f"{OLD} (Current) is refused from now on"
    assert "gets a new key, in Secret bot-key" in said[1]


def test_an_expired_client_is_not_promised_a_successor():
    said = announcement(client(key(), apiKey={"expiresAt": "2026-03-01T11:00:00Z"}), [OLD], NOW)
    assert "gets no new key" in said[-1]


def test_the_end_of_a_previous_key_concerns_nobody_who_has_the_current_one():
    said = announcement(client(key(NEW), key(OLD, "Previous", expiresAt=60)), [OLD], NOW)
    assert said == [f"{OLD} (Previous) is refused from now on", f"callers with {NEW} notice nothing"]


def test_what_is_refused_already_is_not_written_again():
    subject = client(key(NEW), key(OLD, "Revoked", expiresAt=-60), key(LATER), apiKey={"revokedKeyIds": [LATER]})
    assert to_write(subject, [OLD, LATER, NEW]) == (NEW,)
    said = announcement(subject, [OLD, LATER], NOW)
    assert said == [
        f"{OLD} is refused already, since 2026-03-01T11:59:00Z",
        f"{LATER} is in spec.apiKey.revokedKeyIds already",
    ]


@pytest.mark.parametrize("given", [WHOLE_KEY, "aaaaaaaaaaa", "aaaaaaaaaaaa ", "", "s" * 43])
def test_what_is_no_id_is_refused_and_never_repeated(given):
    with pytest.raises(UserError) as refused:
        refuse_what_is_no_id([given])
    said = f"{refused.value.message} {refused.value.hint}"
    assert "--key takes the id" in said
    assert "aaaaaaaaaaa" not in said
    assert "sss" not in said


def test_waiting_names_the_gateways_and_ends_when_all_have_confirmed_this_generation():
    def state(status, reason, message, generation=2):
        return raw_client(key(), conditions=[condition("Revoked", status, reason, message, generation)])

    assert isinstance(judge(raw_client(key()), 2), Pending)
    assert isinstance(judge(state("True", "Revoked", "every gateway refuses x", generation=1), 2), Pending)
    waits = judge(state("False", "WaitingForGateways", "not confirmed yet by gateway-1"), 2)
    assert waits == Pending("not confirmed yet by gateway-1")
    assert judge(state("True", "Revoked", "every gateway refuses x"), 2) == Done("every gateway refuses x")
    assert judge(state("True", "Revoked", "every gateway refuses x", generation=3), 2) == Done(
        "every gateway refuses x"
    )


def test_another_id_in_the_list_that_the_client_never_had_ends_the_waiting():
    found = judge(raw_client(conditions=[condition("Revoked", "False", "UnknownKeyId", "names zzz")]), 1)
    assert isinstance(found, Impossible)
    assert "names zzz" in found.text


def with_managers(*entries):
    subject = raw_client(key(), apiKey={"revokedKeyIds": [OLD, NEW]})
    subject["metadata"]["managedFields"] = [
        {
            "manager": manager,
            "operation": operation,
            "fieldsV1": {
                "f:spec": {"f:apiKey": {"f:revokedKeyIds": {f'v:"{key_id}"': {} for key_id in ids} | {".": {}}}}
            },
        }
        for manager, operation, ids in entries
    ]
    return subject


def test_on_a_cluster_the_cli_applies_what_it_added_before_and_nothing_of_another_writer():
    subject = with_managers(("gitops", "Apply", [OLD]), (FIELD_MANAGER, "Apply", [NEW]))
    assert added_before(subject, "apiKey", "revokedKeyIds") == (NEW,)
    body = revocation(subject, [LATER, NEW], [])
    assert body["spec"] == {"apiKey": {"revokedKeyIds": [NEW, LATER]}}
    assert body["metadata"]["resourceVersion"] == "7"
    assert body["metadata"]["uid"] == "uid"


def test_what_was_written_by_other_means_under_our_name_is_not_applied():
    for subject in (with_managers((FIELD_MANAGER, "Update", [OLD])), raw_client(key())):
        assert added_before(subject, "apiKey", "revokedKeyIds") == ()


def test_a_certificate_that_is_revoked_keeps_the_keys_and_certificates_that_the_cli_revoked_before():
    subject = with_managers((FIELD_MANAGER, "Apply", [OLD]))
    fields = subject["metadata"]["managedFields"][0]["fieldsV1"]["f:spec"]
    fields["f:certificate"] = {"f:revokedDigests": {f'v:"{OLDEST}"': {}}}
    body = revocation(subject, [], [DIGEST])
    assert body["spec"] == {
        "apiKey": {"revokedKeyIds": [OLD]},
        "certificate": {"revokedDigests": [OLDEST, DIGEST]},
    }
    assert revocation(raw_client(key()), [], [DIGEST])["spec"] == {"certificate": {"revokedDigests": [DIGEST]}}


DIGEST, OLDEST = "ab" * 32, "cd" * 32


def certified(sha256=DIGEST, **certificate):
    raw = raw_client(apiKey=None, certificate=certificate)
    raw["status"]["certificate"] = {
        "serial": "0a",
        "notAfter": "2026-03-02T00:00:00Z",
        "renewAt": "2026-03-01T16:00:00Z",
        "identity": "spiffe://td/ns/search/ic/bot",
        "sha256": sha256,
    }
    return read_client(raw)


@pytest.mark.parametrize("given", [DIGEST, DIGEST.upper(), ":".join(["AB"] * 32), "current"])
def test_a_certificate_is_named_by_its_digest_however_it_is_written(given):
    assert named_digests(certified(), [digest_of(given)]) == (DIGEST,)


@pytest.mark.parametrize("given", [WHOLE_KEY, DIGEST[:-1], DIGEST + "a", "", "-----BEGIN PRIVATE KEY-----"])
def test_what_is_no_digest_is_refused_and_never_repeated(given):
    with pytest.raises(UserError) as refused:
        digest_of(given)
    said = f"{refused.value.message} {refused.value.hint}"
    assert "64 hex digits" in said
    assert not given or given not in said


def test_a_client_without_a_certificate_has_none_to_revoke():
    with pytest.raises(UserError, match="has no certificate; nothing was revoked"):
        named_digests(client(key()), [DIGEST])
    with pytest.raises(UserError, match="has no certificate yet"):
        named_digests(certified(sha256=""), ["current"])


def test_the_newest_certificate_gets_a_successor_and_an_older_one_concerns_nobody_who_has_the_newest():
    assert announced_certificates(certified(), [DIGEST]) == [
        f"certificate {DIGEST} is refused from now on",
        "the client gets a new one, in Secret bot-certificate: its callers must read it again",
    ]
    assert announced_certificates(certified(), [OLDEST])[1] == f"callers with certificate {DIGEST} notice nothing"


def test_a_certificate_that_is_revoked_already_is_not_written_again():
    subject = certified(revokedDigests=[OLDEST])
    assert digests_to_write(subject, [OLDEST, DIGEST]) == (DIGEST,)
    assert announced_certificates(subject, [OLDEST]) == [
        f"certificate {OLDEST} is in spec.certificate.revokedDigests already"
    ]
