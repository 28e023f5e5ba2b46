"""Check a new certificate: does it say what was requested, and does a verifier accept it?"""

from collections.abc import Mapping
from datetime import datetime

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.x509.verification import (
    Criticality,
    ExtensionPolicy,
    PolicyBuilder,
    Store,
    VerificationError,
)

from nightlatch.pki.material import (
    CA_CRT,
    TLS_CRT,
    Leaf,
    LeafRequest,
    PkiError,
    TlsMaterial,
    is_ca,
    read_certificates,
    read_leaf,
)


def verify_issued(material: TlsMaterial, request: LeafRequest, *, now: datetime) -> None:
    """Check key, names, usage, validity and the path to `material.ca`. Raises PkiError that says what is wrong."""
    leaf = read_leaf(material.secret_data())
    for wrong, what in _differences(leaf, request, now):
        if wrong:
            raise PkiError(f"the issued certificate {what}")
    _verify_path(material, now)


def path_fault(data: Mapping[str, bytes], *, now: datetime) -> str:
    """Why verifiers would not believe the chain in a Secret of another issuer, fit for a condition; empty if they do.

    An issuer whose CA verifiers know anyway (ACME) writes no `ca.crt`; then the path is theirs to judge.
    """
    try:
        leaf, *intermediates = read_certificates(data[TLS_CRT])
        anchors = read_certificates(data[CA_CRT]) if data.get(CA_CRT) else ()
    except PkiError as error:
        return f"{CA_CRT} is {error}"
    if is_ca(leaf):
        return "the certificate is one of a CA, which must not be used as a leaf"
    if not anchors:
        return ""
    if any(not is_ca(each) for each in anchors):
        return f"{CA_CRT} holds a certificate that is not a CA: name an issuer with a CA, not a self-signing one"
    any_leaf = ExtensionPolicy.permit_all().require_present(x509.SubjectAlternativeName, Criticality.AGNOSTIC, None)
    try:
        PolicyBuilder().store(Store(list(anchors))).time(now).max_chain_depth(len(intermediates)).extension_policies(
            ca_policy=ExtensionPolicy.webpki_defaults_ca(), ee_policy=any_leaf
        ).build_client_verifier().verify(leaf, intermediates)
    except VerificationError as error:
        return f"the certificate does not lead to a CA in {CA_CRT}: {error}"
    return ""


def is_signed_under(data: Mapping[str, bytes], trusted: bytes) -> bool:
    """Whether one of these CAs (PEM) signed a certificate of the chain in a Secret, or is one of the chain.

    Verifiers also ask whether the chain holds: see `path_fault`. Raises PkiError if a certificate cannot be read.
    """
    chain, anchors = read_certificates(data[TLS_CRT]), read_certificates(trusted)
    return any(each == anchor or _is_signed_by(each, anchor) for each in chain for anchor in anchors)


def _is_signed_by(certificate: x509.Certificate, ca: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(ca)
    except (ValueError, TypeError, InvalidSignature):
        # Another name, a kind of key that signs no certificates, or another key of that name.
        return False
    return True


def _differences(leaf: Leaf, request: LeafRequest, now: datetime) -> tuple[tuple[bool, str], ...]:
    return (
        (not leaf.key_matches, "does not belong to the private key"),
        (leaf.identities != (request.identity,), f"does not have {request.identity} as its only URI"),
        (leaf.dns_names != request.dns_names, "does not have the requested DNS names"),
        (leaf.usages != (request.usage,), f"is not for {request.usage} use alone"),
        (not leaf.not_before <= now < leaf.not_after, "is not valid now: check whether the CA is"),
    )


def _verify_path(material: TlsMaterial, now: datetime) -> None:
    leaf, *intermediates = read_certificates(material.certificate)
    try:
        # A client verifier with our own rules for the leaf checks path, constraints and validity for both uses.
        # The library's server verifier would insist on one DNS name and ignore the identity.
        PolicyBuilder().store(Store(list(read_certificates(material.ca)))).time(now).max_chain_depth(
            len(intermediates)
        ).extension_policies(
            ca_policy=ExtensionPolicy.webpki_defaults_ca(), ee_policy=_leaf_rules()
        ).build_client_verifier().verify(leaf, intermediates)
    except VerificationError as error:
        raise PkiError(f"the issued certificate does not verify: {error}") from error


def _leaf_rules() -> ExtensionPolicy:
    policy = ExtensionPolicy.permit_all()
    policy = policy.require_present(x509.SubjectAlternativeName, Criticality.CRITICAL, None)
    policy = policy.require_present(x509.BasicConstraints, Criticality.CRITICAL, _is_not_a_ca)
    return policy.require_present(x509.KeyUsage, Criticality.CRITICAL, _signs_handshakes_only)


def _is_not_a_ca(_policy: object, _certificate: x509.Certificate, found: x509.BasicConstraints) -> None:
    if found.ca:
        raise ValueError("a leaf must not be a CA")


def _signs_handshakes_only(_policy: object, _certificate: x509.Certificate, found: x509.KeyUsage) -> None:
    if not found.digital_signature or found.key_cert_sign:
        raise ValueError("a leaf signs handshakes and no certificates")
