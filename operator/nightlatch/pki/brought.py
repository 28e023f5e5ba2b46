"""A CA that somebody brings: an intermediate with its key, whose root stays outside, or a root.

The Secret has cert-manager's shape: `tls.crt` holds the CA and then what signed it, `tls.key` its key, `ca.crt` the
roots that verifiers trust. RSA and elliptic curves, and a chain of up to LONGEST_CHAIN certificates.
"""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime

from cryptography import x509
from cryptography.exceptions import InvalidSignature

from nightlatch.api.conditions import Reason
from nightlatch.pki.bundle import Finding, clean_bundle, fingerprint
from nightlatch.pki.material import (
    CA_CRT,
    TLS_CRT,
    TLS_KEY,
    CertificateAuthority,
    PkiError,
    is_ca,
    path_length,
    read_ca,
    read_certificates,
)

LONGEST_CHAIN = 5


def read_brought_ca(secret: str, data: Mapping[str, bytes], now: datetime) -> CertificateAuthority | Finding:
    """The CA in a user's Secret, named `secret` in messages, or the first thing that is wrong with it."""
    if not data.get(TLS_KEY):
        return Finding(Reason.CA_WITHOUT_KEY, f"Secret {secret} has no {TLS_KEY}: put the private key of the CA there")
    try:
        chain = read_certificates(data.get(TLS_CRT, b""))
        anchors = clean_bundle(read_certificates(data.get(CA_CRT, b"")), now).certificates
    except PkiError:
        return Finding(
            Reason.CA_UNREADABLE,
            f"{TLS_CRT} and {CA_CRT} in Secret {secret} must be PEM: the CA with what signed it, and the roots",
        )
    if not all(map(is_ca, (*chain, *anchors))):
        return Finding(Reason.CA_UNREADABLE, f"a certificate in Secret {secret} is not a CA: put CAs alone there")
    try:
        ca = read_ca(data)
    except PkiError as error:
        return Finding(Reason.CA_UNREADABLE, f"Secret {secret}: {error}")
    if not ca.key_id:
        return Finding(Reason.CA_UNREADABLE, f"the CA in Secret {secret} has no subject key id: issue it with one")
    broken = _not_valid(secret, chain, anchors, now) or _too_short(secret, chain, anchors)
    # Without what has expired, or is there twice: verifiers refuse a whole bundle for it.
    return broken or replace(ca, trust=anchors, chain=tuple(each for each in chain[1:] if each not in anchors))


def _not_valid(
    secret: str, chain: tuple[x509.Certificate, ...], anchors: tuple[x509.Certificate, ...], now: datetime
) -> Finding | None:
    for each in chain:
        if not each.not_valid_before_utc <= now < each.not_valid_after_utc:
            return Finding(
                Reason.CA_EXPIRED,
                f"{each.subject.rfc4514_string()} in Secret {secret} is not valid now: bring one that is",
            )
    if not anchors:
        return Finding(Reason.CA_EXPIRED, f"every root in {CA_CRT} of Secret {secret} has expired: bring a valid one")
    return None


def _too_short(
    secret: str, chain: tuple[x509.Certificate, ...], anchors: tuple[x509.Certificate, ...]
) -> Finding | None:
    """The chain does not reach a root, or one above may not have as many CAs below it as there are."""
    path = _path(chain, anchors)
    if path is None or len(path) > LONGEST_CHAIN:
        return Finding(
            Reason.CA_CHAIN_BROKEN,
            f"{TLS_CRT} in Secret {secret} does not lead to a root in {CA_CRT}: list the CA and then each that signed"
            f" the one before, {LONGEST_CHAIN} at most",
        )
    for below, each in enumerate(path):
        allowed = path_length(each)
        if allowed is not None and allowed < below:
            return Finding(
                Reason.CA_PATH_LENGTH,
                f"{each.subject.rfc4514_string()} allows {allowed} CAs below it, and {below} are: bring a CA that its"
                " root allows to sign leaves",
            )
    return None


def _path(
    chain: tuple[x509.Certificate, ...], anchors: tuple[x509.Certificate, ...]
) -> tuple[x509.Certificate, ...] | None:
    """From the CA to an anchor; None if a certificate did not sign the one before it."""
    known = {fingerprint(each) for each in anchors}
    path: list[x509.Certificate] = []
    for each in chain:
        if path and not _signed(path[-1], each):
            return None
        path.append(each)
        if fingerprint(each) in known:
            return tuple(path)
    anchor = next((each for each in anchors if _signed(path[-1], each)), None)
    return (*path, anchor) if anchor else None


def _signed(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True
