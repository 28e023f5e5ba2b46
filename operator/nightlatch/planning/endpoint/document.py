"""The route document: what it should say, and whether the present one has to be replaced.

While a spec is rejected, the last good document stays in use and can only shrink: keys that are no longer granted are
removed. The same happens while a gateway is too old for what the spec needs. Private keys come from the Secrets as
found and are never created here.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from nightlatch.api import names
from nightlatch.api.duration import parse_duration
from nightlatch.api.endpoint import Scaling
from nightlatch.api.meta import NamespacedName
from nightlatch.api.operations import operations_for
from nightlatch.planning.access.api_keys import MAX_KEYS, key_grants, rate_tiers, unix_seconds
from nightlatch.planning.endpoint.format import format_to_write
from nightlatch.planning.inputs import Observed
from nightlatch.planning.parsed import ParsedEndpoint
from nightlatch.planning.plan import OwnedSecret, Owner, PutSecret
from nightlatch.planning.secrets import SecretView
from nightlatch.planning.settings import hosts
from nightlatch.wire import route_document as routing
from nightlatch.wire.narrowing import takes_away
from nightlatch.wire.route_document import DocumentError, Envelope, KeyGrant, RouteDocument

# How far beyond targetConcurrency callers may go before a gateway answers 429 instead of queueing at the model servers.
_IN_FLIGHT_FACTOR = 16


@dataclass(frozen=True, slots=True)
class DocumentDecision:
    """`current`: the document that gateways have after `put` (None: none can be made yet). `keys`: as granted.

    problem: why gateways would refuse the document that follows from the spec; the last good one then stays, narrowed.
    needs: the format that the spec needs while some gateway is too old for it, 0 otherwise; the last good one then
    stays as well.
    """

    current: RouteDocument | None
    keys: tuple[KeyGrant, ...]
    put: PutSecret | None = None
    problem: str = ""
    needs: int = 0


def decide_document(
    endpoint: ParsedEndpoint,
    observed: Observed,
    owner: Owner,
    server_tls: SecretView | None,
    now: datetime,
    needed_format: Callable[[RouteDocument], int] = routing.needed_format,
) -> DocumentDecision:
    """`server_tls`: the certificate for callers if it is usable; without it the document keeps the one that it has."""
    before, envelope = read_document(observed.document), _envelope(observed.document)
    keys = key_grants(endpoint, observed.clients)
    last_good = _narrowed(before, keys) if before else None
    if endpoint.spec is None:
        # Whom the endpoint lets in cannot be read, so the keys are those that are in use.
        keys = last_good.keys if last_good else ()
    wanted = _from_spec(endpoint, observed, keys) or last_good
    wanted = _with_material(wanted, before, server_tls, observed) if wanted else None
    problem = _refusal_by_gateways(wanted) if wanted else ""
    format_ = format_to_write(
        envelope.format if envelope else None, observed.runtime.formats, observed.settings.document_format
    )
    needs = needed_format(wanted) if wanted else 0
    held_back = needs if needs > format_ else 0
    current = last_good if problem or held_back else wanted
    if current is None:
        return DocumentDecision(None, keys, problem=problem, needs=held_back)
    # A document that is kept may already need a newer format than the oldest gateway reads.
    format_ = max(format_, needed_format(current))
    if before and envelope and envelope.format == format_ and _says_the_same(before, current, format_):
        return DocumentDecision(before, keys, problem=problem, needs=held_back)
    sequence = next_sequence(envelope.sequence if envelope else None, now)
    since = sequence if before is None or takes_away(before, current) else before.takes_away_since
    current = replace(current, sequence=sequence, takes_away_since=since)
    return DocumentDecision(current, keys, _put(current, format_, observed, owner), problem, held_back)


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


def _narrowed(before: RouteDocument, keys: tuple[KeyGrant, ...]) -> RouteDocument:
    granted = {key.sha256: key for key in keys}
    return replace(before, keys=tuple(_at_most(key, granted) for key in before.keys if key.sha256 in granted))


def _at_most(key: KeyGrant, granted: Mapping[str, KeyGrant]) -> KeyGrant:
    allowed = granted[key.sha256].permissions
    return replace(key, permissions=tuple(one for one in key.permissions if one in allowed))


def _from_spec(endpoint: ParsedEndpoint, observed: Observed, keys: tuple[KeyGrant, ...]) -> RouteDocument | None:
    spec = endpoint.spec
    if spec is None or endpoint.rejection is not None:
        return None
    carried = keys[:MAX_KEYS]
    used = {grant.tier for grant in carried}
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
