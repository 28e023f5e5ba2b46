"""The issuing authority in force, in memory between the PKI reconciler, which sets it, and those who issue by it."""

from nightlatch.pki import CertificateAuthority
from nightlatch.planning.inputs import CAView


class IssuingCA:
    """None until the PKI reconciler read or made one."""

    def __init__(self) -> None:
        self._issuing: CertificateAuthority | None = None

    def get(self) -> CertificateAuthority | None:
        """The authority that signs leaves now."""
        return self._issuing

    def put(self, issuing: CertificateAuthority) -> bool:
        """Put it in force. Returns whether it is another one than before."""
        changed = self._issuing is None or self._issuing.certificate != issuing.certificate
        self._issuing = issuing
        return changed

    def view(self) -> CAView | None:
        """What planning may know of it: no private key."""
        issuing = self._issuing
        return CAView(issuing.key_id, issuing.trust_pem) if issuing else None
