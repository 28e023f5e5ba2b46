"""Decides what our certificates say, whether one is still the wanted one, and when to renew it; creates CAs and leaves.

No I/O: the clock and the random serial numbers are handed in, and private keys come from the generator of the
`cryptography` package. Start with `material.py` for the values and `policy.py` for the checks:

    root = new_root(now=now)
    issuing = new_issuing(root, now=now)
    material = issue_leaf(issuing, LeafRequest("spiffe://td/gateway", "client"), now=now)
"""

from nightlatch.pki.bundle import Bundle, Finding, clean_bundle, read_trust
from nightlatch.pki.ca import new_issuing, new_root
from nightlatch.pki.issuing import issue_leaf
from nightlatch.pki.material import (
    CA_CRT,
    CertificateAuthority,
    Leaf,
    LeafRequest,
    PkiError,
    TlsMaterial,
    ca_material,
    read_ca,
    read_leaf,
)
from nightlatch.pki.policy import OTHERS_CHAIN, PolicyInput, Violation, first_violation
from nightlatch.pki.renewal import reissue_at, renew_at
from nightlatch.pki.verification import is_signed_under, path_fault, verify_issued

__all__ = [
    "CA_CRT",
    "OTHERS_CHAIN",
    "Bundle",
    "CertificateAuthority",
    "Finding",
    "Leaf",
    "LeafRequest",
    "PkiError",
    "PolicyInput",
    "TlsMaterial",
    "Violation",
    "ca_material",
    "clean_bundle",
    "first_violation",
    "is_signed_under",
    "issue_leaf",
    "new_issuing",
    "new_root",
    "path_fault",
    "read_ca",
    "read_leaf",
    "read_trust",
    "reissue_at",
    "renew_at",
    "verify_issued",
]
