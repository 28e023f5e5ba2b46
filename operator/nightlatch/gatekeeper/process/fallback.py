"""The self-signed certificate for host names that no endpoint has. It is created at each start; nobody trusts it."""

from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from nightlatch.pki.material import private_key_pem
from nightlatch.routing.ir import CertificateIR

_LIFE = timedelta(days=3650)


def fallback_certificate() -> CertificateIR:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "unknown host")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + _LIFE)
        .sign(key, hashes.SHA256())
    )
    return CertificateIR(certificate.public_bytes(Encoding.PEM).decode(), private_key_pem(key).decode())
