"""The value by which the gate decides about an endpoint's calls: PolicyIR as JSON. `gate/src/policy.rs` reads it."""

from typing import Any

import orjson

from nightlatch.routing.ir import LimitIR, PolicyIR, RuleIR

# The format that the gate reads. It refuses a policy with any other, or with a member that it does not know.
FORMAT = 1


def policy_value(policy: PolicyIR, gateways: int) -> bytes:
    """The policy of an endpoint. `gateways`: how many gateways serve, over which each limit is shared out.

    Equal policies give equal bytes.
    """
    clients = policy.clients
    places = {client.id: place for place, client in enumerate(clients)}
    value: dict[str, Any] = {
        "format": FORMAT,
        "endpoint": policy.endpoint,
        "sequence": policy.sequence,
        "operations": [[each.method, each.path, each.permission] for each in policy.operations],
        "mechanisms": {each.name: each.value(places) for each in policy.mechanisms},
        "clients": [
            {"id": each.id, "permissions": each.permissions} | ({"limit": each.limit} if each.limit else {})
            for each in clients
        ],
        "accept": policy.accept,
        "rules": [_rule(each) for each in policy.rules],
        "limits": {each.name: _limit(each) for each in policy.limits},
        "gateways": gateways,
    }
    if policy.revoked_certificates:
        # For whatever client shows them.
        value["revoked"] = {"certificates": [["", digest] for digest in policy.revoked_certificates]}
    if policy.denied is not None:
        value["denied"] = {"code": policy.denied}
    return orjson.dumps(value)


def _rule(rule: RuleIR) -> dict[str, Any]:
    asked = {"claims": rule.claims, "clients": rule.clients, "certificates": rule.certificates}
    named = {name: value for name, value in asked.items() if value}
    return {"name": rule.name, "permissions": rule.permissions, **named}


def _limit(limit: LimitIR) -> dict[str, int]:
    milliseconds = max(1, round(limit.per_seconds * 1000))
    return {"requests": limit.requests, "perMilliseconds": milliseconds, "burst": limit.burst}
