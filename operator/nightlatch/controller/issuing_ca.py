"""The issuing CA of this process, in memory: set when the installation's plan is applied, used wherever leaves are."""

from nightlatch.pki import CertificateAuthority
from nightlatch.planning.inputs import CAView


class IssuingCA:
    """Empty until the installation's PKI has been reconciled once."""

    def __init__(self) -> None:
        self._ca: CertificateAuthority | None = None
        self._view: CAView | None = None

    def get(self) -> CertificateAuthority | None:
        """The CA that signs leaves now."""
        return self._ca

    def put(self, ca: CertificateAuthority, view: CAView) -> None:
        """Sign leaves by this CA from now on."""
        self._ca, self._view = ca, view

    def view(self) -> CAView | None:
        """What planning may know of the CA, which excludes the private key."""
        return self._view
