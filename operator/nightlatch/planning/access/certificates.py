"""The identities of client certificates in a route document: those of InferenceClients, and those that rules name.

An endpoint trusts either our own CA or others: Envoy tells the gate which names a certificate has, and not which CA
signed it. With both, another CA could sign a certificate in the name of one of our clients. See
docs/adr/0011-an-endpoint-trusts-our-ca-or-others.md.
"""

from collections.abc import Iterable

from nightlatch.api import names
from nightlatch.api.scalars import Permission
from nightlatch.planning.access.accepted import MTLS
from nightlatch.planning.access.api_keys import effective_tier, tier_name
from nightlatch.planning.access.grants import GrantRequest, granted_credentials, requested_grants
from nightlatch.planning.inputs import ClientView
from nightlatch.planning.parsed import ParsedEndpoint
from nightlatch.wire.route_document import CertificateGrant

# With more, an update of the route configuration would take longer than a revocation may.
MAX_IDENTITIES = 1000


def certificate_grants(
    endpoint: ParsedEndpoint, clients: Iterable[ClientView], trust_domain: str
) -> tuple[CertificateGrant, ...]:
    """Sorted by identity, so that the same grants always make the same document; nothing without `access.mtls`.

    May be longer than MAX_IDENTITIES.
    """
    if endpoint.spec is None or endpoint.spec.access.mtls is None:
        return ()
    granted = {
        grant.identity: grant for view in clients if (grant := _client_grant(endpoint, view, trust_domain)) is not None
    }
    found = {**_ruled(endpoint), **granted}
    return tuple(found[identity] for identity in sorted(found))


def revoked_digests(endpoint: ParsedEndpoint) -> tuple[str, ...]:
    """The certificates that the endpoint refuses, whoever shows them. Sorted."""
    mtls = endpoint.spec.access.mtls if endpoint.spec else None
    return tuple(sorted(mtls.revoked_digests)) if mtls else ()


def _client_grant(endpoint: ParsedEndpoint, view: ClientView, trust_domain: str) -> CertificateGrant | None:
    client, spec = view.client, view.client.spec
    permissions = requested_grants(client).get(endpoint.key)
    if spec is None or spec.certificate is None or permissions is None:
        return None
    if MTLS not in granted_credentials(GrantRequest(client, endpoint.key, endpoint)):
        return None
    limit = effective_tier(endpoint.spec.rate_limit if endpoint.spec else None, spec.rate_limit)
    identity = names.client_identity(trust_domain, client.key)
    return CertificateGrant(identity, client.key, tuple(sorted(permissions)), tier_name(limit) if limit else "")


def _ruled(endpoint: ParsedEndpoint) -> dict[str, CertificateGrant]:
    """What the rules give to certificates of other CAs. A rule without `when` is about all that other rules name.

    A certificate that is named only together with claims or clients counts as a proof, and permits nothing by itself.
    """
    spec = endpoint.spec
    if spec is None or spec.access.mtls is None or not spec.access.mtls.trust:
        return {}
    found: dict[str, set[Permission]] = {}
    for_all: set[Permission] = set()
    for rule in spec.access.rules:
        if rule.when is None:
            for_all.update(rule.permissions)
            continue
        alone = not (rule.when.claims or rule.when.clients)
        for identity in rule.when.certificates:
            found.setdefault(identity, set()).update(rule.permissions if alone else ())
    limit = effective_tier(spec.rate_limit, None)
    tier = tier_name(limit) if limit else ""
    return {each: CertificateGrant(each, None, tuple(sorted(its | for_all)), tier) for each, its in found.items()}
