"""The route document: what it should say, and whether the present one has to be replaced.

While a spec is rejected, the last good document stays in use and can only shrink: keys and certificates that are no
longer granted are removed. The same happens while a gateway is too old for what the spec needs. While a Secret of CAs
cannot be used, the CAs trusted before stay. Private keys come from the Secrets as
found and are never created here.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TypeVar

from nightlatch.api import names
from nightlatch.api.duration import parse_duration
from nightlatch.api.endpoint import Scaling
from nightlatch.api.meta import NamespacedName
from nightlatch.api.operations import operations_for
from nightlatch.planning.access.accepted import API_KEY, accepted
from nightlatch.planning.access.api_keys import (
    MAX_KEYS,
    effective_tier,
    key_grants,
    rate_tiers,
    tier_name,
    unix_seconds,
)
from nightlatch.planning.access.certificates import MAX_IDENTITIES, certificate_grants, revoked_digests
from nightlatch.planning.access.rules import client_rules, token_rules
from nightlatch.planning.endpoint.client_trust import ClientTrust, client_trust
from nightlatch.planning.endpoint.format import format_to_write
from nightlatch.planning.endpoint.issuers import Tokens, tokens
from nightlatch.planning.inputs import Observed
from nightlatch.planning.parsed import ParsedEndpoint
from nightlatch.planning.plan import OwnedSecret, Owner, PutSecret
from nightlatch.planning.secrets import SecretView
from nightlatch.planning.settings import hosts
from nightlatch.wire import route_document as routing
from nightlatch.wire.narrowing import takes_away
from nightlatch.wire.route_document import (
    CertificateGrant,
    DocumentError,
    Envelope,
    KeyGrant,
    RouteDocument,
    TrustedIssuer,
)

GrantT = TypeVar("GrantT", KeyGrant, CertificateGrant)

# How far beyond targetConcurrency callers may go before a gateway answers 429 instead of queueing at the model servers.
_IN_FLIGHT_FACTOR = 16


@dataclass(frozen=True, slots=True)
class DocumentDecision:
    """`current`: the document that gateways have after `put` (None: none can be made yet).

    keys, certificates: as granted. trust: the CAs of callers' certificates, None where none is accepted. tokens: whose
    tokens are accepted, None likewise.

    problem: why gateways would refuse the document that follows from the spec; the last good one then stays, narrowed.
    needs: the format that the spec needs while some gateway is too old for it, 0 otherwise; the last good one then
    stays as well.
    """

    current: RouteDocument | None
    keys: tuple[KeyGrant, ...]
    put: PutSecret | None = None
    problem: str = ""
    needs: int = 0
    certificates: tuple[CertificateGrant, ...] = ()
    trust: ClientTrust | None = None
    tokens: Tokens | None = None


def decide_document(
    endpoint: ParsedEndpoint,
    observed: Observed,
    owner: Owner,
    server_tls: SecretView | None,
    now: datetime,
    needed_format: Callable[[RouteDocument], int] = routing.needed_format,
) -> DocumentDecision:
    """`server_tls`: the certificate for callers if it is usable; without it the document keeps the one that it has."""
    taken = tokens(endpoint, observed, read_document(observed.document))
    return replace(_decide(endpoint, observed, owner, server_tls, now, needed_format, taken), tokens=taken)


def _decide(
    endpoint: ParsedEndpoint,
    observed: Observed,
    owner: Owner,
    server_tls: SecretView | None,
    now: datetime,
    needed_format: Callable[[RouteDocument], int],
    taken: Tokens | None,
) -> DocumentDecision:
    before, envelope = read_document(observed.document), _envelope(observed.document)
    keys = key_grants(endpoint, observed.clients)
    certificates = certificate_grants(endpoint, observed.clients, observed.settings.trust_domain)
    trust = client_trust(endpoint, observed, now)
    if endpoint.spec is None:
        # Whom the endpoint lets in cannot be read, so the certificates are those that are in use, and so are the keys.
        certificates = before.certificates if before else ()
    last_good = _last_good(endpoint, before, keys, certificates, taken)
    if endpoint.spec is None:
        keys = last_good.keys if last_good else ()
    wanted = _from_spec(endpoint, observed, keys, certificates, _client_ca(trust, before, observed), taken) or last_good
    wanted = _with_material(wanted, before, server_tls, observed) if wanted else None
    problem = _refusal_by_gateways(wanted) if wanted else ""
    format_ = format_to_write(
        envelope.format if envelope else None, observed.runtime.formats, observed.settings.document_format
    )
    needs = needed_format(wanted) if wanted else 0
    held_back = needs if needs > format_ else 0
    current = last_good if problem or held_back else wanted
    if current is None:
        return DocumentDecision(None, keys, None, problem, held_back, certificates, trust)
    # A document that is kept may already need a newer format than the oldest gateway reads.
    format_ = max(format_, needed_format(current))
    if before and envelope and envelope.format == format_ and _says_the_same(before, current, format_):
        return DocumentDecision(before, keys, None, problem, held_back, certificates, trust)
    sequence = next_sequence(envelope.sequence if envelope else None, now)
    since = sequence if before is None or takes_away(before, current) else before.takes_away_since
    current = replace(current, sequence=sequence, takes_away_since=since)
    put = _put(current, format_, observed, owner)
    return DocumentDecision(current, keys, put, problem, held_back, certificates, trust)


def read_document(found: SecretView | None) -> RouteDocument | None:
    """The document in a Secret; None if there is none, or it is damaged or too new (it is then written again)."""
    if found is None:
        return None
    try:
        return routing.decode(found.data)
    except DocumentError:
        return None


def _envelope(found: SecretView | None) -> Envelope | None:
    if found is None:
        return None
    try:
        return routing.read_envelope(found.data)
    except DocumentError:
        return None


def next_sequence(before: int | None, now: datetime) -> int:
    """Grows with every change. It is at least the time in milliseconds, so it grows after a deletion as well."""
    return max(int(now.timestamp() * 1000), before + 1 if before is not None else 0)


def _put(document: RouteDocument, format_: int, observed: Observed, owner: Owner) -> PutSecret:
    key = NamespacedName(observed.settings.gateway_namespace, names.route_document(document.endpoint))
    target = OwnedSecret(key, names.ROLE_ROUTE_DOCUMENT, owner)
    data = routing.encode(document, format_)
    return PutSecret(target, data, observed.document.revision if observed.document else None)


def _says_the_same(before: RouteDocument, wanted: RouteDocument, format_: int) -> bool:
    return routing.content_hash(before, format_) == routing.content_hash(wanted, format_)


def _refusal_by_gateways(document: RouteDocument) -> str:
    """Why gateways would refuse the document, or an empty text. They decode strictly, so one bad value is enough."""
    try:
        routing.decode(routing.encode(document))
    except DocumentError as error:
        return str(error)
    return ""


def _last_good(
    endpoint: ParsedEndpoint,
    before: RouteDocument | None,
    keys: tuple[KeyGrant, ...],
    certificates: tuple[CertificateGrant, ...],
    taken: Tokens | None,
) -> RouteDocument | None:
    if before is None:
        return None
    return _narrowed(before, keys, certificates, revoked_digests(endpoint), _issuers(endpoint, taken))


def _narrowed(
    before: RouteDocument,
    keys: tuple[KeyGrant, ...],
    certificates: tuple[CertificateGrant, ...],
    revoked: tuple[str, ...],
    issuers: tuple[TrustedIssuer, ...] | None,
) -> RouteDocument:
    """issuers: None leaves those of before."""
    granted = {key.sha256: key for key in keys}
    named = {each.identity: each for each in certificates}
    return replace(
        before,
        keys=tuple(_at_most(key, granted[key.sha256]) for key in before.keys if key.sha256 in granted),
        certificates=tuple(
            _at_most(each, named[each.identity])
            for each in before.certificates
            if each.identity in named and named[each.identity].client == each.client
        ),
        # A document that takes no certificates stays readable for gateways of the release before.
        revoked_certificates=tuple(sorted({*before.revoked_certificates, *revoked})) if before.client_ca else (),
        issuers=before.issuers if issuers is None else tuple(each for each in before.issuers if each in issuers),
    )


def _issuers(endpoint: ParsedEndpoint, taken: Tokens | None) -> tuple[TrustedIssuer, ...] | None:
    """Those that may stay; None: all that are there, because the spec does not say."""
    if taken is not None:
        return taken.issuers
    return None if endpoint.rejection is not None else ()


def _at_most(before: GrantT, granted: GrantT) -> GrantT:
    return replace(before, permissions=tuple(one for one in before.permissions if one in granted.permissions))


def _client_ca(trust: ClientTrust | None, before: RouteDocument | None, observed: Observed) -> str | None:
    """The CAs of callers' certificates; empty where none is accepted, None if there is nothing to trust yet.

    While a Secret of other CAs cannot be used, those trusted before stay, but not our own in their place.
    """
    if trust is None:
        return ""
    if trust.problem is None or before is None:
        return trust.pem or None
    ours = {before.upstream_ca, observed.issuing_ca.trust_pem.decode() if observed.issuing_ca else ""}
    return before.client_ca if before.client_ca not in ours else None


def _from_spec(
    endpoint: ParsedEndpoint,
    observed: Observed,
    keys: tuple[KeyGrant, ...],
    certificates: tuple[CertificateGrant, ...],
    client_ca: str | None,
    taken: Tokens | None,
) -> RouteDocument | None:
    spec = endpoint.spec
    if spec is None or endpoint.rejection is not None or client_ca is None:
        return None
    carried, identities = keys[:MAX_KEYS], certificates[:MAX_IDENTITIES] if client_ca else ()
    limit = effective_tier(spec.rate_limit, None) if taken else None
    token_tier = tier_name(limit) if limit else ""
    used = {token_tier, *(grant.tier for grant in carried), *(grant.tier for grant in identities)}
    accept = accepted(spec.access)
    return RouteDocument(
        endpoint=endpoint.key,
        uid=endpoint.metadata.uid,
        sequence=0,
        hosts=hosts(observed.settings, endpoint.key),
        operations=operations_for(spec.runtime.protocol, spec.model.name or endpoint.key.name),
        upstream_identity=names.endpoint_identity(observed.settings.trust_domain, endpoint.key),
        keys=carried,
        rate_tiers={name: tier for name, tier in rate_tiers(endpoint, observed.clients).items() if name in used},
        request_timeout=parse_duration(spec.request_timeout),
        hold_timeout=parse_duration(spec.scaling.hold.timeout),
        hold_max_requests=spec.scaling.hold.max_requests,
        max_in_flight=_max_in_flight(spec.scaling),
        certificates=identities,
        revoked_certificates=revoked_digests(endpoint) if client_ca else (),
        # What documents say nothing of, so that gateways of the release before read them.
        accept=() if accept == ((API_KEY,),) else accept,
        issuers=taken.issuers if taken else (),
        token_rules=token_rules(spec.access) if taken else (),
        token_tier=token_tier,
        client_rules=client_rules(spec.access),
        client_ca=client_ca,
        created=unix_seconds(endpoint.metadata.creation_timestamp),
    )


def _max_in_flight(scaling: Scaling) -> int:
    """Many times what the replicas are planned for, and all held calls besides, which a wake lets go at once."""
    return scaling.hold.max_requests + _IN_FLIGHT_FACTOR * scaling.target_concurrency * scaling.max_replicas


def _with_material(
    wanted: RouteDocument, before: RouteDocument | None, server_tls: SecretView | None, observed: Observed
) -> RouteDocument | None:
    trust = observed.issuing_ca.trust_pem.decode() if observed.issuing_ca else before.upstream_ca if before else ""
    if server_tls is not None:
        certificate, private_key = (server_tls.data[entry].decode() for entry in ("tls.crt", "tls.key"))
    elif before is not None:
        certificate, private_key = before.server_certificate, before.server_private_key
    else:
        return None
    return (
        replace(wanted, server_certificate=certificate, server_private_key=private_key, upstream_ca=trust)
        if trust
        else None
    )
