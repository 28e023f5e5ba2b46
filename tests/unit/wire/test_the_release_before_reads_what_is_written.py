"""A gateway of the release before, which knows format 1 alone, reads what this operator writes for it."""

from dataclasses import fields, replace

import pytest

from nightlatch.api.meta import NamespacedName
from nightlatch.wire import route_document as now
from nightlatch.wire.route_document import (
    CertificateGrant,
    ClientRule,
    KeyGrant,
    RateTier,
    RouteDocument,
    TokenRule,
    TrustedIssuer,
)
from tests.unit.wire import reader_of_format_1 as before
from tests.unit.wire.test_route_document import DOCUMENT

FULL = replace(
    DOCUMENT,
    hosts=("minilm.search.localhost", "minilm.search.svc", "minilm.search.svc.cluster.local"),
    keys=(
        *DOCUMENT.keys,
        KeyGrant("b" * 64, NamespacedName("ml", "batch"), "ba9876543210", ("infer", "metadata", "health", "metrics")),
        KeyGrant("c" * 64, NamespacedName("ml", "late"), "0a0a0a0a0a0a", ("health",), "slow", 1_800_000_000, 2**52),
    ),
    rate_tiers={**DOCUMENT.rate_tiers, "slow": RateTier(1, 86_400.0, 1)},
    request_timeout=86_400.0,
    hold_timeout=3600.0,
    hold_max_requests=1_000_000,
    created=1_790_000_000,
)
CERTIFICATES = {
    "certificates": (CertificateGrant("spiffe://td/ns/ml/ic/batch", NamespacedName("ml", "batch"), ("infer",)),),
    "accept": (("mtls",),),
    "client_ca": DOCUMENT.upstream_ca,
    "revoked_certificates": ("ab" * 32,),
}
TOKENS = {
    "issuers": (TrustedIssuer(NamespacedName("ids", "corp"), "https://id.example"),),
    "token_rules": (TokenRule("rules[0]", ("infer",), ((("groups",), ("ml",)),)),),
    "token_tier": "slow",
}
RULES = {"client_rules": (ClientRule("rules[0]", ("infer",), (NamespacedName("ml", "batch"),)),)}
DENIED = replace(
    FULL, denied="policy_invalid", keys=(), rate_tiers={}, server_certificate="", server_private_key="", upstream_ca=""
)


@pytest.mark.parametrize("document", [DOCUMENT, FULL, DENIED], ids=["small", "full", "denied"])
def test_the_reader_of_the_release_before_takes_it_and_misses_nothing(document: RouteDocument) -> None:
    assert now.needed_format(document) == 1
    read = before.decode(now.encode(document, 1))
    for member in fields(before.RouteDocument):
        assert repr(getattr(read, member.name)) == repr(getattr(document, member.name)), member.name


def test_a_gateway_is_safe_without_the_members_that_came_since() -> None:
    """They are not written for that reader, which takes no member that it does not know.

    A document that needs one is held back from it: `needed_format()` says so. One that is optional changes nothing.
    """
    known = {each.name for each in fields(before.RouteDocument)}
    for member in (each for each in fields(RouteDocument) if each.name not in known):
        assert member.metadata.get("format", 1) > 1 or member.name == "takes_away_since"
        said = {**CERTIFICATES, **TOKENS, **RULES, "max_in_flight": 1, "takes_away_since": 1}[member.name]
        needed = now.needed_format(replace(DOCUMENT, **{member.name: said}))
        assert needed > 1 or member.metadata.get("optional") or member.name == "takes_away_since"


def test_a_later_format_is_refused_by_that_reader_and_never_misread() -> None:
    for format_ in (2, 3, 4, 5):
        with pytest.raises(before.DocumentError):
            before.decode(now.encode(FULL, format_))
