"""A held call may go on only if the policy that is in force now still lets it."""

from dataclasses import replace
from typing import Any

import pytest

from nightlatch.api.meta import NamespacedName
from nightlatch.api.operations import operations_for
from nightlatch.gatekeeper.hold.still_allowed import UNKNOWN, Access, HeldCall, Proof
from nightlatch.wire.route_document import CertificateGrant, KeyGrant, TokenRule, TrustedIssuer
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
BY_TOKEN = HeldCall((TOKEN,), "POST", "/v2/models/minilm/infer", ((ISSUER,), (RULE,)))


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


def test_a_token_and_a_key_are_both_needed_and_the_first_says_what_is_permitted() -> None:
    takes = {**TAKES, "accept": (("apiKey", "jwt"),)}
    both = replace(BY_TOKEN, proofs=(Proof("apiKey", "search/bot", "k1"), TOKEN))
    for keys, code in (
        ((GRANT,), None),
        ((), "unauthenticated"),
        ((replace(GRANT, permissions=()),), "insufficient_scope"),
    ):
        assert answer(both, keys=keys, **takes) == code
