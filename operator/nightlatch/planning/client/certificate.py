"""The client's certificate: a `kubernetes.io/tls` Secret with one SPIFFE identity, the CA, and the addresses.

Nothing is written over a Secret that is not ours. A certificate is renewed with a new key; the one before stays valid
until it ends, so a renewal needs no overlap.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from nightlatch import pki
from nightlatch.api import names
from nightlatch.api.client import ClientCertificate
from nightlatch.api.duration import parse_duration, renewal_window
from nightlatch.api.meta import NamespacedName
from nightlatch.pki import LeafRequest, PkiError
from nightlatch.planning.access.accepted import MTLS
from nightlatch.planning.access.grants import GrantRequest, granted_credentials
from nightlatch.planning.client.public_data import CA_CRT, ENDPOINTS, SERVER_CA_CRT, URL, addresses, server_trust
from nightlatch.planning.inputs import ObservedClient
from nightlatch.planning.issued import decide_issued, judge, withdrawn
from nightlatch.planning.leaves import LeafDecision, WantedLeaf, decide_leaf, renewal_request
from nightlatch.planning.parsed import ParsedClient
from nightlatch.planning.plan import CertificateAction, DeleteSecret, IssueLeaf, MergeSecret, Owner
from nightlatch.planning.secrets import SecretView
from nightlatch.planning.settings import Settings


@dataclass(frozen=True, slots=True)
class CertificateDecision:
    """What to do about the certificate. `leaf`: None if the client has no certificate and wants none.

    untrusting: the endpoints that take certificates of the client's issuer, and trust none of the CAs that signed this.
    """

    leaf: LeafDecision | None = None
    actions: tuple[IssueLeaf | MergeSecret | CertificateAction, ...] = ()
    delete: tuple[DeleteSecret, ...] = ()
    untrusting: tuple[NamespacedName, ...] = ()


NO_CERTIFICATE = CertificateDecision()


def certificate_secret_name(client: ParsedClient) -> NamespacedName | None:
    """The Secret for the certificate; None if the spec wants none or cannot be read."""
    wanted = client.spec.certificate if client.spec else None
    if wanted is None:
        return None
    return NamespacedName(client.key.namespace, wanted.secret_name or names.client_tls(client.key))


def client_leaf(settings: Settings, client: ParsedClient, owner: Owner, key: NamespacedName) -> WantedLeaf:
    """What the certificate in this Secret must say. Of a spec that is not accepted the durations are the defaults."""
    spec = client.spec.certificate if client.spec and client.rejection is None else None
    spec = spec or ClientCertificate()
    request = LeafRequest(
        identity=names.client_identity(settings.trust_domain, client.key),
        usage="client",
        duration=timedelta(seconds=parse_duration(spec.duration)),
    )
    renew_before = timedelta(seconds=renewal_window(spec.duration, spec.renew_before))
    asked = renewal_request(client.metadata.annotations)
    # A label value has at most 63 characters; the owner annotation has the whole name.
    labels = {names.LABEL_CLIENT: client.key.name} if len(client.key.name) <= 63 else {}
    revoked = frozenset(spec.revoked_digests)
    return WantedLeaf(key, names.ROLE_CLIENT_TLS, owner, request, renew_before, asked, labels, revoked)


def decide_certificate(
    client: ParsedClient, observed: ObservedClient, owner: Owner, now: datetime
) -> CertificateDecision:
    """A spec that is not accepted makes no Secret and deletes none, and the certificate that is there is renewed."""
    accepted = client.spec is not None and client.rejection is None
    ours = tuple(found for found in observed.other_tls if found.is_of(owner, names.ROLE_CLIENT_TLS))
    key, found = certificate_secret_name(client), observed.tls
    if accepted and key is None:
        return CertificateDecision(actions=withdrawn(observed.cert_manager, owner), delete=_deleted(ours))
    if not accepted and (found is None or not found.is_of(owner, names.ROLE_CLIENT_TLS)):
        found = _newest(ours)
        key = found.key if found else None
    if key is None:
        return NO_CERTIFICATE
    wanted = client_leaf(observed.settings, client, owner, key)
    untrusting: tuple[NamespacedName, ...] = ()
    certificate = client.spec.certificate if client.spec else None
    issuer = certificate.issuer_ref if certificate else None
    if accepted and issuer is not None:
        beside = _beside(client, observed, found, SERVER_CA_CRT)
        leaf = decide_issued(wanted, issuer, found, observed.cert_manager, now, beside)
        gone = withdrawn(observed.cert_manager, owner, key) if leaf.usable else ()
        untrusting = _untrusting(client, observed, found, leaf)
    elif not accepted and found is not None and found.certificate:
        # cert-manager goes on to renew what it made.
        return CertificateDecision(_kept(wanted, found, now))
    else:
        leaf = decide_leaf(wanted, found, observed.issuing_ca, now, _beside(client, observed, found, CA_CRT))
        # First, so that cert-manager does not write over what is issued now.
        gone = withdrawn(observed.cert_manager, owner) if accepted else ()
    # The Secret of an earlier name is deleted once the new one has a certificate.
    earlier = _deleted(ours) if accepted and leaf.leaf is not None and leaf.usable else ()
    orphan = (leaf.delete,) if leaf.delete else ()
    writes = (leaf.ensure, leaf.issue, leaf.refresh)
    return CertificateDecision(leaf, (*gone, *(write for write in writes if write)), (*orphan, *earlier), untrusting)


def _untrusting(
    client: ParsedClient, observed: ObservedClient, found: SecretView | None, leaf: LeafDecision
) -> tuple[NamespacedName, ...]:
    """Sorted. By what the gateways have: an endpoint whose Secret of CAs was corrected counts once they follow."""
    if found is None or leaf.leaf is None or not leaf.usable:
        return ()
    judged = {
        key: observed.client_cas[key]
        for key, endpoint in observed.endpoints.items()
        if key in observed.client_cas and MTLS in granted_credentials(GrantRequest(client, key, endpoint))
    }
    trusted = {pem for pem in set(judged.values()) if _leads_to(found, pem)}
    return tuple(sorted(key for key, pem in judged.items() if pem not in trusted))


def _leads_to(found: SecretView, pem: str) -> bool:
    try:
        return pki.is_signed_under(found.data, pem.encode())
    except PkiError:
        # Whether the certificate can be read is judged elsewhere.
        return True


def _kept(wanted: WantedLeaf, found: SecretView, now: datetime) -> LeafDecision:
    leaf, violation = judge(wanted, found, now)
    end = leaf.not_after if leaf else None
    return LeafDecision(
        wanted, leaf, violation, renew_at=end, issuer="cert-manager", look_again=end if end and end > now else None
    )


def _beside(
    client: ParsedClient, observed: ObservedClient, found: SecretView | None, trust: str
) -> dict[str, bytes | None]:
    """The addresses, and as the entry `trust` the CAs of the endpoints; of a spec that cannot be read, what is in the
    Secret of these."""
    if client.spec is not None:
        known = server_trust(client, observed)
        return {**addresses(client, observed), **({trust: known} if known else {})}
    kept = found.data if found else {}
    return {entry: kept[entry] for entry in (URL, ENDPOINTS) if entry in kept}


def _newest(secrets: Iterable[SecretView]) -> SecretView | None:
    return max(secrets, key=lambda found: (found.created_at, found.key), default=None)


def _deleted(secrets: Iterable[SecretView]) -> tuple[DeleteSecret, ...]:
    return tuple(DeleteSecret(found.key, found.revision) for found in secrets)
