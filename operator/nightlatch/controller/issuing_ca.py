"""The issuing CA of this process, in memory: set when the installation's plan is applied, used wherever leaves are."""

from nightlatch.pki import CertificateAuthority
from nightlatch.planning.inputs import CAView


class IssuingCA:
    """Empty until the installation's PKI has been reconciled once."""

    def __init__(self) -> None:
        self._ca: CertificateAuthority | None = None

    def get(self) -> CertificateAuthority | None:
        """The CA that signs leaves now."""
        return self._ca

    def put(self, ca: CertificateAuthority) -> None:
        """Sign leaves by this CA from now on."""
        self._ca = ca

    def view(self) -> CAView | None:
        """What planning may know of the CA, which excludes the private key."""
        return CAView(self._ca.key_id, self._ca.trust_pem) if self._ca else None
