"""Issues the cluster's certificates at each start: two CAs, P-256 keys, valid for a year."""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from tools.node.bundled.network import AddressPlan

NODE_NAME = "node1"
LIFETIME = dt.timedelta(days=365)
API_SERVER_NAMES = (
    "localhost",
    "kubernetes",
    "kubernetes.default",
    "kubernetes.default.svc",
    "kubernetes.default.svc.cluster.local",
)


@dataclass(frozen=True)
class Issued:
    """A key and its certificate."""

    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate

    @property
    def key_pem(self) -> bytes:
        """The key as unencrypted PKCS#8 PEM."""
        return private_pem(self.key)

    @property
    def certificate_pem(self) -> bytes:
        """The certificate as PEM, without its chain."""
        return self.certificate.public_bytes(serialization.Encoding.PEM)


def private_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    """Return the key as unencrypted PKCS#8 PEM."""
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def authority(name: str, now: dt.datetime) -> Issued:
    """Return a new self-signed CA."""
    key = ec.generate_private_key(ec.SECP256R1())
    builder = _unsigned(_subject(name, ()), _subject(name, ()), key, now)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    builder = builder.add_extension(_usage(signs_certificates=True), critical=True)
    builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    return Issued(key, builder.sign(key, hashes.SHA256()))


def client(by: Issued, name: str, groups: Sequence[str], now: dt.datetime) -> Issued:
    """Return a client certificate: Kubernetes reads the user from CN and the groups from O."""
    return _leaf(by, _subject(name, groups), ExtendedKeyUsageOID.CLIENT_AUTH, (), now)


def server(by: Issued, name: str, dns: Sequence[str], addresses: Sequence[IPv4Address], now: dt.datetime) -> Issued:
    """Return a server certificate for these DNS names and addresses."""
    names = [*map(x509.DNSName, dns), *map(x509.IPAddress, addresses)]
    return _leaf(by, _subject(name, ()), ExtendedKeyUsageOID.SERVER_AUTH, names, now)


def write_all(directory: Path, plan: AddressPlan, now: dt.datetime) -> dict[str, Issued]:
    """Write every key and certificate of the cluster into `directory` (0700); return the clients' by name."""
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    ca, front_ca = authority("nightlatch-node", now), authority("nightlatch-node-front-proxy", now)
    clients = {
        "admin": client(ca, "admin", ["system:masters"], now),
        "apiserver-kubelet": client(ca, "apiserver-kubelet", ["system:masters"], now),
        "kube-controller-manager": client(ca, "system:kube-controller-manager", [], now),
        "kube-scheduler": client(ca, "system:kube-scheduler", [], now),
        "kube-proxy": client(ca, "system:kube-proxy", [], now),
        "kubelet": client(ca, f"system:node:{NODE_NAME}", ["system:nodes"], now),
        "front-proxy": client(front_ca, "front-proxy", [], now),
    }
    own = [IPv4Address("127.0.0.1"), plan.node, plan.services[1]]
    servers = {
        "kube-apiserver": server(ca, "kube-apiserver", API_SERVER_NAMES, own, now),
        "kubelet-server": server(ca, NODE_NAME, [NODE_NAME], [plan.node], now),
    }
    for name, issued in {"ca": ca, "front-ca": front_ca, **clients, **servers}.items():
        _write(directory / f"{name}.key", issued.key_pem)
        _write(directory / f"{name}.crt", issued.certificate_pem)
    _write_service_account_key(directory)
    return clients


def _write_service_account_key(directory: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    _write(directory / "service-account.key", private_pem(key))
    _write(directory / "service-account.pub", public)


def _write(path: Path, content: bytes) -> None:
    path.touch(mode=0o600)
    path.write_bytes(content)


def _leaf(
    by: Issued,
    subject: x509.Name,
    purpose: x509.ObjectIdentifier,
    names: Sequence[x509.GeneralName],
    now: dt.datetime,
) -> Issued:
    key = ec.generate_private_key(ec.SECP256R1())
    builder = _unsigned(subject, by.certificate.subject, key, now)
    builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    builder = builder.add_extension(_usage(signs_certificates=False), critical=True)
    # Python 3.13 refuses a certificate without an authority key identifier.
    issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(by.key.public_key())
    builder = builder.add_extension(issuer, critical=False)
    builder = builder.add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    return Issued(key, builder.sign(by.key, hashes.SHA256()))


def _unsigned(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, now: dt.datetime
) -> x509.CertificateBuilder:
    # Valid from an hour ago, in case the clock is set back while the cluster starts.
    begins = now - dt.timedelta(hours=1)
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(key.public_key())
    builder = builder.serial_number(x509.random_serial_number())
    return builder.not_valid_before(begins).not_valid_after(now + LIFETIME)


def _subject(name: str, groups: Sequence[str]) -> x509.Name:
    organizations = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, group) for group in groups]
    return x509.Name([*organizations, x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )
