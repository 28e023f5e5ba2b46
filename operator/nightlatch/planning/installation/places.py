"""The two places for a CA: one has the CA that signs. The other is empty, or has the next CA or the one before."""

from collections.abc import Mapping
from dataclasses import dataclass

from nightlatch.api import names
from nightlatch.api.meta import NamespacedName
from nightlatch.pki import CertificateAuthority, PkiError, read_ca
from nightlatch.pki.bundle import fingerprint
from nightlatch.pki.material import read_certificates, root_key_id
from nightlatch.planning.installation.certificates import installation_owner
from nightlatch.planning.installation.ledger import CAFound
from nightlatch.planning.secrets import SecretView
from nightlatch.planning.settings import Settings

_NAMES = (
    (names.ROOT_CA_SECRET, names.ISSUING_CA_SECRET),
    (names.SECOND_ROOT_CA_SECRET, names.SECOND_ISSUING_CA_SECRET),
)


@dataclass(frozen=True, slots=True)
class Place:
    """A root and the CA that it signed, each with the Secret found under its name, whoever made it."""

    root_key: NamespacedName
    issuing_key: NamespacedName
    root: SecretView | None = None
    issuing: SecretView | None = None

    @property
    def empty(self) -> bool:
        return self.root is None and self.issuing is None


def places(settings: Settings, found: Mapping[NamespacedName, SecretView]) -> tuple[Place, Place]:
    """Both places with what is there."""
    keys = [[NamespacedName(settings.operator_namespace, name) for name in pair] for pair in _NAMES]
    first, second = (Place(root, issuing, found.get(root), found.get(issuing)) for root, issuing in keys)
    return first, second


def usable_ca(place: Place, settings: Settings) -> CertificateAuthority | None:
    """The issuing CA there, if it is ours and can be read."""
    if place.issuing is None or not place.issuing.is_of(installation_owner(settings), names.ROLE_CA):
        return None
    try:
        return read_ca(place.issuing.data)
    except PkiError:
        return None


def generation_of(ca: CertificateAuthority) -> CAFound:
    """A generation is a root: a new CA under the same root changes nobody's trust."""
    anchors = frozenset(fingerprint(each) for each in ca.trust)
    return CAFound(root_key_id((ca.certificate, *ca.chain)[-1]), anchors)


def generation_shown(chain: bytes) -> str:
    """The key id of the root of a chain (PEM), which comes without its root."""
    return root_key_id(read_certificates(chain)[-1])
