"""Route documents to GatewayIR. Each endpoint is translated alone; only a host can be claimed by two."""

import math
import re
from collections.abc import Iterable, Mapping, Sequence

from nightlatch.api.meta import NamespacedName
from nightlatch.api.operations import Operation
from nightlatch.routing.hosts import lost_hosts
from nightlatch.routing.ir import (
    COLD,
    AccessIR,
    BrokenDocument,
    CertificateIR,
    EndpointIR,
    GatewayIR,
    GatewaySettings,
    GrantIR,
    OperationsIR,
    Serving,
    TierIR,
    UpstreamIR,
)
from nightlatch.wire.route_document import KeyGrant, RateTier, RouteDocument

Document = RouteDocument | BrokenDocument

NO_ACCESS = AccessIR((), (), (), 1)
# Seconds beyond hold and answer before a call on which nothing is sent is ended.
IDLE_MARGIN = 15.0
# One segment. Envoy has merged slashes, resolved dots and refused encoded slashes before it matches.
_SEGMENT = "[-._A-Za-z0-9]+"
_VARIABLE = re.compile(r"(\{[a-z]+\})")


def translate(
    documents: Sequence[Document],
    serving: Mapping[NamespacedName, Serving],
    settings: GatewaySettings,
    previous: GatewayIR | None = None,
) -> GatewayIR:
    """The gateway's state. An endpoint that is not in `serving` is cold.

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
    return GatewayIR(settings, tuple(sorted(endpoints, key=lambda each: each.endpoint)), own_trust(documents))


def own_trust(documents: Iterable[Document]) -> str:
    """The trust bundle of our own CA, from the document that was written last; empty if there is none.

    Every document carries the bundle. While a roll-over rewrites them one after the other, the first one is enough: all
    endpoints share one secret, so that Envoy parses one bundle and gets one push, not a thousand.
    """
    carried = (each for each in documents if isinstance(each, RouteDocument) and each.upstream_ca)
    newest = max(carried, key=lambda each: (each.sequence, each.endpoint), default=None)
    return newest.upstream_ca if newest else ""


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
        access=same.access if same else _access(document),
        upstream=_upstream(document),
        serving=serving,
        request_timeout=document.request_timeout,
        idle_timeout=document.hold_timeout + document.request_timeout + IDLE_MARGIN,
        max_duration=document.hold_timeout + 2 * document.request_timeout,
        denied=document.denied,
        source=document,
    )


def _broken(document: BrokenDocument, hosts: tuple[str, ...], serving: Serving) -> EndpointIR:
    return EndpointIR(
        endpoint=document.endpoint,
        hosts=hosts,
        certificate=None,
        access=NO_ACCESS,
        upstream=None,
        serving=serving,
        request_timeout=IDLE_MARGIN,
        idle_timeout=IDLE_MARGIN,
        max_duration=IDLE_MARGIN,
        denied=document.code,
        source=document,
    )


def _certificate(document: RouteDocument) -> CertificateIR | None:
    if not (document.server_certificate and document.server_private_key):
        return None
    return CertificateIR(document.server_certificate, document.server_private_key)


def _upstream(document: RouteDocument) -> UpstreamIR | None:
    return UpstreamIR(document.upstream_identity, document.max_in_flight) if document.upstream_ca else None


def _access(document: RouteDocument) -> AccessIR:
    return AccessIR(
        grants=tuple(map(_grant, sorted(document.keys, key=lambda each: each.sha256))),
        operations=_operations(document.operations),
        tiers=tuple(_tier(name, tier) for name, tier in sorted(document.rate_tiers.items())),
        retry_after=_retry_after(document.rate_tiers.values()),
    )


def _grant(grant: KeyGrant) -> GrantIR:
    bounds = ("" if bound is None else str(bound) for bound in (grant.not_before, grant.not_after))
    fields = (str(grant.client), grant.key_id, ",".join(grant.permissions), grant.tier, *bounds)
    return GrantIR(grant.sha256, "|".join(fields))


def _operations(table: Iterable[Operation]) -> tuple[OperationsIR, ...]:
    patterns: dict[tuple[str, str], list[str]] = {}
    for operation in table:
        patterns.setdefault((operation.permission, operation.method), []).append(_pattern(operation.path))
    return tuple(
        OperationsIR(permission, method, "|".join(paths))  # type: ignore[arg-type]
        for (permission, method), paths in sorted(patterns.items())
    )


def _pattern(template: str) -> str:
    parts = _VARIABLE.split(template)
    return "".join(_SEGMENT if _VARIABLE.fullmatch(part) else re.escape(part) for part in parts)


def _tier(name: str, tier: RateTier) -> TierIR:
    return TierIR(name, tier.burst, tier.requests, tier.per_seconds)


def _retry_after(tiers: Iterable[RateTier]) -> int:
    return max((math.ceil(tier.per_seconds / tier.requests) for tier in tiers), default=1)
