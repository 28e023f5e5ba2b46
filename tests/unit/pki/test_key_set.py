"""Which keys of a set count, and which sets are refused whole."""

import json

import pytest

from nightlatch.api.conditions import Reason
from nightlatch.pki.key_set import KeySetError, algorithms_of, name_of, read_key_set
from tests.attack.tokens import Signer, encoded

RSA, EC, OKP = Signer("RS256"), Signer("ES256"), Signer("EdDSA")
ALL = ("RS256", "PS256", "ES256", "EdDSA")


def read(*keys, algorithms=ALL):
    return read_key_set(json.dumps({"keys": list(keys)}).encode(), algorithms)


def refused(*keys):
    with pytest.raises(KeySetError) as caught:
        read(*keys)
    return caught.value


def test_keys_of_every_type_are_read_and_keep_public_members_alone():
    found = read(RSA.jwk | {"x5t": "a", "x5c": ["b"]}, EC.jwk, OKP.jwk)
    assert [key.jwk() for key in found] == [RSA.jwk, EC.jwk, OKP.jwk]
    assert [algorithms_of(key, ALL) for key in found] == [("RS256",), ("ES256",), ("EdDSA",)]


def test_a_key_without_alg_is_for_every_algorithm_of_its_type_and_one_without_kid_has_its_thumbprint():
    bare = {name: value for name, value in RSA.jwk.items() if name not in ("alg", "kid")}
    (key,) = read(bare)
    assert algorithms_of(key, ALL) == ("RS256", "PS256")
    assert len(name_of(key)) == 43


def test_the_thumbprint_is_that_of_rfc_7638():
    modulus = (
        "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMs"
        "tn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajr"
        "n1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw"
    )
    (key,) = read({"kty": "RSA", "n": modulus, "e": "AQAB", "alg": "RS256"})
    assert name_of(key) == "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"


@pytest.mark.parametrize(
    "other",
    [
        {"use": "enc"},
        {"alg": "RSA-OAEP"},
        {"alg": "RS512"},
        {"key_ops": ["encrypt"]},
        {"kty": "unheard-of"},
    ],
)
def test_keys_for_other_purposes_are_passed_over(other):
    assert [key.jwk() for key in read(RSA.jwk | other, EC.jwk)] == [EC.jwk]
    assert refused(RSA.jwk | other).reason == Reason.NO_USABLE_KEY


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (Signer("RS256", bits=1024).jwk, Reason.KEY_TOO_WEAK),
        (Signer("RS256", bits=2047).jwk, Reason.KEY_TOO_WEAK),
        (RSA.jwk | {"d": "AQAB"}, Reason.KEY_NOT_PUBLIC),
        ({"kty": "oct", "k": "AAAA", "alg": "HS256"}, Reason.KEY_NOT_PUBLIC),
        ({"kty": "oct"}, Reason.KEY_NOT_PUBLIC),
        (EC.jwk, Reason.KEY_ID_REPEATED),
        (RSA.jwk | {"kid": "ES256"}, Reason.KEY_ID_REPEATED),
        (RSA.jwk | {"kid": 7}, Reason.KEY_INVALID),
        (RSA.jwk | {"kid": "k" * 257}, Reason.KEY_INVALID),
        (RSA.jwk | {"e": "AQ"}, Reason.KEY_INVALID),
        (RSA.jwk | {"e": "AA"}, Reason.KEY_INVALID),
        (RSA.jwk | {"e": encoded(bytes([1] * 9))}, Reason.KEY_INVALID),
        (RSA.jwk | {"n": RSA.jwk["n"] + "="}, Reason.KEY_INVALID),
        (RSA.jwk | {"n": 7}, Reason.KEY_INVALID),
        ({name: value for name, value in RSA.jwk.items() if name != "n"}, Reason.KEY_INVALID),
        (EC.jwk | {"kid": "other", "x": encoded(bytes(32))}, Reason.KEY_INVALID),
        (EC.jwk | {"kid": "other", "x": encoded(bytes(31))}, Reason.KEY_INVALID),
        (OKP.jwk | {"x": encoded(bytes(31))}, Reason.KEY_INVALID),
    ],
)
def test_a_set_with_a_key_that_nobody_should_sign_with_is_refused_whole(bad, reason):
    error = refused(EC.jwk, bad)
    assert error.reason == reason
    assert str(bad.get("n", "no modulus")) not in str(error)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"<html>",
        b"[]",
        b"{}",
        b'{"keys": {}}',
        b'{"keys": [7]}',
        b'{"keys": [], "keys": []}',
        b'{"keys": [{"kty": "RSA", "kty": "EC"}]}',
        b'{"keys": ' + b"[" * 100_000,
    ],
)
def test_what_is_no_key_set_is_refused(content):
    with pytest.raises(KeySetError) as caught:
        read_key_set(content, ALL)
    assert caught.value.reason == Reason.ANSWER_REFUSED


def test_a_set_has_at_most_64_keys():
    assert refused(*[RSA.jwk] * 65).reason == Reason.KEY_INVALID
