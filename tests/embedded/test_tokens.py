"""JSON Web Tokens through a real Envoy: which are let in, what becomes of them, and how they stop."""

import json
import secrets
import time
from dataclasses import replace
from typing import Any

import pytest

from nightlatch.api.meta import NamespacedName
from nightlatch.routing.ir import DeniedTokensIR, GateIR, IssuerIR, Serving
from nightlatch.wire.route_document import TokenRule, TrustedIssuer
from tests.attack.tokens import Signer, encoded, hs256
from tests.embedded.envoy_fixture import Caller, Gateway

KEY = NamespacedName("search", "minilm")
HOST = "minilm.search.localhost"
INFER = "/v2/models/minilm/infer"
ISS = "https://id.example"
BOT = Caller("bot", secrets.token_bytes, "infer")


SIGNERS = {algorithm: Signer(algorithm) for algorithm in ("RS256", "PS256", "ES256", "EdDSA")}
ISSUER = IssuerIR(
    "ids/corp",
    ISS,
    ("minilm",),
    tuple(SIGNERS),
    tuple(each.jwk for each in SIGNERS.values()),
    {"ml:infer": ("infer",), "ml:read": ("metadata",)},
    max_lifetime=3600.0,
)


def claims(**changes):
    now = int(time.time())
    claimed = {
        "iss": ISS,
        "aud": "minilm",
        "sub": "alice",
        "jti": "t1",
        "scope": "ml:infer",
        "iat": now,
        "exp": now + 60,
    }
    return {name: value for name, value in {**claimed, **changes}.items() if value is not None}


class TokenGateway(Gateway):
    """With a model server that is awake."""

    model: Any


@pytest.fixture
def gateway(tmp_path):
    gateway = TokenGateway(tmp_path)
    try:
        gateway.model = gateway.model_server(KEY)
        document = gateway.document(
            KEY,
            keys=(BOT.grant,),
            accept=(("apiKey",), ("jwt",)),
            issuers=(TrustedIssuer(NamespacedName.parse(ISSUER.name), ISS),),
            token_rules=(TokenRule("rules[0]", ("metadata",), ((("realm_access", "roles"), ("ml-reader",)),)),),
        )
        gateway.put([document], {KEY: Serving(hold=False, addresses=(gateway.model.address,))})
        gateway.put_gate(GateIR(issuers=(ISSUER,)))
        yield gateway
    finally:
        gateway.stop()


def bearer(token):
    return {"authorization": f"Bearer {token}"}


def status(client, token, method="POST", path=INFER):
    return client.request(method, path, headers=bearer(token)).status_code


def test_a_good_token_of_each_algorithm_reaches_the_model_server_as_an_identity(gateway):
    with gateway.client(HOST) as client:
        for signer in SIGNERS.values():
            seen = client.post(INFER, headers=bearer(signer.sign(claims(sub="a b")))).json()["headers"]
            assert seen["x-nightlatch-client"] == "ids/corp:a%20b"
            assert (seen["x-nightlatch-method"], seen["x-nightlatch-permissions"]) == ("jwt", "infer")
            assert "authorization" not in seen


def test_a_token_permits_what_its_claims_and_the_rules_say(gateway):
    signer = SIGNERS["ES256"]
    model = "/v2/models/minilm"
    with gateway.client(HOST) as client:
        reader = signer.sign(claims(scope="ml:read"))
        assert (status(client, reader), status(client, reader, "GET", model)) == (403, 200)
        by_role = signer.sign(claims(scope=None, realm_access={"roles": ["ml-reader"]}))
        assert (status(client, by_role), status(client, by_role, "GET", model)) == (403, 200)
        nothing = signer.sign(claims(scope="ml:infer2", realm_access={"roles": ["ml-reader2"]}))
        assert (status(client, nothing), status(client, nothing, "GET", model)) == (403, 403)


def test_a_token_with_one_thing_wrong_gets_the_answer_of_no_token_and_reaches_nobody(gateway):
    signer, other = SIGNERS["RS256"], Signer("RS256")
    good = signer.sign(claims())
    head, payload, signature = good.split(".")
    now = int(time.time())
    bad = {
        "unsigned": f"{encoded({'alg': 'none'})}.{payload}.",
        "signed with the public key": hs256(signer.pem, claims(), kid="RS256"),
        "by another key": other.sign(claims()),
        "an algorithm of another key": signer.sign(claims(), alg="PS256"),
        "a key of its own": signer.sign(claims(), jwk=signer.jwk),
        "a critical extension": signer.sign(claims(), crit=["exp"]),
        "a member twice": signer.sign(json.dumps(claims()).replace("{", '{"sub": "bob", ', 1).encode()),
        "padding": f"{good}==",
        "another payload": f"{head}.{encoded(claims(sub='bob'))}.{signature}",
        "for somebody else": signer.sign(claims(aud="minilm2")),
        "of nobody that is named": signer.sign(claims(iss=f"{ISS}/")),
        "over": signer.sign(claims(iat=now - 120, exp=now - 60)),
        "without an end": signer.sign(claims(exp=None)),
        "with an end as a text": signer.sign(claims(exp=str(now + 60))),
        "not yet": signer.sign(claims(nbf=now + 120)),
        "too long": signer.sign(claims(exp=now + 7200)),
        "bound to a key": signer.sign(claims(cnf={"jkt": "A" * 43})),
        "bound to a certificate": signer.sign(claims(cnf={"x5t#S256": "A" * 43})),
    }
    with gateway.client(HOST) as client:
        without = client.post(INFER)
        assert without.status_code == 401
        for what, token in bad.items():
            answer = client.post(INFER, headers=bearer(token))
            assert (answer.status_code, answer.text) == (401, without.text), what
        assert gateway.model.received == []
        assert status(client, good) == 200
        assert status(client, signer.sign(claims(more="x" * 10_000))) == 200
        assert status(client, signer.sign(claims(more="x" * 13_000))) == 400


def test_a_denied_token_stops_with_the_next_call_on_an_open_connection_and_others_go_on(gateway):
    signer = SIGNERS["EdDSA"]
    now = int(time.time())
    leaked, other = signer.sign(claims(iat=now - 10)), signer.sign(claims(jti="t2", sid="s2", sub="bob"))
    for denied, left in (
        (DeniedTokensIR(ISSUER.name, jti=("t1",)), 200),
        (DeniedTokensIR(ISSUER.name, sub=("alice",)), 200),
        (DeniedTokensIR(ISSUER.name, issued_before={"alice": now - 5}), 200),
        (DeniedTokensIR(ISSUER.name, issued_before={"": now - 5}), 200),
        (DeniedTokensIR(ISSUER.name, jti=("t1",), sid=("s2",)), 401),
        (DeniedTokensIR("ids/another", jti=("t1", "t2")), None),
    ):
        gateway.put_gate(GateIR(issuers=(ISSUER,)))
        with gateway.client(HOST) as client:
            assert (status(client, leaked), status(client, other)) == (200, 200)
            gateway.put_gate(GateIR(issuers=(ISSUER,), denied_tokens=(denied,)))
            expected = (200, 200) if left is None else (401, left)
            assert (status(client, leaked), status(client, other)) == expected, denied


def test_the_hold_is_told_when_the_token_of_a_held_call_ends(gateway):
    document = gateway.document(
        KEY,
        keys=(BOT.grant,),
        accept=(("jwt", "apiKey"), ("jwt",), ("apiKey",)),
        issuers=(TrustedIssuer(NamespacedName.parse(ISSUER.name), ISS),),
    )
    gateway.put([document], {KEY: Serving(hold=True, addresses=(gateway.model.address,))})
    said = claims()
    token = bearer(SIGNERS["ES256"].sign(said))
    with gateway.client(HOST) as client:
        for headers in (token, {**token, "x-api-key": BOT.key}, {"x-api-key": BOT.key}):
            assert client.post(INFER, headers=headers).status_code == 200
    assert [each.ends for each in gateway.hold.held] == [said["exp"] + ISSUER.clock_skew] * 2 + [None]


def test_a_key_that_is_removed_stops_its_tokens_with_the_next_call(gateway):
    signer = SIGNERS["ES256"]
    aged = signer.sign(claims(iat=int(time.time()) - 20))
    left = replace(ISSUER, keys=tuple(each for each in ISSUER.keys if each["kid"] != "ES256"))
    with gateway.client(HOST) as client:
        assert status(client, aged) == 200
        gateway.put_gate(GateIR(issuers=(left,)))
        assert status(client, aged) == 401
        # The key of a new token may be one that is on its way.
        assert status(client, signer.sign(claims())) == 503
        assert status(client, SIGNERS["EdDSA"].sign(claims())) == 200


def test_a_token_that_was_repeated_is_refused_on_its_connection_once_its_key_is_removed_or_replaced(gateway):
    signer = SIGNERS["ES256"]
    aged = signer.sign(claims(iat=int(time.time()) - 20))
    forged = f"{aged.rsplit('.', 1)[0]}.{Signer('ES256').sign(claims()).rsplit('.', 1)[1]}"
    others = tuple(each for each in ISSUER.keys if each["kid"] != "ES256")
    for keys in (others, (*others, Signer("ES256").jwk)):
        gateway.put_gate(GateIR(issuers=(ISSUER,)))
        with gateway.client(HOST) as client:
            assert {status(client, aged) for _ in range(10)} == {200}
            assert status(client, forged) == 401
            gateway.put_gate(GateIR(issuers=(replace(ISSUER, keys=keys),)))
            assert {status(client, aged) for _ in range(3)} == {401}
            gateway.put_gate(GateIR(issuers=(ISSUER,)))
            assert {status(client, aged) for _ in range(3)} == {200}
            gateway.put_gate(GateIR(issuers=(ISSUER,), denied_tokens=(DeniedTokensIR(ISSUER.name, jti=("t1",)),)))
            assert status(client, aged) == 401


def test_an_issuer_that_is_missing_or_stale_makes_its_tokens_unverifiable_and_harms_no_key(gateway):
    token = SIGNERS["PS256"].sign(claims())
    forged = Signer("PS256").sign(claims(aud="minilm2"))
    stale = replace(ISSUER, valid_until=int(time.time()) - 1)
    for gate in (GateIR(), GateIR(issuers=(stale,)), GateIR(issuers=(replace(ISSUER, keys=()),))):
        gateway.put_gate(gate)
        with gateway.client(HOST) as client:
            answer = client.post(INFER, headers=bearer(token))
            assert (answer.status_code, "retry-after" in answer.headers) == (503, True)
            assert answer.json()["code"] == "verification_unavailable"
            both = {**bearer(token), "x-api-key": BOT.key}
            assert client.post(INFER, headers=both).status_code == 200
    gateway.put_gate(GateIR(issuers=(stale,)))
    with gateway.client(HOST) as client:
        assert status(client, forged) == 401
        gateway.put_gate(GateIR(issuers=(ISSUER,)))
        assert status(client, token) == 200
        wrong = {**bearer(forged), "x-api-key": BOT.key}
        assert client.post(INFER, headers=wrong).status_code == 401
