"""The kinds of x509-limbo (github.com/C2SP/x509-limbo), re-made as chains of callers with keys of our own.

Its own cases are chains of servers. Each row here is a chain that it says must fail, and a twin that differs in one
thing. `ACCEPTED` are those of its kinds that Envoy lets in all the same, each with the reason why that gives nobody
access that the trusted CA did not mean to give. Constraints on addresses are refused whole, so no twin could be let in.
What OpenSSL refuses to send is tried in the CA above the leaf.
"""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from tests.attack.certificates import Pki, Presented
from tests.attack.chains import UNKNOWN, Authority, Said, chain, cross_signed
from tests.attack.tables.certificates import BOT, NAMED, CertificateRow

_DAY = timedelta(days=1)
_SAN, _BASIC = 0x11, 0x13
_ONE_NAME = bytes([0x30, len(BOT) + 2, 0x86, len(BOT)]) + BOT.encode()
Shown = Callable[[Pki], Presented]
LEAF = Said(names=(x509.UniformResourceIdentifier(BOT),))
BY_NAME = Said(names=(x509.DNSName(NAMED),))
_ORGANISATION = NameOID.ORGANIZATION_NAME
_ORGANISED = replace(LEAF, subject=((_ORGANISATION, "ml"), (NameOID.COMMON_NAME, "caller")))
CA = Authority()


def _below(*between: Said, leaf: Said = LEAF, sent: int | None = None) -> Shown:
    return lambda pki: chain(pki.root, leaf, *between, sent=sent)


def _leaf(**changes: Any) -> Shown:
    return _below(leaf=replace(LEAF, **changes))


def _ca(*, leaf: Said = LEAF, **changes: Any) -> Shown:
    return _below(replace(CA, **changes), leaf=leaf)


def _with(extension: x509.ExtensionType, *, critical: bool = False) -> dict[str, Any]:
    return {"more": ((extension, critical),)}


def _unknown(content: bytes = b"\x05\x00") -> x509.ExtensionType:
    return x509.UnrecognizedExtension(UNKNOWN, content)


def _constrained(
    permitted: x509.GeneralName | None = None, excluded: x509.GeneralName | None = None, leaf: Said = LEAF
) -> Shown:
    """Below a CA that may name only these, or not these."""
    constraints = x509.NameConstraints([permitted] if permitted else None, [excluded] if excluded else None)
    return _ca(leaf=leaf, **_with(constraints, critical=True))


def _organisation(name: str) -> x509.GeneralName:
    return x509.DirectoryName(x509.Name([x509.NameAttribute(_ORGANISATION, name)]))


def _key_id(byte: int) -> x509.ExtensionType:
    return x509.SubjectKeyIdentifier(bytes([byte]) * 20)


def _by_key_id(byte: int, *, critical: bool = False) -> Shown:
    """A leaf that says by which key it is signed, and a CA that says that its key is 1."""
    said = x509.AuthorityKeyIdentifier(bytes([byte]) * 20, None, None)
    return _below(replace(CA, **_with(_key_id(1))), leaf=replace(LEAF, **_with(said, critical=critical)))


_URI, _DNS = x509.UniformResourceIdentifier, x509.DNSName
_NO_SIGNATURE = x509.KeyUsage(
    digital_signature=False,
    content_commitment=False,
    key_encipherment=True,
    data_encipherment=False,
    key_agreement=False,
    key_cert_sign=False,
    crl_sign=False,
    encipher_only=False,
    decipher_only=False,
)

_BOTH = x509.KeyUsage(
    digital_signature=True,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    key_cert_sign=True,
    crl_sign=True,
    encipher_only=False,
    decipher_only=False,
)

ROWS = [
    CertificateRow("a CA that has expired", _ca(begins=-2 * _DAY, ends=-_DAY), _ca()),
    CertificateRow("a CA that is not yet valid", _ca(begins=_DAY, ends=2 * _DAY), _ca()),
    CertificateRow("a CA without basic constraints", _ca(ca=None), _ca()),
    CertificateRow("a CA that is not shown", _below(CA, sent=0), _below(CA)),
    CertificateRow("an issuer of another name", _leaf(issuer=((NameOID.COMMON_NAME, "nobody"),)), _leaf()),
    CertificateRow("a signature with another bit", _leaf(flipped=True), _leaf()),
    CertificateRow("a signature algorithm that is another outside than inside", _leaf(outer=True), _leaf()),
    CertificateRow(
        "an unknown critical extension", _leaf(**_with(_unknown(), critical=True)), _leaf(**_with(_unknown()))
    ),
    CertificateRow(
        "an unknown critical extension of a CA", _ca(**_with(_unknown(), critical=True)), _ca(**_with(_unknown()))
    ),
    CertificateRow(
        "basic constraints twice",
        _ca(**_with(_unknown(b"\x30\x03\x01\x01\xff")), as_another=_BASIC),
        _ca(**_with(_unknown(b"\x30\x03\x01\x01\xff"))),
    ),
    CertificateRow(
        "a CA with names that are no sequence",
        _ca(**_with(_unknown(b"\x31" + _ONE_NAME[1:])), as_another=_SAN),
        _ca(**_with(_unknown(_ONE_NAME)), as_another=_SAN),
    ),
    CertificateRow(
        "a URI outside the permitted ones", _constrained(_URI("other.example")), _constrained(_URI("nightlatch.local"))
    ),
    CertificateRow(
        "a URI among the excluded ones",
        _constrained(excluded=_URI("nightlatch.local")),
        _constrained(excluded=_URI("other.example")),
    ),
    CertificateRow(
        "a DNS name outside the permitted ones",
        _constrained(_DNS("other.example"), leaf=BY_NAME),
        _constrained(_DNS("corp.example"), leaf=BY_NAME),
    ),
    CertificateRow(
        "a DNS name among the excluded ones",
        _constrained(excluded=_DNS("corp.example"), leaf=BY_NAME),
        _constrained(excluded=_DNS("other.example"), leaf=BY_NAME),
    ),
    CertificateRow(
        "a subject outside the permitted ones",
        _constrained(_organisation("other"), leaf=_ORGANISED),
        _constrained(_organisation("ml"), leaf=_ORGANISED),
    ),
    CertificateRow(
        "a subject among the excluded ones",
        _constrained(excluded=_organisation("ml"), leaf=_ORGANISED),
        _constrained(excluded=_organisation("other"), leaf=_ORGANISED),
    ),
    CertificateRow(
        "a CA for servers alone",
        _ca(purposes=(ExtendedKeyUsageOID.SERVER_AUTH,)),
        _ca(purposes=(ExtendedKeyUsageOID.CLIENT_AUTH,)),
    ),
    CertificateRow(
        "any purpose, which is none of ours", _leaf(purposes=(ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE,)), _leaf()
    ),
    CertificateRow("for code signing alone", _leaf(purposes=(ExtendedKeyUsageOID.CODE_SIGNING,)), _leaf()),
    CertificateRow("a key that must not sign", _leaf(usage=_NO_SIGNATURE), _leaf()),
    CertificateRow("a key identifier that is critical", _by_key_id(1, critical=True), _by_key_id(1)),
    CertificateRow("the identifier of another key", _by_key_id(2), _by_key_id(1)),
    CertificateRow(
        "two CAs that signed each other, and no root",
        lambda pki: cross_signed(pki.root, LEAF, rooted=False),
        lambda pki: cross_signed(pki.root, LEAF, rooted=True),
    ),
    CertificateRow(
        "a policy that a CA requires and nobody has",
        _ca(**_with(x509.PolicyConstraints(0, None), critical=True)),
        _ca(**_with(x509.PolicyConstraints(9, None), critical=True)),
    ),
]

# The CA decides what it signs. None of these lets a caller be somebody whom the CA did not name.
ACCEPTED: dict[str, tuple[Shown, str]] = {
    "without a purpose": (_leaf(purposes=None), "RFC 5280: without extKeyUsage a key is for any purpose, as in SPIFFE"),
    "a leaf that may sign certificates and is no CA": (
        _leaf(usage=_BOTH),
        "what it signs is refused: see `under a leaf`",
    ),
    "a CA as a leaf": (_leaf(ca=True, usage=_BOTH), "whoever has its key could as well sign such a leaf"),
    "name constraints in a leaf": (
        _leaf(**_with(x509.NameConstraints([_URI("other.example")], None), critical=True)),
        "they are about what a CA signs",
    ),
    "a leaf without key usage": (_leaf(usage=None), "RFC 5280: without it a key is for any usage"),
    "names that are not critical beside an empty subject": (
        _leaf(subject=(), **_with(x509.SubjectAlternativeName(list(LEAF.names))), names=()),
        "the names are read in any case, and the subject never is",
    ),
    "the serial number 0": (_leaf(serial=b"\0"), "certificates are told apart by their digests"),
    "a negative serial number": (_leaf(serial=b"\xff"), "certificates are told apart by their digests"),
    "a serial number of 30 bytes": (_leaf(serial=b"\1" * 30), "certificates are told apart by their digests"),
    "an RSA key of 1024 bits": (_leaf(key="rsa1024"), "the CA signed it; whoever breaks it is that one caller"),
    "a CA with an RSA key of 1024 bits": (_ca(key="rsa1024"), "the trusted CA chose it"),
}
