"""Issue a leaf: ECDSA P-256, a new key each time, one SPIFFE identity, one use (serverAuth or clientAuth)."""

import secrets
from collections.abc import Callable
from datetime import datetime

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID

from nightlatch.pki.ca import BACKDATE, issuer_key_id, new_serial
from nightlatch.pki.material import CertificateAuthority, LeafRequest, PkiError, TlsMaterial, private_key_pem, to_pem
from nightlatch.pki.verification import verify_issued

_SIGNS_HANDSHAKES = x509.KeyUsage(
    digital_signature=True,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    key_cert_sign=False,
    crl_sign=False,
    encipher_only=False,
    decipher_only=False,
)
_USAGES = {"server": ExtendedKeyUsageOID.SERVER_AUTH, "client": ExtendedKeyUsageOID.CLIENT_AUTH}


def issue_leaf(
    issuing: CertificateAuthority,
    request: LeafRequest,
    *,
    now: datetime,
    random: Callable[[int], bytes] = secrets.token_bytes,
) -> TlsMaterial:
    """A leaf and its new key, checked by `verify_issued`. Raises PkiError if the CA is not valid."""
    _check_validity(issuing.certificate, now)
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = _builder(issuing, request, key, now, new_serial(random)).sign(issuing.private_key, hashes.SHA256())
    material = TlsMaterial(
        to_pem(certificate, issuing.certificate, *issuing.chain), private_key_pem(key), issuing.trust_pem
    )
    verify_issued(material, request, now=now)
    return material


def _check_validity(issuer: x509.Certificate, now: datetime) -> None:
    if not issuer.not_valid_before_utc <= now < issuer.not_valid_after_utc:
        raise PkiError("the issuing CA is not valid now: check the clock, or replace the CA")


def _builder(
    issuing: CertificateAuthority, request: LeafRequest, key: ec.EllipticCurvePrivateKey, now: datetime, serial: int
) -> x509.CertificateBuilder:
    issuer = issuing.certificate
    return (
        x509.CertificateBuilder()
        # No subject, so that nobody can read an identity from a CN; RFC 5280 then makes the SAN critical.
        .subject_name(x509.Name([]))
        .issuer_name(issuer.subject)
        .public_key(key.public_key())
        .serial_number(serial)
        .not_valid_before(max(now - min(BACKDATE, request.duration / 10), issuer.not_valid_before_utc))
        .not_valid_after(min(now + request.duration, issuer.not_valid_after_utc))
        .add_extension(_names(request), critical=True)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_SIGNS_HANDSHAKES, critical=True)
        .add_extension(x509.ExtendedKeyUsage([_USAGES[request.usage]]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(issuer_key_id(issuer), critical=False)
    )


def _names(request: LeafRequest) -> x509.SubjectAlternativeName:
    identity = x509.UniformResourceIdentifier(request.identity)
    return x509.SubjectAlternativeName([identity, *map(x509.DNSName, request.dns_names)])
