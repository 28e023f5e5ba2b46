"""The identities of client certificates in a route document: those of InferenceClients, and those that rules name.

Whether an identity counts is decided here; who may issue for it is the trust bundle's to say. An identity of our own
trust domain comes from an InferenceClient alone: no rule can give it to another CA.
"""

from collections.abc import Iterable

from nightlatch.api import names
from nightlatch.api.scalars import Permission
from nightlatch.planning.access.api_keys import effective_tier, tier_name
from nightlatch.planning.access.grants import GrantRequest, refusal, requested_grants
from nightlatch.planning.inputs import ClientView
from nightlatch.planning.parsed import ParsedEndpoint
from nightlatch.wire.route_document import CertificateGrant


def certificate_grants(
    endpoint: ParsedEndpoint, clients: Iterable[ClientView], trust_domain: str
) -> tuple[CertificateGrant, ...]:
    """Sorted by identity, so that the same grants always make the same document; nothing without `access.mtls`."""
    if endpoint.spec is None or endpoint.spec.access.mtls is None:
        return ()
    granted = {
        grant.identity: grant for view in clients if (grant := _client_grant(endpoint, view, trust_domain)) is not None
    }
    return tuple(
        grant for _, grant in sorted({**_ruled(endpoint, trust_domain), **granted}.items(), key=lambda each: each[0])
    )


def _client_grant(endpoint: ParsedEndpoint, view: ClientView, trust_domain: str) -> CertificateGrant | None:
    client, spec = view.client, view.client.spec
    permissions = requested_grants(client).get(endpoint.key)
    if spec is None or spec.certificate is None or permissions is None:
        return None
    if refusal(GrantRequest(client, endpoint.key, endpoint)) is not None:
        return None
    limit = effective_tier(endpoint.spec.rate_limit if endpoint.spec else None, spec.rate_limit)
    identity = names.client_identity(trust_domain, client.key)
    return CertificateGrant(identity, client.key, tuple(sorted(permissions)), tier_name(limit) if limit else "")


def _ruled(endpoint: ParsedEndpoint, trust_domain: str) -> dict[str, CertificateGrant]:
    """What the rules give to certificates of other CAs. Rules that ask for claims as well are about tokens."""
    found: dict[str, set[Permission]] = {}
    spec = endpoint.spec
    for rule in spec.access.rules if spec else ():
        if rule.when is None or rule.when.claims or rule.when.clients:
            continue
        for identity in rule.when.certificates:
            if not identity.lower().startswith(f"spiffe://{trust_domain}/"):
                found.setdefault(identity, set()).update(rule.permissions)
    limit = effective_tier(spec.rate_limit if spec else None, None)
    tier = tier_name(limit) if limit else ""
    return {each: CertificateGrant(each, None, tuple(sorted(its)), tier) for each, its in found.items()}
