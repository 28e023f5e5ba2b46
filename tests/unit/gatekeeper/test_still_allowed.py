"""A held call may go on only if the policy that is in force now still lets it."""

from dataclasses import replace
from typing import Any

import pytest

from nightlatch.api.meta import NamespacedName
from nightlatch.api.operations import operations_for
from nightlatch.gatekeeper.hold.still_allowed import UNKNOWN, Access, HeldCall, Proof, TokenPolicy
from nightlatch.wire.route_document import CertificateGrant, ClientRule, KeyGrant, TokenRule, TrustedIssuer
from tests.unit.gatekeeper.test_documents import DOCUMENT

NOW = 1000.5
GRANT = KeyGrant("0" * 64, NamespacedName("search", "bot"), "k1", ("infer", "metadata"))
CALL = HeldCall((Proof("apiKey", "search/bot", "k1"),), "POST", "/v2/models/minilm/infer")
OTHER = replace(GRANT, sha256="1" * 64, key_id="k2")
OPERATIONS = operations_for(None, "minilm")


def answer(call: HeldCall, **document: Any) -> str | None:
    error = Access(replace(DOCUMENT, operations=OPERATIONS, **document)).refusal(call, NOW)
    return error.code if error else None


@pytest.mark.parametrize(
    ("keys", "denied", "code"),
    [
        pytest.param((GRANT,), None, None, id="still granted"),
        pytest.param((OTHER, GRANT), None, None, id="a second key beside it"),
        pytest.param((), None, "unauthenticated", id="the client is suspended or gone"),
        pytest.param((OTHER,), None, "unauthenticated", id="the key is revoked, another key is not"),
        pytest.param(
            (replace(GRANT, client=NamespacedName("search", "other")),),
            None,
            "unauthenticated",
            id="the key id of another client",
        ),
        pytest.param((replace(GRANT, permissions=("metadata",)),), None, "insufficient_scope", id="narrowed"),
        pytest.param((replace(GRANT, permissions=("infer",)),), None, None, id="narrowed, not below the call"),
        pytest.param((replace(GRANT, not_after=1001),), None, None, id="about to expire"),
        pytest.param((replace(GRANT, not_after=1000),), None, "unauthenticated", id="expired"),
        pytest.param((replace(GRANT, not_before=1000),), None, None, id="just begun"),
        pytest.param((replace(GRANT, not_before=1001),), None, "unauthenticated", id="not begun"),
        pytest.param((GRANT,), "policy_invalid", "policy_invalid", id="denied"),
        pytest.param((), "policy_stale", "policy_stale", id="denied as stale, also without the key"),
        pytest.param((GRANT,), "from_a_later_version", "policy_invalid", id="denied, for a reason to come"),
    ],
)
def test_a_held_call_goes_on_only_while_its_grant_lasts(keys, denied, code) -> None:
    assert answer(CALL, keys=keys, denied=denied) == code


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"path": "/v2/models/minilm/infer?x=/"}, None),
        ({"path": "/v2/models/minilm/versions/1.0/infer"}, None),
        ({"method": "GET", "path": "/v2/models/minilm"}, None),
        ({"method": "GET", "path": "/metrics"}, "insufficient_scope"),
        ({"method": "GET"}, "insufficient_scope"),
        ({"path": "/v2/models/minilm/versions//infer"}, "insufficient_scope"),
        ({"path": "/v2/models/minilm/versions/a%20b/infer"}, "insufficient_scope"),
        ({"path": "/v2/models/other/infer"}, "insufficient_scope"),
        ({"path": "/v2/models/minilm/infer/"}, "insufficient_scope"),
        ({"path": ""}, "insufficient_scope"),
        ({"proofs": (Proof("jwt", "search/bot", "k1"),)}, "unauthenticated"),
        ({"proofs": (Proof("apiKey", "", ""),)}, "unauthenticated"),
    ],
)
def test_the_call_is_judged_as_the_gate_judges_it(changes: dict[str, Any], code: str | None) -> None:
    assert answer(replace(CALL, **changes), keys=(GRANT,)) == code


BOT = CertificateGrant("spiffe://td/ns/search/ic/bot", NamespacedName("search", "bot"), ("infer",))
CORP = CertificateGrant("spiffe://corp.example/x", None, ("infer",))
KEY, SHOWN = CALL.proofs[0], Proof("mtls", "search/bot", "ab" * 32)
ALL = {"accept": (("apiKey", "mtls"),), "client_ca": "-----BEGIN CERTIFICATE-----"}


@pytest.mark.parametrize(
    ("proofs", "document", "code"),
    [
        ((SHOWN,), {"certificates": (BOT,), "accept": (("mtls",),)}, None),
        ((Proof("mtls", CORP.identity, "ab" * 32),), {"certificates": (CORP,), "accept": (("mtls",),)}, None),
        ((SHOWN,), {"certificates": (CORP,), "accept": (("mtls",),)}, "unauthenticated"),
        ((SHOWN,), {"certificates": (replace(BOT, permissions=()),), "accept": (("mtls",),)}, "insufficient_scope"),
        # The endpoint refuses this certificate, or another one of the same identity.
        (
            (SHOWN,),
            {"certificates": (BOT,), "accept": (("mtls",),), "revoked_certificates": ("ab" * 32,)},
            "unauthenticated",
        ),
        ((SHOWN,), {"certificates": (BOT,), "accept": (("mtls",),), "revoked_certificates": ("cd" * 32,)}, None),
        # The endpoint takes no certificates any more.
        ((SHOWN,), {"certificates": (BOT,), "keys": (GRANT,)}, "unauthenticated"),
        # Both are needed, and each must still be granted.
        ((KEY, SHOWN), {"certificates": (BOT,), "keys": (GRANT,), **ALL}, None),
        ((KEY, SHOWN), {"certificates": (), "keys": (GRANT,), **ALL}, "unauthenticated"),
        ((KEY, SHOWN), {"certificates": (BOT,), "keys": (), **ALL}, "unauthenticated"),
        ((KEY, UNKNOWN), {"certificates": (BOT,), "keys": (GRANT,), **ALL}, "unauthenticated"),
    ],
)
def test_every_proof_of_a_held_call_must_still_be_granted(
    proofs: tuple[Proof, ...], document: dict[str, Any], code: str | None
) -> None:
    assert answer(replace(CALL, proofs=proofs), **document) == code


def test_an_operation_that_the_endpoint_no_longer_has_is_refused() -> None:
    call = replace(CALL, path="/v1/embeddings")
    assert answer(call, keys=(GRANT,)) is None
    error = Access(replace(DOCUMENT, operations=operations_for("OpenInference", "minilm"), keys=(GRANT,))).refusal(
        call, NOW
    )
    assert error is not None
    assert error.code == "insufficient_scope"


ISSUER = TrustedIssuer(NamespacedName("ids", "corp"), "https://id.example")
RULE = TokenRule("rules[0]", ("infer",), ((("groups",), ("ml",)),))
TAKES = {"accept": (("jwt",), ("apiKey",)), "issuers": (ISSUER,), "token_rules": (RULE,)}
TOKEN = Proof("jwt", "ids/corp:alice", "0123456789abcdef")
BY_TOKEN = replace(CALL, proofs=(TOKEN,), judged_by=TokenPolicy((ISSUER,), (RULE,)))


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        pytest.param({}, None, id="as it was"),
        pytest.param({"keys": (GRANT,)}, None, id="a key more"),
        pytest.param({"issuers": ()}, "unauthenticated", id="the issuer is named no more"),
        pytest.param({"accept": (("apiKey",),)}, "unauthenticated", id="tokens are taken no more"),
        pytest.param({"token_rules": ()}, "verification_unavailable", id="another rule may have let it in"),
        pytest.param(
            {"issuers": (replace(ISSUER, iss="https://other.example"),)},
            "verification_unavailable",
            id="the issuer is called something else",
        ),
        pytest.param({"denied": "policy_stale"}, "policy_stale", id="denied"),
    ],
)
def test_a_call_by_a_token_goes_on_only_while_the_same_is_said_of_tokens(changes, code) -> None:
    assert answer(BY_TOKEN, **{**TAKES, **changes}) == code


def test_a_token_of_an_issuer_whose_name_begins_alike_is_not_of_it() -> None:
    other = replace(BY_TOKEN, proofs=(Proof("jwt", "ids/corp2:alice", "0"),))
    assert answer(other, **TAKES) == "unauthenticated"


def test_a_token_and_a_key_are_both_needed_and_both_permit() -> None:
    takes = {**TAKES, "accept": (("apiKey", "jwt"),)}
    proofs = (Proof("apiKey", "search/bot", "k1"), TOKEN)
    narrow = replace(GRANT, permissions=())
    for both in (replace(BY_TOKEN, proofs=proofs), replace(BY_TOKEN, proofs=proofs[::-1])):
        for keys, rules, code in (
            ((GRANT,), (RULE,), None),
            ((), (RULE,), "unauthenticated"),
            ((narrow,), (), "insufficient_scope"),
            # The rule may hold for the token or not, and only a new call can show it.
            ((narrow,), (RULE,), "verification_unavailable"),
        ):
            assert answer(both, **{**takes, "keys": keys, "token_rules": rules}) == code
        # A rule let the call in, and the key never did.
        assert answer(replace(both, granted=False), **{**takes, "keys": (narrow,)}) is None


BY_CLIENT = ClientRule("rules[0]", ("infer",), clients=(NamespacedName("search", "bot"),))
BY_NAME = ClientRule("rules[0]", ("infer",), certificates=(CORP.identity,), claims=RULE.claims)
READER = replace(GRANT, permissions=("metadata",))
MAY_NOTHING = replace(CORP, permissions=())
OF_CORP = Proof("mtls", CORP.identity, "ab" * 32)
MTLS_ALONE = {"accept": (("mtls",),)}
BOUND = {**TAKES, "accept": (("mtls", "jwt"),), "certificates": (MAY_NOTHING,)}


@pytest.mark.parametrize(
    ("proofs", "document", "code"),
    [
        ((KEY,), {"keys": (READER,)}, "insufficient_scope"),
        ((KEY,), {"keys": (READER,), "client_rules": (BY_CLIENT,)}, None),
        ((KEY,), {"keys": (), "client_rules": (BY_CLIENT,)}, "unauthenticated"),
        (
            (KEY,),
            {"keys": (READER,), "client_rules": (replace(BY_CLIENT, permissions=("health",)),)},
            "insufficient_scope",
        ),
        (
            (KEY,),
            {"keys": (READER,), "client_rules": (replace(BY_CLIENT, clients=(NamespacedName("ml", "bot"),)),)},
            "insufficient_scope",
        ),
        ((KEY,), {"keys": (READER,), "client_rules": (replace(BY_CLIENT, claims=RULE.claims),)}, "insufficient_scope"),
        ((SHOWN,), {"certificates": (replace(BOT, permissions=()),), "client_rules": (BY_CLIENT,), **MTLS_ALONE}, None),
        # The name of a certificate is no client's, and the other way round.
        (
            (OF_CORP,),
            {"certificates": (MAY_NOTHING,), "client_rules": (BY_CLIENT,), **MTLS_ALONE},
            "insufficient_scope",
        ),
        (
            (KEY, OF_CORP),
            {
                "keys": (READER,),
                "certificates": (MAY_NOTHING,),
                "client_rules": (replace(BY_CLIENT, certificates=(CORP.identity,)),),
                **ALL,
            },
            None,
        ),
        (
            (KEY, OF_CORP),
            {
                "keys": (READER,),
                "certificates": (MAY_NOTHING,),
                "client_rules": (replace(BY_CLIENT, certificates=("spiffe://corp.example/y",)),),
                **ALL,
            },
            "insufficient_scope",
        ),
    ],
)
def test_what_a_rule_gives_to_a_client_by_its_name_counts(proofs, document, code) -> None:
    assert answer(replace(CALL, proofs=proofs, granted=False), **document) == code


def test_a_rule_about_a_token_and_a_certificate_counts_while_it_stays_the_same() -> None:
    policy = TokenPolicy((ISSUER,), (RULE, BY_NAME))
    call = replace(CALL, proofs=(OF_CORP, TOKEN), judged_by=policy, granted=False)
    assert answer(call, **BOUND, client_rules=(BY_NAME,)) is None
    other = replace(BY_NAME, claims=((("groups",), ("other",)),))
    assert answer(call, **BOUND, client_rules=(other,)) == "verification_unavailable"


def test_what_was_judged_when_the_call_was_let_in_is_kept_with_it() -> None:
    access = Access(replace(DOCUMENT, operations=OPERATIONS, keys=(READER,), client_rules=(BY_CLIENT,), **TAKES))
    assert access.judged(CALL) == replace(CALL, granted=False)
    by_token = access.judged(HeldCall((TOKEN,), CALL.method, CALL.path))
    assert by_token == replace(BY_TOKEN, judged_by=TokenPolicy((ISSUER,), (RULE, BY_CLIENT)))


@pytest.mark.parametrize(("ends", "code"), [(NOW + 0.1, None), (NOW, "unauthenticated"), (None, None)])
def test_a_token_or_certificate_that_ends_while_its_call_is_held_ends_the_call(ends, code) -> None:
    assert answer(replace(BY_TOKEN, ends=ends), **TAKES) == code
    assert answer(replace(CALL, proofs=(SHOWN,), ends=ends), certificates=(BOT,), **MTLS_ALONE) == code
