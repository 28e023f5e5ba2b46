"""How a client proves who it is, and that its secrets stay where they are."""

import base64
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from joserfc import jwk, jwt

from nightlatch_client import (
    ClientSecretBasic,
    ClientSecretPost,
    PrivateKeyJwt,
    PublicClient,
    TlsClientAuth,
    TokenError,
)
from nightlatch_client.authentication import Circumstances
from nightlatch_client.secret import Variable, reveal
from tests.unit.client.stand_in_provider import ISSUER, claims_of

GIVEN = Circumstances("bot:1", ISSUER, 1000.9, lambda: "unique")


def pem(key) -> str:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()


def test_a_secret_in_the_header_is_encoded_as_a_form_first() -> None:
    proven = ClientSecretBasic("p%s:/ ü").prove(GIVEN)
    text = base64.b64decode(proven.headers["Authorization"].removeprefix("Basic ")).decode()
    assert text == "bot%3A1:p%25s%3A%2F+%C3%BC"
    assert proven.form == {}


def test_a_secret_in_the_form() -> None:
    assert ClientSecretPost("s").prove(GIVEN).form == {"client_id": "bot:1", "client_secret": "s"}


@pytest.mark.parametrize("method", [TlsClientAuth(), PublicClient()])
def test_some_clients_say_only_who_they_are(method) -> None:
    assert method.prove(GIVEN).form == {"client_id": "bot:1"}


@pytest.mark.parametrize(
    ("key", "algorithm", "expected"),
    [
        (ec.generate_private_key(ec.SECP256R1()), None, "ES256"),
        (ec.generate_private_key(ec.SECP384R1()), None, "ES384"),
        (rsa.generate_private_key(65537, 2048), None, "RS256"),
        (rsa.generate_private_key(65537, 2048), "PS256", "PS256"),
        (ed25519.Ed25519PrivateKey.generate(), None, "EdDSA"),
    ],
)
def test_an_assertion_is_signed_for_this_provider_and_for_a_minute(key, algorithm, expected) -> None:
    form = PrivateKeyJwt(lambda: pem(key), algorithm, key_id="k1").prove(GIVEN).form
    header, _ = claims_of(form["client_assertion"])
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    kind: Any = {"E": "EC", "R": "RSA", "P": "RSA"}[expected[0]] if expected != "EdDSA" else "OKP"
    found = jwt.decode(form["client_assertion"], jwk.import_key(public, kind), algorithms=[expected])
    assert header == {"typ": "JWT", "alg": expected, "kid": "k1"}
    times = {"iat": 1000, "exp": 1060}
    assert found.claims == {"iss": "bot:1", "sub": "bot:1", "aud": ISSUER, "jti": "unique", **times}
    assert form["client_assertion_type"] == "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


def test_a_provider_may_want_another_audience() -> None:
    key = pem(ec.generate_private_key(ec.SECP256R1()))
    form = PrivateKeyJwt(key, audience="https://id.example/token").prove(GIVEN).form
    assert claims_of(form["client_assertion"])[1]["aud"] == "https://id.example/token"


@pytest.mark.parametrize("text", ["", "-----BEGIN", "no key"])
def test_what_is_not_a_key_is_not_shown(text: str) -> None:
    with pytest.raises(TokenError) as raised:
        PrivateKeyJwt(lambda: text).prove(GIVEN)
    assert "no key" not in str(raised.value)


def test_a_secret_is_read_anew_for_each_use(tmp_path) -> None:
    file = tmp_path / "secret"
    with pytest.raises(TokenError, match="No such file"):
        reveal(file)
    file.write_text(" \n")
    with pytest.raises(TokenError, match="is empty"):
        reveal(file)
    file.write_text("one\n")
    assert reveal(file) == "one"
    file.write_text("two\n")
    assert reveal(file) == "two"


def test_a_secret_may_be_in_a_variable(monkeypatch) -> None:
    monkeypatch.setenv("A_SECRET", "s")
    assert reveal(Variable("A_SECRET")) == "s"
    monkeypatch.delenv("A_SECRET")
    with pytest.raises(TokenError, match="A_SECRET is not set"):
        reveal(Variable("A_SECRET"))


@pytest.mark.parametrize(
    "method", [ClientSecretBasic("hunter2"), ClientSecretPost("hunter2"), PrivateKeyJwt("hunter2")]
)
def test_no_secret_is_in_what_is_printed(method) -> None:
    assert "hunter2" not in repr(method)
