"""What `access.rules` says of callers, as a route document says it. Pure.

What a rule gives to certificates of other CAs by their names alone is part of their grants (`certificates.py`).
"""

from nightlatch.api.claims import ClaimPath, claim_path
from nightlatch.api.endpoint import Access, RuleWhen
from nightlatch.api.meta import NamespacedName
from nightlatch.wire.route_document import ClientRule, TokenRule


def token_rules(access: Access) -> tuple[TokenRule, ...]:
    """The rules about tokens alone. One without `when` is about all tokens that carry no permission."""
    if access.jwt is None:
        return ()
    return tuple(
        TokenRule(_name(index), tuple(sorted(rule.permissions)), _claims(rule.when) if rule.when else ())
        for index, rule in enumerate(access.rules)
        if rule.when is None or (rule.when.claims and not rule.when.certificates and not rule.when.clients)
    )


def client_rules(access: Access) -> tuple[ClientRule, ...]:
    """The rules that name clients, and those that name certificates together with claims."""
    return tuple(
        ClientRule(
            name=_name(index),
            permissions=tuple(sorted(rule.permissions)),
            clients=tuple(sorted(map(NamespacedName.parse, rule.when.clients))),
            certificates=tuple(sorted(rule.when.certificates)),
            claims=_claims(rule.when),
        )
        for index, rule in enumerate(access.rules)
        if rule.when is not None and (rule.when.clients or (rule.when.certificates and rule.when.claims))
    )


def _name(index: int) -> str:
    return f"rules[{index}]"


def _claims(when: RuleWhen) -> tuple[tuple[ClaimPath, tuple[str, ...]], ...]:
    return tuple((claim_path(name), tuple(sorted(values))) for name, values in sorted(when.claims.items()))
