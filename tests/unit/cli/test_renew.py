"""What `renew` waits for, what `inspect` says of certificates, and what `rollover` says of the CAs."""

from nightlatch.cli.inspection import client_facts, client_text
from nightlatch.cli.renew import judge, serials
from nightlatch.cli.rollover import lines
from nightlatch.cli.wait import Done, Pending
from nightlatch.planning.parsed import read_client
from tests.unit.cli.keyed import NOW, at, condition, raw_client

IDENTITY = "spiffe://nightlatch.local/ns/search/ic/bot"


def certified(serial="1a", *, conditions=(), revoked=()):
    raw = raw_client(conditions=conditions, apiKey=None, certificate={"revokedDigests": list(revoked)})
    del raw["spec"]["apiKey"]
    if serial:
        times = {"notAfter": at(86_400), "renewAt": at(57_600)}
        raw["status"]["certificate"] = {"serial": serial, **times, "identity": IDENTITY, "sha256": "ab" * 32}
    return raw


def test_a_client_is_renewed_when_its_certificate_has_another_serial_number():
    known = serials(certified("1a"))
    assert known == {"client": "1a"}
    assert judge(certified("1a"), known) == Pending("for client")
    assert judge(certified("2b"), known) == Done("renewed: client has serial number 2b")
    said = [condition("CredentialsReady", "False", "IssuingCAPending", "the operator is still creating the CA")]
    assert judge(certified("1a", conditions=said), known) == Pending("the operator is still creating the CA")


def test_an_endpoint_is_renewed_when_all_its_certificates_are():
    def endpoint(*listed):
        raw = raw_client()
        raw["status"] = {"certificates": [{"role": role, "serial": serial} for role, serial in listed]}
        return raw

    known = serials(endpoint(("server-tls", "1"), ("upstream-tls", "2")))
    assert judge(endpoint(("server-tls", "3"), ("upstream-tls", "2")), known) == Pending("for upstream-tls")
    assert isinstance(judge(endpoint(("server-tls", "3"), ("upstream-tls", "4")), known), Done)


def test_inspect_shows_the_certificate_its_digest_and_its_secret():
    subject = read_client(certified(revoked=["cd" * 32]))
    facts = client_facts(subject, {}, NOW)
    assert (facts["certificate"]["serial"], facts["certificate"]["secretName"]) == ("1a", "bot-certificate")
    text = client_text(subject, facts, NOW)
    for said in (
        IDENTITY,
        "in 24h",
        f"its digest is {'ab' * 32}; it is in Secret bot-certificate",
        f"certificate {'cd' * 32} is revoked",
    ):
        assert said in text
    assert "no API keys" not in text


def test_inspect_says_where_a_certificate_will_be():
    subject = read_client(certified(""))
    assert "no certificate yet; it will be in Secret bot-certificate" in client_text(
        subject, client_facts(subject, {}, NOW), NOW
    )


def test_rollover_says_which_cas_there_are_and_what_the_next_step_waits_for():
    assert lines({}) == ["the operator has told nothing of its CAs yet"]
    alone = {"generations": "Active since 2026: CA 1", "rollover": "none"}
    assert lines(alone) == ["Active since 2026: CA 1", "no roll-over is under way"]
    moving = {"generations": "Prepared since 2026: CA 2\nActive since 2026: CA 1", "rollover": "under way"}
    assert lines({**moving, "waitingFor": "gateway a\nSecret b"})[-1] == "the next step waits for gateway a, Secret b"
    assert "2026-03-02" in lines({**moving, "nextStep": "2026-03-02"})[-1]
