"""Certificates and CAs as values, and how to read them from a Secret in cert-manager's format.

A Secret holds `tls.crt` (the leaf, then the issuing CA, PEM), `tls.key` (PKCS #8 PEM) and `ca.crt` (the roots to
trust).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Literal, Self, TypeVar

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID

TLS_CRT = "tls.crt"
TLS_KEY = "tls.key"
CA_CRT = "ca.crt"

Usage = Literal["server", "client"]
# Leaves have elliptic-curve keys; a CA that somebody brings may have either.
PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
ExtensionT = TypeVar("ExtensionT", bound=x509.ExtensionType)
_USAGE_OIDS = {ExtendedKeyUsageOID.SERVER_AUTH: "server", ExtendedKeyUsageOID.CLIENT_AUTH: "client"}


class PkiError(Exception):
    """Material that cannot be read, or an issued certificate that differs from its request. Quotes no key."""


@dataclass(frozen=True, slots=True)
class LeafRequest:
    """What a leaf must say. `identity` is its only URI SAN (SPIFFE); `duration` ends at the issuer's own end."""

    identity: str
    usage: Usage
    dns_names: tuple[str, ...] = ()
    duration: timedelta = timedelta(hours=24)


@dataclass(frozen=True, slots=True)
class TlsMaterial:
    """PEM, as in a `kubernetes.io/tls` Secret: chain leaf first, PKCS #8 key, trust bundle."""

    certificate: bytes
    private_key: bytes = field(repr=False)
    ca: bytes

    def secret_data(self) -> dict[str, bytes]:
        """The `data` of the Secret, before base64."""
        return {TLS_CRT: self.certificate, TLS_KEY: self.private_key, CA_CRT: self.ca}

    @classmethod
    def of_secret(cls, data: Mapping[str, bytes]) -> Self:
        """Take the entries from the decoded `data` of a Secret without reading them. Raises PkiError."""
        if missing := [entry for entry in (TLS_CRT, TLS_KEY, CA_CRT) if not data.get(entry)]:
            raise PkiError(f"the Secret lacks {', '.join(missing)}")
        return cls(data[TLS_CRT], data[TLS_KEY], data[CA_CRT])


@dataclass(frozen=True, slots=True)
class CertificateAuthority:
    """A CA that can sign. `trust`: the roots that a verifier of its leaves needs; a root holds itself.

    chain: the CAs between it and a root, which its leaves must bring along.
    """

    certificate: x509.Certificate
    private_key: PrivateKey = field(repr=False)
    trust: tuple[x509.Certificate, ...]
    chain: tuple[x509.Certificate, ...] = ()

    @property
    def key_id(self) -> str:
        """Subject key identifier in lower-case hex; its leaves have the same value in `Leaf.issuer_key_id`."""
        return subject_key_id(self.certificate)

    @property
    def trust_pem(self) -> bytes:
        """The bundle for `ca.crt`."""
        return to_pem(*self.trust)


@dataclass(frozen=True, slots=True)
class Leaf:
    """What a Secret's certificate says. `key_matches`: the private key in the Secret belongs to it.

    serial, sha256: lower-case hex. identities: every URI SAN. issuer_key_id: authority key identifier, hex, or empty.
    """

    serial: str
    sha256: str
    not_before: datetime
    not_after: datetime
    identities: tuple[str, ...]
    dns_names: tuple[str, ...]
    usages: tuple[str, ...]
    issuer_key_id: str
    key_matches: bool


def to_pem(*certificates: x509.Certificate) -> bytes:
    """The certificates one after another."""
    return b"".join(certificate.public_bytes(Encoding.PEM) for certificate in certificates)


def private_key_pem(key: PrivateKey) -> bytes:
    """PKCS #8, unencrypted."""
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def ca_material(ca: CertificateAuthority) -> TlsMaterial:
    """The CA as its own Secret keeps it."""
    return TlsMaterial(to_pem(ca.certificate, *ca.chain), private_key_pem(ca.private_key), ca.trust_pem)


def read_leaf(data: Mapping[str, bytes]) -> Leaf:
    """The leaf in a Secret's decoded data. Raises PkiError, naming what is missing or unreadable."""
    certificate = _certificates(data, TLS_CRT)[0]
    sans = extension(certificate, x509.SubjectAlternativeName)
    usage = extension(certificate, x509.ExtendedKeyUsage)
    return Leaf(
        serial=f"{certificate.serial_number:x}",
        sha256=certificate.fingerprint(hashes.SHA256()).hex(),
        not_before=certificate.not_valid_before_utc,
        not_after=certificate.not_valid_after_utc,
        identities=tuple(sans.get_values_for_type(x509.UniformResourceIdentifier)) if sans else (),
        dns_names=tuple(sans.get_values_for_type(x509.DNSName)) if sans else (),
        usages=tuple(_USAGE_OIDS.get(oid, oid.dotted_string) for oid in usage or ()),
        issuer_key_id=authority_key_id(certificate),
        key_matches=_same_key(_private_key(data), certificate),
    )


def read_ca(data: Mapping[str, bytes]) -> CertificateAuthority:
    """The CA in a Secret's decoded data. Raises PkiError if it is unreadable, not a CA, or lacks its key."""
    certificate, *above = _certificates(data, TLS_CRT)
    key = _private_key(data)
    if not is_ca(certificate):
        raise PkiError(f"{TLS_CRT} is not the certificate of a CA")
    if not _same_key(key, certificate):
        raise PkiError(f"{TLS_KEY} does not belong to {TLS_CRT}")
    trust = _certificates(data, CA_CRT)
    return CertificateAuthority(certificate, key, trust, tuple(each for each in above if each not in trust))


def is_ca(certificate: x509.Certificate) -> bool:
    """Whether it may sign certificates."""
    constraints = extension(certificate, x509.BasicConstraints)
    return constraints is not None and constraints.ca


def path_length(certificate: x509.Certificate) -> int | None:
    """How many CAs there may be below it; None for any number."""
    constraints = extension(certificate, x509.BasicConstraints)
    return constraints.path_length if constraints else None


def subject_key_id(certificate: x509.Certificate) -> str:
    """Subject key identifier, hex, or empty."""
    found = extension(certificate, x509.SubjectKeyIdentifier)
    return found.digest.hex() if found else ""


def authority_key_id(certificate: x509.Certificate) -> str:
    """Authority key identifier, hex, or empty."""
    found = extension(certificate, x509.AuthorityKeyIdentifier)
    return found.key_identifier.hex() if found and found.key_identifier else ""


def root_key_id(top: x509.Certificate) -> str:
    """The key id of the root above the uppermost certificate of a chain; its own, if it is one."""
    if top.subject == top.issuer:
        return subject_key_id(top)
    return authority_key_id(top) or f"of {top.issuer.rfc4514_string()}"


def read_certificates(pem: bytes) -> tuple[x509.Certificate, ...]:
    """Every certificate in the PEM text. Raises PkiError."""
    try:
        return tuple(x509.load_pem_x509_certificates(pem))
    except ValueError as error:
        raise PkiError("not a PEM certificate") from error


@lru_cache(maxsize=16)
def is_bundle(text: str) -> bool:
    """Whether the text is PEM certificates, and has nothing in it that cannot be read as one."""
    try:
        return len(read_certificates(text.encode())) == text.count("-----BEGIN")
    except PkiError:
        return False


def _certificates(data: Mapping[str, bytes], entry: str) -> tuple[x509.Certificate, ...]:
    if not data.get(entry):
        raise PkiError(f"{entry} is missing")
    try:
        return read_certificates(data[entry])
    except PkiError as error:
        raise PkiError(f"{entry} is {error}") from error


def _private_key(data: Mapping[str, bytes]) -> PrivateKey:
    if not data.get(TLS_KEY):
        raise PkiError(f"{TLS_KEY} is missing")
    try:
        key = load_pem_private_key(data[TLS_KEY], password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        # Without the cause: what a parser says of a private key may quote it.
        raise PkiError(f"{TLS_KEY} is not an unencrypted PEM private key") from None
    if not isinstance(key, PrivateKey):
        raise PkiError(f"{TLS_KEY} is neither an RSA nor an elliptic-curve key")
    return key


def _same_key(key: PrivateKey, certificate: x509.Certificate) -> bool:
    form = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return key.public_key().public_bytes(*form) == certificate.public_key().public_bytes(*form)


def extension(certificate: x509.Certificate, kind: type[ExtensionT]) -> ExtensionT | None:
    """The extension of this kind, if the certificate has it."""
    try:
        return certificate.extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None
