"""Certificates: what is in them, that a real TLS handshake takes them, and when they are renewed."""

import ssl
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from nightlatch.pki import (
    LeafRequest,
    PkiError,
    PolicyInput,
    ca_material,
    first_violation,
    is_signed_under,
    issue_leaf,
    new_issuing,
    new_root,
    read_ca,
    read_leaf,
    renew_at,
    verify_issued,
)
from nightlatch.pki.material import read_certificates, to_pem

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)
SERVER = LeafRequest("spiffe://td/ns/a/ie/b", "server", ("b.a.localhost", "b.a"))
CLIENT = LeafRequest("spiffe://td/gateway", "client")


@pytest.fixture(scope="module")
def root():
    return new_root(now=NOW)


@pytest.fixture(scope="module")
def issuing(root):
    return new_issuing(root, now=NOW)


def leaf_of(material):
    return read_leaf(material.secret_data())


@pytest.mark.parametrize("request_", [SERVER, CLIENT], ids=["server", "client"])
def test_a_leaf_says_what_was_asked_for(issuing, request_):
    leaf = leaf_of(issue_leaf(issuing, request_, now=NOW))
    assert leaf.identities == (request_.identity,)
    assert leaf.dns_names == request_.dns_names
    assert leaf.usages == (request_.usage,)
    assert leaf.issuer_key_id == issuing.key_id
    assert leaf.not_before < NOW
    assert leaf.not_after == NOW + timedelta(hours=24)


def test_a_leaf_has_no_name_but_its_sans_and_is_no_ca(issuing):
    certificate = read_certificates(issue_leaf(issuing, SERVER, now=NOW).certificate)[0]
    assert len(certificate.subject) == 0
    with pytest.raises(PkiError, match="not the certificate of a CA"):
        read_ca(issue_leaf(issuing, SERVER, now=NOW).secret_data())


def test_each_leaf_has_a_new_key_and_serial(issuing):
    one, other = (issue_leaf(issuing, CLIENT, now=NOW) for _ in range(2))
    assert one.private_key != other.private_key
    assert leaf_of(one).serial != leaf_of(other).serial


def test_a_leaf_never_outlives_its_issuer_nor_the_issuer_its_root(root, issuing):
    long = replace(SERVER, duration=timedelta(days=4000))
    assert leaf_of(issue_leaf(issuing, long, now=NOW)).not_after == issuing.certificate.not_valid_after_utc
    other = new_issuing(root, now=NOW, duration=timedelta(days=9000))
    assert other.certificate.not_valid_after_utc == root.certificate.not_valid_after_utc


def test_an_expired_ca_issues_nothing(issuing):
    with pytest.raises(PkiError, match="not valid now"):
        issue_leaf(issuing, CLIENT, now=NOW + timedelta(days=366))


def test_a_leaf_of_another_ca_does_not_verify(issuing):
    stranger = new_issuing(new_root(now=NOW), now=NOW)
    material = replace(issue_leaf(stranger, CLIENT, now=NOW), ca=issuing.trust_pem)
    with pytest.raises(PkiError, match="does not verify"):
        verify_issued(material, CLIENT, now=NOW)


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (replace(SERVER, identity="spiffe://td/operator"), "only URI"),
        (replace(SERVER, usage="client"), "client use alone"),
        (replace(SERVER, dns_names=("b.a",)), "DNS names"),
    ],
)
def test_a_certificate_that_is_not_what_was_asked_for_is_noticed(issuing, other, message):
    with pytest.raises(PkiError, match=message):
        verify_issued(issue_leaf(issuing, SERVER, now=NOW), other, now=NOW)


def test_another_leafs_key_is_noticed(issuing):
    one, other = (issue_leaf(issuing, CLIENT, now=NOW) for _ in range(2))
    with pytest.raises(PkiError, match="does not belong"):
        verify_issued(replace(one, private_key=other.private_key), CLIENT, now=NOW)


def test_a_ca_comes_back_from_its_secret(root, issuing):
    again = read_ca(ca_material(issuing).secret_data())
    assert again.key_id == issuing.key_id
    assert leaf_of(issue_leaf(again, CLIENT, now=NOW)).issuer_key_id == issuing.key_id
    assert again.trust_pem == root.trust_pem


@pytest.mark.parametrize("entry", ["tls.crt", "tls.key"])
@pytest.mark.parametrize("value", [b"", b"-----BEGIN GARBAGE-----", b"\xff\x00"])
def test_unreadable_material_is_named_and_never_quoted(issuing, entry, value):
    data = issue_leaf(issuing, CLIENT, now=NOW).secret_data() | {entry: value}
    with pytest.raises(PkiError, match=entry) as error:
        read_leaf(data)
    assert "GARBAGE" not in str(error.value)


def test_no_private_key_is_in_a_repr(issuing):
    material = issue_leaf(issuing, CLIENT, now=NOW)
    assert "PRIVATE" not in repr(material)
    assert "private_key" not in repr(issuing)


def test_openssl_shakes_hands_with_both_leaves(root, tmp_path):
    now = datetime.now(UTC)
    issuing = new_issuing(new_root(now=now), now=now)
    server = _context(tmp_path, "server", ssl.PROTOCOL_TLS_SERVER, issue_leaf(issuing, SERVER, now=now))
    server.verify_mode = ssl.CERT_REQUIRED
    client = _context(tmp_path, "client", ssl.PROTOCOL_TLS_CLIENT, issue_leaf(issuing, CLIENT, now=now))
    peer = _handshake(server, client, "b.a.localhost")
    assert ("URI", CLIENT.identity) in peer["subjectAltName"]


def _context(folder, name, protocol, material):
    for entry, pem in material.secret_data().items():
        (folder / f"{name}-{entry}").write_bytes(pem)
    context = ssl.SSLContext(protocol)
    context.load_cert_chain(folder / f"{name}-tls.crt", folder / f"{name}-tls.key")
    context.load_verify_locations(folder / f"{name}-ca.crt")
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    return context


def _handshake(server_context, client_context, host):
    """The client's certificate as the server sees it, over memory BIOs."""
    up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
    server = server_context.wrap_bio(up, down, server_side=True)
    client = client_context.wrap_bio(down, up, server_hostname=host)
    pending = {client, server}
    for _ in range(10):
        for side in tuple(pending):
            try:
                side.do_handshake()
                pending.discard(side)
            except ssl.SSLWantReadError:
                continue
    assert not pending
    return server.getpeercert()


def test_renewal_is_due_at_two_thirds_or_a_little_earlier(issuing):
    leaf = leaf_of(issue_leaf(issuing, CLIENT, now=NOW))
    lifetime = leaf.not_after - leaf.not_before
    dues = [renew_at(replace(leaf, serial=f"{serial:x}")) for serial in range(200)]
    two_thirds = leaf.not_before + lifetime * 2 / 3
    assert all(two_thirds - lifetime * 0.051 < due <= two_thirds for due in dues)
    assert len(set(dues)) > 150
    assert renew_at(leaf) == renew_at(leaf)


def test_renew_before_counts_only_within_the_leafs_life(issuing):
    leaf = leaf_of(issue_leaf(issuing, CLIENT, now=NOW))
    assert renew_at(leaf, timedelta(hours=1)) > NOW + timedelta(hours=21)
    assert renew_at(leaf, timedelta(days=30)) == renew_at(leaf)


def inputs(issuing, now=NOW, request=SERVER, **changes):
    leaf = leaf_of(issue_leaf(issuing, SERVER, now=NOW))
    return replace(PolicyInput(request, leaf, issuing.key_id, now), **changes)


@pytest.mark.parametrize(
    ("changes", "reason", "usable"),
    [
        ({"leaf": None}, "CertificateMissing", False),
        ({"leaf": None, "unreadable": "tls.crt is missing"}, "CertificateUnreadable", False),
        ({"request": CLIENT}, "CertificateWrongIdentity", False),
        ({"request": replace(SERVER, usage="client")}, "CertificateWrongIdentity", False),
        ({"now": NOW + timedelta(hours=25)}, "CertificateExpired", False),
        ({"request": replace(SERVER, dns_names=("c",))}, "CertificateWrongNames", True),
        ({"issuer_key_id": "00"}, "CertificateWrongIssuer", True),
        ({"now": NOW + timedelta(hours=16, minutes=10)}, "CertificateDueForRenewal", True),
    ],
)
def test_the_first_reason_to_issue_anew_is_found(issuing, changes, reason, usable):
    violation = first_violation(inputs(issuing, **changes))
    assert (violation.reason, violation.usable) == (reason, usable)


def test_a_leaf_that_is_right_and_young_is_left_alone(issuing):
    assert first_violation(inputs(issuing, now=NOW + timedelta(hours=12))) is None


def test_a_key_that_is_not_the_leafs_own_is_found(issuing):
    held = inputs(issuing)
    assert first_violation(replace(held, leaf=replace(held.leaf, key_matches=False))).reason == "CertificateKeyMismatch"


@pytest.mark.parametrize("seconds", [10, 20, 120, 600, 86400])
@pytest.mark.parametrize("renew_before", [None, 0.5, 0.999])
def test_no_leaf_is_due_when_it_is_issued_however_short(issuing, seconds, renew_before):
    request = replace(CLIENT, duration=timedelta(seconds=seconds))
    leaf = leaf_of(issue_leaf(issuing, request, now=NOW))
    before = timedelta(seconds=seconds * renew_before) if renew_before else None
    assert NOW < renew_at(leaf, before) < leaf.not_after


def self_signed(name):
    key = ec.generate_private_key(ec.SECP256R1())
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), NOW, NOW + DAY)
    return to_pem(builder.add_extension(x509.BasicConstraints(True, None), True).sign(key, hashes.SHA256()))


def test_a_chain_is_signed_under_its_own_cas_and_under_no_namesake(root, issuing):
    data = issue_leaf(issuing, CLIENT, now=NOW).secret_data()
    namesake = self_signed(root.certificate.subject)
    assert is_signed_under(data, root.trust_pem)
    assert is_signed_under(data, namesake + root.trust_pem)
    assert is_signed_under(data, to_pem(issuing.certificate))
    assert not is_signed_under(data, namesake)
    assert not is_signed_under(data, to_pem(*read_certificates(issue_leaf(issuing, SERVER, now=NOW).certificate)[:1]))
    with pytest.raises(PkiError):
        is_signed_under(data, b"nothing")
