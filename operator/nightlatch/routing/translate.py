"""Route documents to GatewayIR. Each endpoint is translated alone; only a host can be claimed by two."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence

from nightlatch.api.meta import NamespacedName
from nightlatch.api.operations import Operation
from nightlatch.routing.hosts import lost_hosts
from nightlatch.routing.ir import (
    COLD,
    BrokenDocument,
    CertificateIR,
    ClientCertificatesIR,
    EndpointIR,
    GatewayIR,
    GatewaySettings,
    LimitIR,
    MechanismIR,
    OperationsIR,
    PolicyIR,
    RuleIR,
    Serving,
    UpstreamIR,
)
from nightlatch.routing.mechanisms import api_key, jwt, mtls
from nightlatch.wire import caller_errors
from nightlatch.wire.route_document import RouteDocument, accepts_certificates

Document = RouteDocument | BrokenDocument

# Seconds beyond hold and answer before a call on which nothing is sent is ended.
IDLE_MARGIN = 15.0
# The codes that a document may be denied with; one that this version does not know is answered like the first.
_DENIALS = (caller_errors.POLICY_INVALID.code, caller_errors.POLICY_STALE.code)
_MECHANISMS: Mapping[str, Callable[[RouteDocument], MechanismIR]] = {
    api_key.NAME: api_key.from_document,
    jwt.NAME: jwt.from_document,
    mtls.NAME: mtls.from_document,
}
# One segment. Envoy has merged slashes, resolved dots and refused encoded slashes before it matches.
_SEGMENT = "[-._A-Za-z0-9]+"
_VARIABLE = re.compile(r"(\{[a-z]+\})")


def translate(
    documents: Sequence[Document],
    serving: Mapping[NamespacedName, Serving],
    settings: GatewaySettings,
    previous: GatewayIR | None = None,
    is_bundle: Callable[[str], bool] = bool,
) -> GatewayIR:
    """The gateway's state. An endpoint that is not in `serving` is cold. `is_bundle`: whether a trust bundle is usable.

    `previous` only saves work: an endpoint whose document, hosts and serving are unchanged stays the same object.
    """
    known = {each.endpoint: each for each in previous.endpoints} if previous else {}
    hosts = _hosts(documents)
    endpoints = (
        translate_endpoint(
            each, tuple(hosts[each.endpoint]), serving.get(each.endpoint, COLD), known.get(each.endpoint)
        )
        for each in documents
    )
    return GatewayIR(
        settings, tuple(sorted(endpoints, key=lambda each: each.endpoint)), own_trust(documents, is_bundle)
    )


def own_trust(documents: Iterable[Document], is_bundle: Callable[[str], bool] = bool) -> str:
    """The trust bundle of our own CA, from the document that was written last; empty if there is none.

    Every document carries the bundle. While a roll-over rewrites them one after the other, the first one is enough: all
    endpoints share one secret, so that Envoy parses one bundle and gets one push, not a thousand. A bundle that is
    damaged counts only if there is no other, so that it harms no other endpoint.
    """
    carried = [each for each in documents if isinstance(each, RouteDocument) and each.upstream_ca]
    newest = max(carried, key=_age, default=None)
    if newest and not is_bundle(newest.upstream_ca):
        newest = max((each for each in carried if is_bundle(each.upstream_ca)), key=_age, default=newest)
    return newest.upstream_ca if newest else ""


def _age(document: RouteDocument) -> tuple[int, NamespacedName]:
    return document.sequence, document.endpoint


def _hosts(documents: Sequence[Document]) -> dict[NamespacedName, list[str]]:
    lost = lost_hosts(documents)
    return {
        each.endpoint: [host for host in each.hosts if host not in lost.get(each.endpoint, {})] for each in documents
    }


def translate_endpoint(
    document: Document, hosts: tuple[str, ...], serving: Serving, previous: EndpointIR | None = None
) -> EndpointIR:
    """One endpoint with the hosts that it keeps. `previous` only saves work, as in `translate`."""
    same = previous if previous is not None and previous.source is document else None
    if same is not None and same.hosts == hosts and same.serving == serving:
        return same
    if isinstance(document, BrokenDocument):
        return _broken(document, hosts, serving)
    return EndpointIR(
        endpoint=document.endpoint,
        hosts=hosts,
        certificate=_certificate(document),
        client_certificates=_client_certificates(document),
        policy=same.policy if same else _policy(document),
        operations=same.operations if same else _operations(document.operations),
        upstream=_upstream(document),
        serving=serving,
        request_timeout=document.request_timeout,
        idle_timeout=document.hold_timeout + document.request_timeout + IDLE_MARGIN,
        max_duration=document.hold_timeout + 2 * document.request_timeout,
        source=document,
    )


def _broken(document: BrokenDocument, hosts: tuple[str, ...], serving: Serving) -> EndpointIR:
    return EndpointIR(
        endpoint=document.endpoint,
        hosts=hosts,
        certificate=None,
        client_certificates=None,
        policy=PolicyIR(str(document.endpoint), sequence=0, denied=_denial(document.code)),
        operations=(),
        upstream=None,
        serving=serving,
        request_timeout=IDLE_MARGIN,
        idle_timeout=IDLE_MARGIN,
        max_duration=IDLE_MARGIN,
        source=document,
    )


def _certificate(document: RouteDocument) -> CertificateIR | None:
    if not (document.server_certificate and document.server_private_key):
        return None
    return CertificateIR(document.server_certificate, document.server_private_key)


def _client_certificates(document: RouteDocument) -> ClientCertificatesIR | None:
    """Also for a denied endpoint, whose callers keep the connections that they have."""
    if not (accepts_certificates(document) and document.client_ca):
        return None
    return ClientCertificatesIR(document.client_ca)


def _upstream(document: RouteDocument) -> UpstreamIR | None:
    return UpstreamIR(document.upstream_identity, document.max_in_flight) if document.upstream_ca else None


def _policy(document: RouteDocument) -> PolicyIR:
    endpoint = str(document.endpoint)
    if document.denied is not None:
        return PolicyIR(endpoint, document.sequence, denied=_denial(document.denied))
    accept = document.accept or ((api_key.NAME,),)
    used = {name for group in accept for name in group}
    return PolicyIR(
        endpoint=endpoint,
        sequence=document.sequence,
        operations=document.operations,
        mechanisms=tuple(read(document) for name, read in _MECHANISMS.items() if name in used),
        accept=accept,
        rules=_rules(document),
        revoked_certificates=document.revoked_certificates,
        limits=tuple(
            LimitIR(name, tier.requests, tier.per_seconds, tier.burst)
            for name, tier in sorted(document.rate_tiers.items())
        ),
    )


def _rules(document: RouteDocument) -> tuple[RuleIR, ...]:
    """In the order of the spec, because the first rule that gives a permission is the one that the audit log names."""
    found = (
        *(RuleIR(each.name, each.permissions, each.claims) for each in document.token_rules),
        *(
            RuleIR(each.name, each.permissions, each.claims, tuple(map(str, each.clients)), each.certificates)
            for each in document.client_rules
        ),
    )
    return tuple(sorted(found, key=lambda each: (len(each.name), each.name)))


def _denial(code: str) -> str:
    return code if code in _DENIALS else _DENIALS[0]


def _operations(table: Iterable[Operation]) -> tuple[OperationsIR, ...]:
    patterns: dict[str, list[str]] = {}
    for operation in table:
        patterns.setdefault(operation.method, []).append(_pattern(operation.path))
    return tuple(OperationsIR(method, "|".join(paths)) for method, paths in sorted(patterns.items()))


def _pattern(template: str) -> str:
    parts = _VARIABLE.split(template)
    return "".join(_SEGMENT if _VARIABLE.fullmatch(part) else re.escape(part) for part in parts)
