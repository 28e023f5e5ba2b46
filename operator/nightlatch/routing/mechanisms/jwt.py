"""JSON Web Tokens: whose tokens an endpoint accepts, and what the gate is told of an issuer.

Issuers are a part of the gate's own configuration, and a policy only names them, so new keys are one push for any
number of endpoints. `gate/src/mechanisms/jwt.rs` and `gate/src/jwt/issuer.rs` read this.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from nightlatch.routing.ir import ClientIR, DeniedTokensIR, IssuerIR
from nightlatch.wire.issuer_document import IssuerDocument
from nightlatch.wire.route_document import RouteDocument

NAME = "jwt"


@dataclass(frozen=True, slots=True)
class Tokens:
    """Whose tokens an endpoint accepts: name and `iss` of each issuer. limit: the rate limit of each subject."""

    issuers: tuple[tuple[str, str], ...]
    limit: str | None = None
    clients: tuple[ClientIR, ...] = ()
    name: str = NAME

    def value(self, places: Mapping[str, int]) -> dict[str, Any]:  # noqa: ARG002
        """No subject is a client of the policy, so no place matters."""
        return {"issuers": self.issuers} | ({"limit": self.limit} if self.limit else {})


def from_document(document: RouteDocument) -> Tokens:
    """What the document says of tokens. Without any issuer, the gate refuses every token."""
    issuers = tuple(sorted((str(each.issuer), each.iss) for each in document.issuers))
    return Tokens(issuers, document.token_tier or None)


def issuer_from_document(document: IssuerDocument) -> IssuerIR:
    """An issuer by its own document."""
    return IssuerIR(
        name=str(document.issuer),
        iss=document.iss,
        audiences=document.audiences,
        algorithms=document.algorithms,
        keys=tuple(key.jwk() for key in document.keys),
        permissions=dict(document.permissions),
        permissions_claim=document.permissions_claim,
        identity_claim=document.identity_claim,
        required_claims=document.required_claims,
        token_type=document.token_type,
        max_lifetime=document.max_lifetime,
        clock_skew=document.clock_skew,
        sender_constrained=document.sender_constrained,
        valid_until=document.valid_until,
    )


def denied_from_document(document: IssuerDocument) -> DeniedTokensIR:
    """The tokens of an issuer that are denied."""
    denied = document.denied
    return DeniedTokensIR(str(document.issuer), denied.jti, denied.sub, denied.sid, dict(denied.issued_before))


def issuer_value(issuer: IssuerIR) -> dict[str, Any]:
    """An issuer as the gate reads it. It refuses one with a member that it does not know, alone."""
    value: dict[str, Any] = {
        "name": issuer.name,
        "issuer": issuer.iss,
        "audiences": issuer.audiences,
        "algorithms": issuer.algorithms,
        "keys": [dict(key) for key in issuer.keys],
        "maxLifetimeMilliseconds": round(issuer.max_lifetime * 1000),
        "clockSkewMilliseconds": round(issuer.clock_skew * 1000),
        "requiredClaims": issuer.required_claims,
        "permissionsFrom": {"claim": issuer.permissions_claim, "map": dict(issuer.permissions)},
        "identityFrom": issuer.identity_claim,
        "senderConstrained": issuer.sender_constrained,
    }
    if issuer.token_type is not None:
        value["tokenType"] = issuer.token_type
    if issuer.valid_until is not None:
        value["validUntil"] = issuer.valid_until
    return value


def denied_value(denied: DeniedTokensIR) -> dict[str, Any]:
    """The denied tokens of one issuer, as the gate reads them."""
    return {
        "jti": denied.jti,
        "sub": denied.sub,
        "sid": denied.sid,
        "issuedBefore": dict(denied.issued_before),
    }
