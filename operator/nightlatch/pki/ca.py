"""Root and issuing CA: ECDSA P-256; path length 1 for the root, 0 for the issuing CA."""

import secrets
from collections.abc import Callable
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from nightlatch.pki.material import CertificateAuthority

ROOT_DURATION = timedelta(days=3650)
ISSUING_DURATION = timedelta(days=365)
# A verifier whose clock is a little behind must accept a new certificate.
BACKDATE = timedelta(minutes=5)

_SIGNS_CERTIFICATES = x509.KeyUsage(
    digital_signature=False,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    key_cert_sign=True,
    crl_sign=True,
    encipher_only=False,
    decipher_only=False,
)


def new_root(
    *,
    now: datetime,
    duration: timedelta = ROOT_DURATION,
    random: Callable[[int], bytes] = secrets.token_bytes,
) -> CertificateAuthority:
    """A self-signed root, valid for `duration` from `now` (timezone-aware)."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = _name("Nightlatch root CA", random)
    builder = _ca_builder(name, name, key, path_length=1, serial=new_serial(random))
    builder = builder.not_valid_before(now - BACKDATE).not_valid_after(now + duration)
    certificate = builder.sign(key, hashes.SHA256())
    return CertificateAuthority(certificate, key, trust=(certificate,))


def new_issuing(
    root: CertificateAuthority,
    *,
    now: datetime,
    duration: timedelta = ISSUING_DURATION,
    random: Callable[[int], bytes] = secrets.token_bytes,
) -> CertificateAuthority:
    """A CA under the root that signs leaves only; never valid longer than the root."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = _name("Nightlatch issuing CA", random)
    builder = _ca_builder(name, root.certificate.subject, key, path_length=0, serial=new_serial(random))
    builder = builder.add_extension(issuer_key_id(root.certificate), critical=False)
    builder = builder.not_valid_before(max(now - BACKDATE, root.certificate.not_valid_before_utc))
    builder = builder.not_valid_after(min(now + duration, root.certificate.not_valid_after_utc))
    return CertificateAuthority(builder.sign(root.private_key, hashes.SHA256()), key, trust=root.trust)


def new_serial(random: Callable[[int], bytes]) -> int:
    """159 random bits with the highest set: positive, 20 octets, never zero (RFC 5280, 4.1.2.2)."""
    return int.from_bytes(random(20)) >> 1 | 1 << 158


def issuer_key_id(issuer: x509.Certificate) -> x509.AuthorityKeyIdentifier:
    """The extension by which a certificate names its issuer's key."""
    found = issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier)
    return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(found.value)


def _name(common_name: str, random: Callable[[int], bytes]) -> x509.Name:
    # The random number keeps path building from confusing two generations of a CA.
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"{common_name} {random(4).hex()}")])


def _ca_builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, *, path_length: int, serial: int
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(serial)
        .add_extension(x509.BasicConstraints(ca=True, path_length=path_length), critical=True)
        .add_extension(_SIGNS_CERTIFICATES, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
