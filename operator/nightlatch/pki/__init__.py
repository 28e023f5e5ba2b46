"""Certificates: make authorities, issue leaves, check what was issued, say when to renew. The clock is handed in.

    root = new_root(now=now)
    issuing = new_issuing(root, now=now)
    material = issue_leaf(issuing, LeafRequest("spiffe://td/gateway", "client"), now=now)

Private keys come from the `cryptography` package's own generator, serial numbers from the `random` handed in.
"""

from nightlatch.pki.ca import new_issuing, new_root
from nightlatch.pki.issuing import issue_leaf
from nightlatch.pki.material import (
    CertificateAuthority,
    Leaf,
    LeafRequest,
    PkiError,
    TlsMaterial,
    authority_material,
    read_authority,
    read_leaf,
)
from nightlatch.pki.policy import PolicyInput, Violation, first_violation
from nightlatch.pki.renewal import renew_at
from nightlatch.pki.verification import verify_issued

__all__ = [
    "CertificateAuthority",
    "Leaf",
    "LeafRequest",
    "PkiError",
    "PolicyInput",
    "TlsMaterial",
    "Violation",
    "authority_material",
    "first_violation",
    "issue_leaf",
    "new_issuing",
    "new_root",
    "read_authority",
    "read_leaf",
    "renew_at",
    "verify_issued",
]
