"""Whose tokens an endpoint takes. Pure."""

from collections.abc import Callable
from dataclasses import dataclass

from nightlatch.api.conditions import IssuerCondition, Reason, find
from nightlatch.api.meta import NamespacedName
from nightlatch.pki import Finding
from nightlatch.planning.access.accepted import JWT, accepted
from nightlatch.planning.inputs import IssuerView, Observed
from nightlatch.planning.parsed import ParsedEndpoint
from nightlatch.wire.route_document import RouteDocument, TrustedIssuer

_LET_IN = "add {namespace} to its spec.allowedNamespaces, such as {{from: Names, names: [{namespace}]}}"


@dataclass(frozen=True, slots=True)
class Tokens:
    """`issuers`: those whose tokens count, sorted. problems: why others do not, or cannot at present."""

    issuers: tuple[TrustedIssuer, ...] = ()
    problems: tuple[Finding, ...] = ()


@dataclass(frozen=True, slots=True)
class _Named:
    """`view` is None if no such object exists."""

    namespace: str
    name: NamespacedName
    view: IssuerView | None


def named_issuers(endpoint: ParsedEndpoint) -> tuple[NamespacedName, ...]:
    """The issuers of `access.jwt`, each once."""
    jwt = endpoint.spec.access.jwt if endpoint.spec else None
    entries = jwt.issuers if jwt else ()
    return tuple(dict.fromkeys(each.issuer(endpoint.key.namespace) for each in entries))


def tokens(endpoint: ParsedEndpoint, observed: Observed, before: RouteDocument | None) -> Tokens | None:
    """None where no token is accepted, and for a spec that cannot be read."""
    if endpoint.spec is None or not any(JWT in group for group in accepted(endpoint.spec.access)):
        return None
    kept = {each.issuer: each for each in before.issuers} if before else {}
    found, problems = [], []
    for name in named_issuers(endpoint):
        named = _Named(endpoint.key.namespace, name, observed.issuers.get(name))
        problem = next((it for predicate in _CHAIN if (it := predicate(named))), None)
        if problem is not None:
            problems.append(problem)
        trusted = _trusted(named, kept.get(name))
        if trusted is not None:
            found.append(trusted)
    return Tokens(tuple(sorted(found, key=lambda each: each.issuer)), tuple(problems))


def _trusted(named: _Named, before: TrustedIssuer | None) -> TrustedIssuer | None:
    """What cannot be read takes nothing away."""
    view = named.view
    if view is None or not view.admits:
        return None
    spec = view.issuer.spec
    if spec is None:
        return before
    if spec.keys is not None and spec.keys.kubernetes is not None and spec.issuer is None:
        # What the cluster calls itself is known once its keys have been read.
        iss = view.issuer.status.issuer
        return TrustedIssuer(named.name, iss) if iss else before
    return TrustedIssuer(named.name, spec.issuer) if spec.issuer else None


def _not_found(named: _Named) -> Finding | None:
    if named.view is not None:
        return None
    return Finding(
        Reason.ISSUER_NOT_FOUND, f"no TokenIssuer {named.name}: create it, or correct spec.access.jwt.issuers"
    )


def _not_allowed(named: _Named) -> Finding | None:
    if named.view is None or named.view.admits:
        return None
    advice = _LET_IN.format(namespace=named.namespace)
    return Finding(Reason.ISSUER_NOT_ALLOWED, f"TokenIssuer {named.name} does not let this namespace in: {advice}")


def _not_ready(named: _Named) -> Finding | None:
    if named.view is None:
        return None
    ready = find(named.view.issuer.status.conditions, IssuerCondition.READY)
    if ready is not None and ready.status == "True":
        return None
    if ready is None or ready.status == "Unknown":
        return Finding(Reason.KEYS_PENDING, f"the keys of TokenIssuer {named.name} are being fetched")
    return Finding(Reason.ISSUER_NOT_READY, f"TokenIssuer {named.name} is not ready: {ready.reason}: {ready.message}")


_CHAIN: tuple[Callable[[_Named], Finding | None], ...] = (_not_found, _not_allowed, _not_ready)
