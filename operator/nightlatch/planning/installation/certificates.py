"""Which CAs and leaves the installation has: their Secrets, their owner, their contents."""

from datetime import datetime

from nightlatch.api import names
from nightlatch.api.meta import NamespacedName, ObjectRef
from nightlatch.pki import CertificateAuthority, LeafRequest
from nightlatch.planning.leaves import WantedLeaf
from nightlatch.planning.plan import Owner
from nightlatch.planning.settings import Settings

# The owner of Secrets that belong to none of our objects: the installation, which is no Kubernetes object with a uid.
INSTALLATION = "Installation"
INSTALLATION_UID = "nightlatch-installation"


def installation_ref(settings: Settings) -> ObjectRef:
    """The key under which the installation's PKI is reconciled."""
    return ObjectRef(INSTALLATION, NamespacedName(settings.operator_namespace, "pki"))


def installation_owner(settings: Settings) -> Owner:
    """The owner of CA, gateway and operator Secrets. Without an owner reference: the installation is not an object."""
    return Owner(installation_ref(settings), INSTALLATION_UID, api_version="")


def root_secret(settings: Settings) -> NamespacedName:
    """The root's Secret, in the operator's namespace, which gateways cannot read."""
    return NamespacedName(settings.operator_namespace, names.ROOT_CA_SECRET)


def issuing_secret(settings: Settings) -> NamespacedName:
    """The issuing CA's Secret, beside the root's."""
    return NamespacedName(settings.operator_namespace, names.ISSUING_CA_SECRET)


def installation_leaves(settings: Settings) -> tuple[WantedLeaf, ...]:
    """The operator's client leaf; the gateways' client leaf (to model servers) and server leaf (report stream)."""
    gateway = names.gateway_identity(settings.trust_domain)
    operator = LeafRequest(names.operator_identity(settings.trust_domain), "client", (), settings.leaf_duration)
    to_models = LeafRequest(gateway, "client", (), settings.leaf_duration)
    reports = LeafRequest(gateway, "server", (names.GATEWAY_REPORT_NAME,), settings.leaf_duration)
    owner = installation_owner(settings)
    return (
        WantedLeaf(
            NamespacedName(settings.operator_namespace, names.OPERATOR_TLS_SECRET),
            names.ROLE_OPERATOR_TLS,
            owner,
            operator,
        ),
        WantedLeaf(
            NamespacedName(settings.gateway_namespace, names.GATEWAY_CLIENT_TLS_SECRET),
            names.ROLE_GATEWAY_TLS,
            owner,
            to_models,
        ),
        WantedLeaf(
            NamespacedName(settings.gateway_namespace, names.GATEWAY_SERVER_TLS_SECRET),
            names.ROLE_GATEWAY_TLS,
            owner,
            reports,
        ),
    )


def is_issuing_due(issuing: CertificateAuthority, root: CertificateAuthority, now: datetime) -> bool:
    """At half its life, so that it outlives its leaves; or when it belongs to another root."""
    certificate = issuing.certificate
    lifetime = certificate.not_valid_after_utc - certificate.not_valid_before_utc
    return issuing.trust != root.trust or now >= certificate.not_valid_before_utc + lifetime / 2


def is_root_due(issuing: CertificateAuthority, now: datetime) -> bool:
    """Whether the root above is at half its life, so that the next one is known long before this one ends."""
    root = issuing.trust[0]
    return now >= root.not_valid_before_utc + (root.not_valid_after_utc - root.not_valid_before_utc) / 2
