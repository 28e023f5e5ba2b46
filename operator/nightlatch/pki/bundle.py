"""Trust bundles: what a user's Secret with CAs may hold, and what is left out of a bundle before a gateway sees it.

Envoy refuses a whole bundle for one bad CA, so one that has expired or is there twice is left out, and named.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from cryptography import x509
from cryptography.hazmat.primitives import hashes

from nightlatch.api.conditions import Reason
from nightlatch.pki.material import CA_CRT, PkiError, is_ca, read_certificates, to_pem

_PRIVATE_KEY = b"PRIVATE KEY-----"


@dataclass(frozen=True, slots=True)
class Finding:
    """What is wrong, with a message that says what to do."""

    reason: Reason
    message: str


@dataclass(frozen=True, slots=True)
class Bundle:
    """The CAs to trust, and what was left out of them and why (fit for a condition)."""

    certificates: tuple[x509.Certificate, ...]
    left_out: tuple[str, ...] = ()

    @property
    def pem(self) -> bytes:
        """The certificates one after another."""
        return to_pem(*self.certificates)


def clean_bundle(certificates: Iterable[x509.Certificate], now: datetime) -> Bundle:
    """Each CA once, in the order given, without those that have expired. One that is not valid yet stays."""
    kept: dict[str, x509.Certificate] = {}
    left_out = []
    for each in certificates:
        known = fingerprint(each)
        if known in kept:
            left_out.append(f"{_name(each)} is there twice")
        elif each.not_valid_after_utc <= now:
            left_out.append(f"{_name(each)} expired on {each.not_valid_after_utc:%Y-%m-%d}")
        else:
            kept[known] = each
    return Bundle(tuple(kept.values()), tuple(left_out))


def read_trust(secret: str, data: Mapping[str, bytes], now: datetime) -> Bundle | Finding:
    """The CAs in a user's Secret, named `secret` in messages, that holds them as `ca.crt`."""
    if any(_PRIVATE_KEY in value for value in data.values()):
        return Finding(
            Reason.TRUST_HOLDS_PRIVATE_KEY,
            f"Secret {secret} holds a private key, which has no use there: make a Secret of {CA_CRT} alone",
        )
    if not data.get(CA_CRT):
        return Finding(Reason.TRUST_WITHOUT_CA, f"Secret {secret} has no {CA_CRT}: put the CA certificates (PEM) there")
    try:
        certificates = read_certificates(data[CA_CRT])
    except PkiError as error:
        return Finding(Reason.TRUST_WITHOUT_CA, f"{CA_CRT} in Secret {secret} is {error}: put CA certificates there")
    if leaf := next((each for each in certificates if not is_ca(each)), None):
        return Finding(
            Reason.TRUST_HOLDS_LEAF,
            f"{_name(leaf)} in Secret {secret} is not a CA: put there the CA that signed it",
        )
    bundle = clean_bundle(certificates, now)
    if not bundle.certificates:
        return Finding(Reason.TRUST_WITHOUT_CA, f"every CA in Secret {secret} has expired: put a valid one there")
    return bundle


def fingerprint(certificate: x509.Certificate) -> str:
    """SHA-256, lower-case hex."""
    return certificate.fingerprint(hashes.SHA256()).hex()


def _name(certificate: x509.Certificate) -> str:
    return f"the certificate {certificate.subject.rfc4514_string() or f'{certificate.serial_number:x}'}"
