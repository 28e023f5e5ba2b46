"""A client certificate as a gateway sees it: the names that the gate is told, and whether the handshake succeeds.

Envoy verifies the chain before the gate sees a call. Here `cryptography` does it, by the rules that Envoy has for
clients as far as they concern certificates that people meet: path, validity, what the leaf is for.
"""

from dataclasses import dataclass
from datetime import datetime

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID
from cryptography.x509.verification import Criticality, ExtensionPolicy, PolicyBuilder, Store, VerificationError

from nightlatch.pki.bundle import fingerprint
from nightlatch.pki.material import PkiError, extension, is_ca, read_certificates


@dataclass(frozen=True, slots=True)
class Shown:
    """`note`: what the listener notes of the certificate. fault: why the handshake would fail; empty if it does not."""

    note: str
    fault: str


def read_shown(chain: bytes, trust: str, *, now: datetime) -> Shown:
    """A chain, leaf first, at a gateway that trusts these CAs (PEM). Raises PkiError if it cannot be read or judged."""
    leaf, *intermediates = read_certificates(chain)
    try:
        return Shown(_note(leaf), _fault(leaf, intermediates, read_certificates(trust.encode()), now))
    except ValueError as error:
        raise PkiError("a certificate with an extension that cannot be read") from error


def _note(leaf: x509.Certificate) -> str:
    """The format of `certificate()` in `routing/xds/native_module.py`."""
    names = extension(leaf, x509.SubjectAlternativeName) or x509.SubjectAlternativeName([])
    uris = ",".join(names.get_values_for_type(x509.UniformResourceIdentifier))
    dns = ",".join(names.get_values_for_type(x509.DNSName))
    return f"{int(leaf.not_valid_after_utc.timestamp())} {fingerprint(leaf)}\n{uris}\n{dns}"


def _fault(
    leaf: x509.Certificate, intermediates: list[x509.Certificate], anchors: tuple[x509.Certificate, ...], now: datetime
) -> str:
    if not leaf.not_valid_before_utc <= now <= leaf.not_valid_after_utc:
        valid = f"{leaf.not_valid_before_utc:%Y-%m-%dT%H:%M:%SZ} to {leaf.not_valid_after_utc:%Y-%m-%dT%H:%M:%SZ}"
        return f"the certificate is valid from {valid}, which is not now"
    if not _is_for_clients(leaf):
        return "the certificate is not for clients: its usages lack clientAuth or digitalSignature"
    policy = PolicyBuilder().store(Store(list(anchors))).time(now).max_chain_depth(len(intermediates))
    authority = ExtensionPolicy.permit_all()
    authority = authority.require_present(x509.BasicConstraints, Criticality.AGNOSTIC, _must_be_a_ca)
    authority = authority.may_be_present(x509.KeyUsage, Criticality.AGNOSTIC, _may_sign)
    policy = policy.extension_policies(ca_policy=authority, ee_policy=ExtensionPolicy.permit_all())
    try:
        policy.build_client_verifier().verify(leaf, intermediates)
    except VerificationError as error:
        if any(_is_constrained(each) for each in (*intermediates, *anchors)):
            raise PkiError(
                "under a CA with constraints on names or policies, which only a gateway can judge"
            ) from error
        # What the library says of it is about its own search, and helps nobody.
        issuer = leaf.issuer.rfc4514_string()
        return f"its chain does not lead to a CA that the endpoint trusts; the certificate was issued by {issuer!r}"
    return ""


def _is_for_clients(leaf: x509.Certificate) -> bool:
    purposes, usage = extension(leaf, x509.ExtendedKeyUsage), extension(leaf, x509.KeyUsage)
    for_clients = purposes is None or ExtendedKeyUsageOID.CLIENT_AUTH in purposes
    return for_clients and (usage is None or usage.digital_signature or usage.key_agreement) and not is_ca(leaf)


def _must_be_a_ca(_policy: object, _certificate: x509.Certificate, found: x509.BasicConstraints) -> None:
    if not found.ca:
        raise ValueError("an intermediate is no CA")


def _may_sign(_policy: object, _certificate: x509.Certificate, found: x509.KeyUsage | None) -> None:
    if found is not None and not found.key_cert_sign:
        raise ValueError("an intermediate may not sign certificates")


def _is_constrained(authority: x509.Certificate) -> bool:
    return any(extension(authority, kind) for kind in (x509.NameConstraints, x509.PolicyConstraints))
