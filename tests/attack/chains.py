"""Chains of client certificates in which one says something unusual: every part can be told, or left out."""

import warnings
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from tests.attack.certificates import Issuer, Presented, key_usage, shown

_DAY = timedelta(days=1)
# An extension that nobody knows. `as_another` makes one out of it that cryptography would not write.
UNKNOWN = x509.ObjectIdentifier("2.5.29.99")
Extension = tuple[x509.ExtensionType, bool]


@dataclass(frozen=True)
class Said:
    """What a certificate says. Times count from now; None leaves an extension out.

    key: `p256`, or `rsa` and its bits. more: further extensions, each with whether it is critical. as_another: the last
    byte of the OID that takes the place of UNKNOWN's. serial: its DER content, where cryptography would refuse it.
    outer: whether the signature's algorithm is called another outside than inside. flipped: whether a bit of the
    signature is another.
    """

    names: tuple[x509.GeneralName, ...] = ()
    subject: tuple[tuple[x509.ObjectIdentifier, str], ...] = ((NameOID.COMMON_NAME, "caller"),)
    issuer: tuple[tuple[x509.ObjectIdentifier, str], ...] | None = None
    key: str = "p256"
    ca: bool | None = False
    path_length: int | None = None
    usage: x509.KeyUsage | None = field(default_factory=lambda: key_usage(signs=False))
    purposes: tuple[x509.ObjectIdentifier, ...] | None = (ExtendedKeyUsageOID.CLIENT_AUTH,)
    more: tuple[Extension, ...] = ()
    begins: timedelta = -_DAY
    ends: timedelta = _DAY
    as_another: int | None = None
    serial: bytes | None = None
    outer: bool = False
    flipped: bool = False


@dataclass(frozen=True)
class Authority(Said):
    """What a CA between root and leaf says."""

    subject: tuple[tuple[x509.ObjectIdentifier, str], ...] = ((NameOID.COMMON_NAME, "between"),)
    ca: bool | None = True
    usage: x509.KeyUsage | None = field(default_factory=lambda: key_usage(signs=True))
    purposes: tuple[x509.ObjectIdentifier, ...] | None = None


def chain(root: Issuer, leaf: Said, *between: Said, sent: int | None = None) -> Presented:
    """The leaf below these CAs, of which the first is below the root. sent: how many of them the caller shows."""
    issuer, above = root, []
    for said in between:
        key = _key(said.key)
        made = made_of(said, key, issuer)
        issuer, above = Issuer(made, key, ()), [made, *above]
    key = _key(leaf.key)
    certificates = [made_of(leaf, key, issuer), *above[: len(above) if sent is None else sent]]
    return shown(key, *certificates)


def made_of(said: Said, key: Any, issuer: Issuer) -> x509.Certificate:
    """The certificate."""
    now = datetime.now(UTC)
    subject = _name(said.subject)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(_name(said.issuer) if said.issuer is not None else issuer.certificate.subject)
        .public_key(key.public_key())
        .serial_number(1 if said.serial is not None else x509.random_serial_number())
        .not_valid_before(now + said.begins)
        .not_valid_after(now + said.ends)
    )
    for extension, critical in (*_extensions(said), *said.more):
        builder = builder.add_extension(extension, critical)
    made = builder.sign(issuer.key, hashes.SHA256())
    if said.serial is None and said.as_another is None and not said.outer and not said.flipped:
        return made
    with warnings.catch_warnings():
        # A serial number that is not positive is what some of these are about.
        warnings.simplefilter("ignore")
        return x509.load_der_x509_certificate(_changed(made, said, issuer))


def _extensions(said: Said) -> list[Extension]:
    found: list[Extension] = []
    if said.ca is not None:
        found.append((x509.BasicConstraints(said.ca, said.path_length), True))
    if said.usage is not None:
        found.append((said.usage, True))
    if said.purposes is not None:
        found.append((x509.ExtendedKeyUsage(said.purposes), False))
    if said.names:
        found.append((x509.SubjectAlternativeName(said.names), not said.subject))
    return found


def _changed(made: x509.Certificate, said: Said, issuer: Issuer) -> bytes:
    """The certificate's DER with what cryptography refuses to write, signed again."""
    content, whole = made.tbs_certificate_bytes, made.public_bytes(serialization.Encoding.DER)
    end = whole.index(content) + len(content)
    algorithm = whole[end : end + 2 + whole[end + 1]]
    if said.as_another is not None:
        content = content.replace(b"\x06\x03\x55\x1d\x63", b"\x06\x03\x55\x1d" + bytes([said.as_another]))
    if said.serial is not None:
        number = b"\x02\x01\x01"
        # The version comes before it, and the length of the whole counts it.
        before, _, after = _content(content).partition(b"\xa0\x03\x02\x01\x02" + number)
        assert not before
        content = _der(0x30, b"\xa0\x03\x02\x01\x02" + _der(0x02, said.serial) + after)
    signature = bytearray(_signature(issuer, content))
    if said.flipped:
        signature[-1] ^= 1
    if said.outer:
        # ecdsa-with-SHA256 becomes ecdsa-with-SHA384.
        algorithm = algorithm[:-1] + bytes([algorithm[-1] ^ 1])
    return _der(0x30, content + algorithm + _der(0x03, b"\0" + bytes(signature)))


def _signature(issuer: Issuer, content: bytes) -> bytes:
    key: Any = issuer.key
    if isinstance(key, rsa.RSAPrivateKey):
        return key.sign(content, padding.PKCS1v15(), hashes.SHA256())
    return bytes(key.sign(content, ec.ECDSA(hashes.SHA256())))


def _content(sequence: bytes) -> bytes:
    long = sequence[1] & 0x7F if sequence[1] & 0x80 else 0
    return sequence[2 + long :]


def _der(tag: int, content: bytes) -> bytes:
    size = len(content)
    if size < 0x80:
        return bytes([tag, size]) + content
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(length)]) + length + content


def _key(kind: str) -> Any:
    return ec.generate_private_key(ec.SECP256R1()) if kind == "p256" else rsa.generate_private_key(65537, int(kind[3:]))


def _name(parts: tuple[tuple[x509.ObjectIdentifier, str], ...]) -> x509.Name:
    return x509.Name([x509.NameAttribute(oid, value) for oid, value in parts])


def cross_signed(root: Issuer, leaf: Said, *, rooted: bool) -> Presented:
    """Two CAs that signed each other, and the leaf below one. rooted: whether the root signed the other one as well."""
    one, two = (replace(Authority(), subject=((NameOID.COMMON_NAME, name),)) for name in ("one", "two"))
    keys = [_key("p256"), _key("p256")]
    loose = [Issuer(made_of(said, key, root), key, ()) for said, key in zip((one, two), keys, strict=True)]
    one_by_two, two_by_one = made_of(one, keys[0], loose[1]), made_of(two, keys[1], loose[0])
    above = [one_by_two, loose[1].certificate if rooted else two_by_one]
    key = _key("p256")
    certificates = [made_of(leaf, key, loose[0]), *above]
    return shown(key, *certificates)
