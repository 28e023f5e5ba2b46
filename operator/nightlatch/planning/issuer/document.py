"""The issuer document: what it should say, and whether the present one has to be replaced. Pure.

Good keys stay until they are `maxStale` old, whatever the provider says meanwhile. A spec that is rejected changes only
which tokens are denied. Keys of another source are never kept.
"""

from dataclasses import dataclass, replace
from datetime import datetime

import orjson

from nightlatch.api import names
from nightlatch.api.claims import claim_path
from nightlatch.api.conditions import Reason
from nightlatch.api.duration import parse_duration
from nightlatch.api.issuer import Denied, IssuerSpec
from nightlatch.api.meta import NamespacedName
from nightlatch.pki import Finding
from nightlatch.pki.key_set import KeySetError, algorithms_of, read_key_set
from nightlatch.planning.issuer.key_source import INLINE, ObservedIssuer, provider_ca, source_digest
from nightlatch.planning.parsed import ParsedIssuer
from nightlatch.planning.plan import OwnedSecret, Owner, PutSecret
from nightlatch.planning.secrets import SecretView
from nightlatch.wire.issuer_document import (
    DeniedTokens,
    IssuerDocument,
    IssuerDocumentError,
    IssuerKey,
    decode_issuer,
    encode_issuer,
    same_content,
)

# `valid_until` is moved on once this part of `maxStale` has passed, so that a refresh without news costs few writes.
RENEWED_AFTER = 0.25
# Bytes of a document. A Secret takes 1 MiB.
LARGEST = 1_000_000


@dataclass(frozen=True, slots=True)
class IssuerDecision:
    """`current`: the document that gateways have after `put`; None if there is none. `remove`: the one there must go.

    problem: what is wrong with the newest keys, whether older ones are in use or not.
    """

    current: IssuerDocument | None
    put: PutSecret | None = None
    remove: bool = False
    problem: Finding | None = None


@dataclass(frozen=True, slots=True)
class _Keys:
    """`iss`: of the issuer, as its spec says or else as the cluster calls itself."""

    keys: tuple[IssuerKey, ...]
    iss: str
    fetched_at: int
    valid_until: int | None


def decide_document(issuer: ParsedIssuer, observed: ObservedIssuer, owner: Owner, now: datetime) -> IssuerDecision:
    """`observed.document` is ours, or None."""
    before, spec = read_document(observed.document), issuer.spec
    if spec is None:
        return IssuerDecision(before)
    if issuer.rejection is not None:
        wanted = replace(before, denied=_denied(spec.denied)) if before else None
        return _written(wanted, before, observed, owner, now, spec) if wanted else IssuerDecision(None)
    kept = _kept(before, spec)
    newest = _newest(issuer, observed, before, now)
    problem = newest if isinstance(newest, Finding) else _provider_problem(observed)
    keys = newest if isinstance(newest, _Keys) else kept
    if keys is None:
        return IssuerDecision(None, remove=observed.document is not None, problem=problem)
    written = _written(_document(issuer, spec, keys), before, observed, owner, now, spec)
    return replace(written, problem=written.problem or problem)


def read_document(found: SecretView | None) -> IssuerDocument | None:
    """The document in a Secret; None if there is none, or it cannot be read (it is then written again)."""
    if found is None:
        return None
    try:
        return decode_issuer(found.data)
    except IssuerDocumentError:
        return None


def is_over(document: IssuerDocument, now: datetime) -> bool:
    """Whether its keys are too old to be believed."""
    return document.valid_until is not None and now.timestamp() >= document.valid_until


def _kept(before: IssuerDocument | None, spec: IssuerSpec) -> _Keys | None:
    """The keys in use, as far as they are from the same source and for an algorithm that the spec still has."""
    if before is None or before.source != source_digest(spec) or before.source == INLINE:
        return None
    keys = tuple(key for key in before.keys if algorithms_of(key, spec.algorithms))
    until = before.fetched_at + int(parse_duration(spec.max_stale))
    return _Keys(keys, before.iss, before.fetched_at, until) if keys else None


def _newest(
    issuer: ParsedIssuer, observed: ObservedIssuer, before: IssuerDocument | None, now: datetime
) -> _Keys | Finding | None:
    """The keys in the spec, or in what was fetched last; None while nothing was."""
    spec, fetched = issuer.spec, observed.fetched
    if spec is None or spec.keys is None:
        return None
    try:
        if spec.keys.inline is not None:
            keys = read_key_set(orjson.dumps({"keys": spec.keys.inline.keys}), spec.algorithms)
            known = before is not None and before.source == INLINE and before.keys == keys
            fetched_at = before.fetched_at if before and known else int(now.timestamp())
            return _Keys(keys, spec.issuer or "", fetched_at, None)
        if isinstance(trust := provider_ca(issuer, observed.ca, observed.settings, now), Finding):
            return trust
        if fetched is None or fetched.content is None:
            return fetched.problem if fetched else None
        keys = read_key_set(fetched.content, spec.algorithms)
    except KeySetError as error:
        return Finding(error.reason, str(error))
    until = fetched.fetched_at + int(parse_duration(spec.max_stale))
    return _Keys(keys, spec.issuer or fetched.issuer, fetched.fetched_at, until)


def _provider_problem(observed: ObservedIssuer) -> Finding | None:
    return observed.fetched.problem if observed.fetched else None


def _document(issuer: ParsedIssuer, spec: IssuerSpec, keys: _Keys) -> IssuerDocument:
    return IssuerDocument(
        issuer=issuer.key,
        iss=keys.iss,
        audiences=tuple(sorted(spec.audiences)),
        algorithms=tuple(sorted(spec.algorithms)),
        keys=keys.keys,
        source=source_digest(spec),
        fetched_at=keys.fetched_at,
        valid_until=keys.valid_until,
        max_lifetime=parse_duration(spec.max_lifetime),
        clock_skew=parse_duration(spec.clock_skew),
        permissions_claim=claim_path(spec.permissions_from.claim),
        permissions={value: tuple(sorted(its)) for value, its in spec.permissions_from.map.items()},
        identity_claim=claim_path(spec.identity_from.claim),
        token_type=spec.token_type,
        required_claims=tuple((claim_path(name), value) for name, value in sorted(spec.required_claims.items())),
        sender_constrained=spec.sender_constrained,
        denied=_denied(spec.denied),
    )


def _denied(denied: Denied) -> DeniedTokens:
    return DeniedTokens(
        jti=tuple(sorted(denied.jti)),
        sub=tuple(sorted(denied.sub)),
        sid=tuple(sorted(denied.sid)),
        issued_before={each.sub: _seconds(each.time) for each in denied.issued_before},
    )


def _seconds(time: str) -> int:
    return int(datetime.fromisoformat(time).timestamp())


def _written(
    wanted: IssuerDocument,
    before: IssuerDocument | None,
    observed: ObservedIssuer,
    owner: Owner,
    now: datetime,
    spec: IssuerSpec,
) -> IssuerDecision:
    if before is not None and same_content(before, wanted) and not _moves(before, wanted, spec):
        return IssuerDecision(before)
    sequence = max(int(now.timestamp() * 1000), before.sequence + 1 if before else 0)
    wanted = replace(wanted, sequence=sequence)
    key = NamespacedName(observed.settings.gateway_namespace, names.issuer_document(wanted.issuer))
    target = OwnedSecret(key, names.ROLE_ISSUER_DOCUMENT, owner)
    data = encode_issuer(wanted)
    if sum(map(len, data.values())) > LARGEST:
        # What denies a token may not be missing, so there is no document rather than an older one.
        message = "spec.denied is too long for one Secret: remove tokens that have expired, or write issuedBefore"
        return IssuerDecision(
            None, remove=observed.document is not None, problem=Finding(Reason.DENIED_TOO_LONG, message)
        )
    replaces = observed.document.revision if observed.document else None
    return IssuerDecision(wanted, PutSecret(target, data, replaces))


def _moves(before: IssuerDocument, wanted: IssuerDocument, spec: IssuerSpec) -> bool:
    """Whether the end of the keys' time is another one by enough to be written. A shorter `maxStale` counts at once."""
    if before.valid_until is None or wanted.valid_until is None:
        return before.valid_until != wanted.valid_until
    later = wanted.valid_until - before.valid_until
    return later < 0 or later >= max(1.0, parse_duration(spec.max_stale) * RENEWED_AFTER)
