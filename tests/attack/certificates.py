"""CAs and client certificates made for one test, good ones and bad ones."""

import functools
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_DAY = timedelta(days=1)


@dataclass(frozen=True)
class Leaf:
    """What a certificate says. Times count from now."""

    uris: tuple[str, ...] = ()
    dns: tuple[str, ...] = ()
    common_name: str = "caller"
    usage: Literal["client", "server"] = "client"
    begins: timedelta = -_DAY
    ends: timedelta = _DAY


@dataclass(frozen=True)
class Presented:
    """The chain and the key, PEM; empty for a caller without a certificate."""

    chain: str
    key: str


@dataclass(frozen=True)
class Issuer:
    """A certificate that signs, and those between it and the root."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey
    above: tuple[x509.Certificate, ...] = ()


class Pki:
    """A root, and what can be issued below it."""

    def __init__(self, name: str = "test root") -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        self._root = Issuer(_certificate(name, key, None, key, ca=True), key)

    @property
    def root(self) -> Issuer:
        return self._root

    @property
    def trust(self) -> str:
        return _pem(self._root.certificate)

    @functools.cached_property
    def other(self) -> "Pki":
        """A root of the same name with another key."""
        return Pki()

    def present(self, leaf: Leaf) -> Presented:
        return _issued(self._root, leaf)

    def self_signed(self, leaf: Leaf) -> Presented:
        key = ec.generate_private_key(ec.SECP256R1())
        return shown(key, _leaf(leaf, key, None, key))

    def forged(self, leaf: Leaf) -> Presented:
        """In the root's name, with a signature by another key."""
        key = ec.generate_private_key(ec.SECP256R1())
        return shown(key, _leaf(leaf, key, self._root.certificate, key))

    def below(
        self, leaf: Leaf, *, depth: int = 1, ca: bool = True, signs: bool = True, path_length: int | None = None
    ) -> Presented:
        """Below this many intermediates. The uppermost has the path length; the others have what is said of them."""
        issuer = self._root
        for number in range(depth):
            key = ec.generate_private_key(ec.SECP256R1())
            limit = path_length if number == 0 else None
            made = _certificate(
                f"intermediate {number}", key, issuer.certificate, issuer.key, ca=ca, signs=signs, path_length=limit
            )
            issuer = Issuer(made, key, (made, *issuer.above))
        return _issued(issuer, leaf)

    def below_a_leaf(self, leaf: Leaf) -> Presented:
        key = ec.generate_private_key(ec.SECP256R1())
        between = _leaf(leaf, key, self._root.certificate, self._root.key)
        return _issued(Issuer(between, key, (between,)), leaf)


def _issued(issuer: Issuer, leaf: Leaf) -> Presented:
    key = ec.generate_private_key(ec.SECP256R1())
    return shown(key, _leaf(leaf, key, issuer.certificate, issuer.key), *issuer.above)


def shown(key: Any, leaf: x509.Certificate, *above: x509.Certificate) -> Presented:
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return Presented("".join(map(_pem, (leaf, *above))), private.decode())


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name[:64])])


def _builder(
    name: str, key: ec.EllipticCurvePrivateKey, issuer: x509.Certificate | None, begins: timedelta, ends: timedelta
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    subject = _name(name)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + begins)
        .not_valid_after(now + ends)
    )


def _certificate(
    name: str,
    key: ec.EllipticCurvePrivateKey,
    issuer: x509.Certificate | None,
    signer: ec.EllipticCurvePrivateKey,
    *,
    ca: bool,
    signs: bool = True,
    path_length: int | None = None,
) -> x509.Certificate:
    constraints = x509.BasicConstraints(ca=ca, path_length=path_length if ca else None)
    return (
        _builder(name, key, issuer, -2 * _DAY, 2 * _DAY)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(constraints, critical=True)
        .add_extension(key_usage(signs=signs), critical=True)
        .sign(signer, hashes.SHA256())
    )


def _leaf(
    leaf: Leaf, key: ec.EllipticCurvePrivateKey, issuer: x509.Certificate | None, signer: ec.EllipticCurvePrivateKey
) -> x509.Certificate:
    names: list[x509.GeneralName] = [x509.UniformResourceIdentifier(uri) for uri in leaf.uris]
    names += [x509.DNSName(name) for name in leaf.dns]
    purpose = {"client": ExtendedKeyUsageOID.CLIENT_AUTH, "server": ExtendedKeyUsageOID.SERVER_AUTH}[leaf.usage]
    builder = (
        _builder(leaf.common_name, key, issuer, leaf.begins, leaf.ends)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(key_usage(signs=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
    )
    if issuer is not None and (signer_id := _key_id(issuer)) is not None:
        builder = builder.add_extension(signer_id, critical=False)
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    return builder.sign(signer, hashes.SHA256())


def _key_id(issuer: x509.Certificate) -> x509.AuthorityKeyIdentifier | None:
    """By which two CAs of one name are told apart. A leaf that signs has none."""
    try:
        found = issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier)
    except x509.ExtensionNotFound:
        return None
    return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(found.value)


def key_usage(*, signs: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs,
        crl_sign=signs,
        encipher_only=False,
        decipher_only=False,
    )
