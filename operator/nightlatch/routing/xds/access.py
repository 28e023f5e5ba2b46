"""The key look-up (a shadow matcher that finds a key's grant) and the rate limits of one endpoint.

This is the expensive part of a route configuration: one entry for each key. It is built once per AccessIR and kept.
"""

from dataclasses import dataclass

from envoy.config.core.v3 import base_pb2
from envoy.config.rbac.v3 import rbac_pb2 as rules
from envoy.config.route.v3 import route_components_pb2 as components
from envoy.extensions.filters.http.local_ratelimit.v3 import local_rate_limit_pb2
from envoy.extensions.filters.http.rbac.v3 import rbac_pb2
from envoy.type.matcher.v3 import http_inputs_pb2
from envoy.type.v3 import percent_pb2, token_bucket_pb2
from google.protobuf import any_pb2
from xds.core.v3 import extension_pb2
from xds.type.matcher.v3 import matcher_pb2

from nightlatch.routing.filter_order import CALLER
from nightlatch.routing.ir import AccessIR, GrantIR, TierIR
from nightlatch.routing.xds.types import pack, seconds

KEY_HEADER = "x-nightlatch-key-sha256"
NO_GRANT = "none"
_PLENTY = 1_000_000_000
_CLIENTS_REMEMBERED = 4096
_DRAFT_03 = 1


@dataclass(frozen=True, slots=True)
class AccessConfig:
    """The per-route configuration of the filters for key look-up and rate limit; None where there is none."""

    key_lookup: any_pb2.Any | None
    rate_limit: any_pb2.Any | None


def build_access(access: AccessIR) -> AccessConfig:
    return AccessConfig(
        key_lookup=_key_lookup(access.grants) if access.grants else None,
        rate_limit=_rate_limit(access.tiers, access.retry_after) if access.tiers else None,
    )


def _key_lookup(grants: tuple[GrantIR, ...]) -> any_pb2.Any:
    matcher = matcher_pb2.Matcher()
    matcher.matcher_tree.input.name = "key"
    header = http_inputs_pb2.HttpRequestHeaderMatchInput(header_name=KEY_HEADER)
    matcher.matcher_tree.input.typed_config.CopyFrom(pack(header))
    for grant in grants:
        entry = matcher.matcher_tree.exact_match_map.map[grant.sha256]
        entry.action.CopyFrom(_action(grant.grant, rules.RBAC.ALLOW))
    matcher.on_no_match.action.CopyFrom(_action(NO_GRANT, rules.RBAC.DENY))
    return pack(rbac_pb2.RBACPerRoute(rbac=rbac_pb2.RBAC(shadow_matcher=matcher)))


def _action(name: str, action: int) -> extension_pb2.TypedExtensionConfig:
    config = rules.Action(name=name, action=action)
    return extension_pb2.TypedExtensionConfig(name="grant", typed_config=pack(config))


def _rate_limit(tiers: tuple[TierIR, ...], retry_after: int) -> any_pb2.Any:
    """Local rate limits. A descriptor whose client is empty gives each client its own bucket."""
    limit = local_rate_limit_pb2.LocalRateLimit(
        stat_prefix="rate_limit",
        token_bucket=_bucket(_PLENTY, _PLENTY, 1.0),
        max_dynamic_descriptors={"value": _CLIENTS_REMEMBERED},
        always_consume_default_token_bucket={"value": False},
        enable_x_ratelimit_headers=_DRAFT_03,
    )
    for switch in (limit.filter_enabled, limit.filter_enforced):
        switch.default_value.CopyFrom(percent_pb2.FractionalPercent(numerator=100))
    limit.response_headers_to_add.add(header=base_pb2.HeaderValue(key="retry-after", value=str(retry_after)))
    for tier in tiers:
        descriptor = limit.descriptors.add(token_bucket=_bucket(tier.burst, tier.requests, tier.per_seconds))
        descriptor.entries.add(key="tier", value=tier.name)
        descriptor.entries.add(key="client")
    limit.rate_limits.append(_by_caller())
    return pack(limit)


def _bucket(burst: int, requests: int, per_seconds: float) -> token_bucket_pb2.TokenBucket:
    return token_bucket_pb2.TokenBucket(
        max_tokens=burst, tokens_per_fill={"value": requests}, fill_interval=seconds(per_seconds)
    )


def _by_caller() -> components.RateLimit:
    limit = components.RateLimit()
    for name in ("tier", "client"):
        entry = limit.actions.add().metadata
        entry.descriptor_key = name
        entry.metadata_key.key = CALLER
        entry.metadata_key.path.add(key=name)
    return limit
