"""A CA that somebody brings, and Secrets of CAs to trust: what is taken, and what is refused with which reason."""

from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

from nightlatch import pki
from nightlatch.pki import LeafRequest, ca_material, issue_leaf, read_leaf
from nightlatch.pki.brought import read_brought_ca
from nightlatch.pki.bundle import Finding, clean_bundle, read_trust
from nightlatch.pki.material import private_key_pem, to_pem

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)
REQUEST = LeafRequest("spiffe://td/gateway", "client")


def key_of(kind):
    return rsa.generate_private_key(65537, 2048) if kind == "rsa" else ec.generate_private_key(ec.SECP256R1())


def authority(name, above=None, *, kind="ec", path_length=None, begins=-DAY, ends=30 * DAY):
    """A certificate and its key. above: the same of what signs it; None: it signs itself."""
    key = key_of(kind)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    issuer, signer = (above[0].subject, above[1]) if above else (subject, key)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW + begins)
        .not_valid_after(NOW + ends)
        .add_extension(x509.BasicConstraints(ca=True, path_length=path_length), critical=True)
        .add_extension(
            x509.KeyUsage(False, False, False, False, False, True, True, False, False),
            critical=True,
        )
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
    )
    return builder.sign(signer, hashes.SHA256()), key


def brought(*path, anchors=None):
    """The Secret of the first CA in the path, which ends with a root that stays outside."""
    (_, key), root = path[0], path[-1]
    between = [each for each, _ in (path[:-1] or path)]
    return {
        "tls.crt": to_pem(*between),
        "tls.key": private_key_pem(key),
        "ca.crt": to_pem(*(anchors if anchors is not None else [root[0]])),
    }


ROOT = authority("root")
MIDDLE = authority("middle", ROOT)
OURS = authority("ours", MIDDLE, path_length=0)


@pytest.mark.parametrize("kind", ["ec", "rsa"])
@pytest.mark.parametrize("between", [0, 1, 3])
def test_an_intermediate_signs_leaves_that_verify_to_a_root_that_stays_outside(kind, between):
    path = [authority("root", kind=kind)]
    for number in range(between):
        path.insert(0, authority(f"middle {number}", path[0], kind=kind))
    path.insert(0, authority("ours", path[0], kind=kind, path_length=0))
    ca = read_brought_ca("search/ours", brought(*path), NOW)
    # `issue_leaf` verifies the whole path.
    material = issue_leaf(ca, REQUEST, now=NOW)
    assert material.certificate.count(b"BEGIN CERTIFICATE") == 2 + between
    assert read_leaf(material.secret_data()).issuer_key_id == ca.key_id


@pytest.mark.parametrize("kind", ["ec", "rsa"])
def test_a_root_signs_leaves_itself(kind):
    ca = read_brought_ca("search/ours", brought(authority("root", kind=kind)), NOW)
    assert issue_leaf(ca, REQUEST, now=NOW).ca == ca.trust_pem


def test_the_ca_in_its_own_secret_keeps_its_chain():
    ca = read_brought_ca("search/ours", brought(OURS, MIDDLE, ROOT), NOW)
    again = pki.read_ca(ca_material(ca).secret_data())
    assert (again.chain, again.trust) == (ca.chain, ca.trust)
    assert [each.subject for each in ca.chain] == [MIDDLE[0].subject]


NARROW = authority("narrow", path_length=0)
EXPIRED = authority("old root", ends=-timedelta(hours=1))
LEAF = issue_leaf(pki.new_issuing(pki.new_root(now=NOW), now=NOW), REQUEST, now=NOW)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (brought(OURS, MIDDLE, ROOT) | {"tls.key": b""}, "CAWithoutKey"),
        (brought(OURS, MIDDLE, ROOT) | {"tls.key": private_key_pem(key_of("ec"))}, "CAUnreadable"),
        (brought(OURS, MIDDLE, ROOT) | {"tls.key": b"MARKER"}, "CAUnreadable"),
        (brought(OURS, MIDDLE, ROOT) | {"tls.crt": b"MARKER"}, "CAUnreadable"),
        (brought(OURS, MIDDLE, ROOT) | {"ca.crt": b""}, "CAUnreadable"),
        (brought(OURS, MIDDLE, ROOT) | {"tls.crt": LEAF.certificate, "tls.key": LEAF.private_key}, "CAUnreadable"),
        (brought(authority("ours", ROOT, ends=-timedelta(hours=1)), ROOT), "CAExpired"),
        (brought(authority("ours", ROOT, begins=DAY), ROOT), "CAExpired"),
        (brought(authority("ours", EXPIRED), EXPIRED), "CAExpired"),
        (brought(OURS, ROOT), "CAChainBroken"),
        (brought(OURS, MIDDLE, authority("another")), "CAChainBroken"),
        (brought(MIDDLE, OURS, ROOT), "CAChainBroken"),
        (brought(authority("ours", authority("below", NARROW)), NARROW), "CAChainBroken"),
    ],
)
def test_what_is_wrong_with_a_brought_ca_has_a_reason(data, reason):
    finding = read_brought_ca("search/ours", data, NOW)
    assert isinstance(finding, Finding)
    assert finding.reason == reason
    assert "search/ours" in finding.message
    assert "MARKER" not in finding.message


def test_a_path_length_above_ours_that_does_not_allow_it_is_named():
    below = authority("below", NARROW)
    finding = read_brought_ca("search/ours", brought(authority("ours", below), below, NARROW), NOW)
    assert finding.reason == "CAPathLength"
    assert "CN=narrow allows 0 CAs below it, and 2 are" in finding.message


def test_a_ca_of_path_length_0_under_a_root_of_path_length_1_is_taken():
    root = authority("root", path_length=1)
    assert not isinstance(read_brought_ca("s", brought(authority("ours", root, path_length=0), root), NOW), Finding)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        ({}, "TrustWithoutCA"),
        ({"ca.crt": b"text"}, "TrustWithoutCA"),
        ({"ca.crt": to_pem(EXPIRED[0])}, "TrustWithoutCA"),
        ({"ca.crt": to_pem(ROOT[0]) + LEAF.certificate}, "TrustHoldsLeaf"),
        ({"ca.crt": to_pem(ROOT[0]), "tls.key": private_key_pem(ROOT[1])}, "TrustHoldsPrivateKey"),
        ({"ca.crt": to_pem(ROOT[0]) + private_key_pem(ROOT[1])}, "TrustHoldsPrivateKey"),
    ],
)
def test_what_is_wrong_with_a_trust_secret_has_a_reason(data, reason):
    finding = read_trust("search/partners", data, NOW)
    assert (finding.reason, "search/partners" in finding.message) == (reason, True)
    assert "BEGIN" not in finding.message


def test_expired_and_repeated_cas_are_left_out_and_named_and_the_others_stay():
    bundle = read_trust("s", {"ca.crt": to_pem(ROOT[0], EXPIRED[0], ROOT[0], MIDDLE[0])}, NOW)
    assert bundle.certificates == (ROOT[0], MIDDLE[0])
    assert [each.split("certificate ")[1] for each in bundle.left_out] == [
        "CN=old root expired on 2026-03-01",
        "CN=root is there twice",
    ]
    assert clean_bundle(bundle.certificates, NOW).left_out == ()
