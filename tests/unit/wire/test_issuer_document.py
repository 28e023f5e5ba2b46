"""The issuer document: what is written is read, and what cannot be read is refused by its place, without its value."""

from dataclasses import replace

import orjson
import pytest

from nightlatch.api.meta import NamespacedName
from nightlatch.wire.issuer_document import (
    ISSUER_JSON,
    DeniedTokens,
    IssuerDocument,
    IssuerDocumentError,
    IssuerKey,
    decode_issuer,
    encode_issuer,
    same_content,
)

KEY_1 = IssuerKey("EC", {"x": "AAAA", "y": "BBBB"}, "one", "ES256", "P-256")
KEY_2 = IssuerKey("RSA", {"n": "CCCC", "e": "AQAB"}, "two")


def issuer_document(name: NamespacedName) -> IssuerDocument:
    return IssuerDocument(
        issuer=name,
        iss="https://id.example",
        audiences=("minilm",),
        algorithms=("ES256", "RS256"),
        keys=(KEY_1,),
        source="s",
        fetched_at=1_700_000_000,
        valid_until=1_900_000_000,
        max_lifetime=3600.0,
        clock_skew=30.0,
        permissions_claim=("realm_access", "roles"),
        permissions={"ml": ("infer", "metadata")},
        identity_claim=("sub",),
        sequence=7,
    )


DOCUMENT = issuer_document(NamespacedName("ids", "corp"))
FULL = replace(
    DOCUMENT,
    keys=(KEY_1, KEY_2),
    valid_until=None,
    token_type="at+jwt",
    required_claims=((("https://corp.example/tenant",), "blue"),),
    sender_constrained="Always",
    denied=DeniedTokens(("t",), ("alice",), ("s",), {"": 5, "bob": 6}),
)


@pytest.mark.parametrize("document", [DOCUMENT, FULL], ids=["small", "full"])
def test_what_is_written_is_read(document):
    assert decode_issuer(encode_issuer(document)) == document
    assert encode_issuer(decode_issuer(encode_issuer(document))) == encode_issuer(document)


def changed(**body):
    members = orjson.loads(encode_issuer(FULL)[ISSUER_JSON])
    members["body"] |= body
    return {ISSUER_JSON: orjson.dumps(members)}


@pytest.mark.parametrize(
    ("member", "value"),
    [
        ("iss", ""),
        ("audiences", [7]),
        ("algorithms", ["HS256"]),
        ("algorithms", ["none"]),
        ("keys", [{"kty": "oct", "members": {"k": "SECRET"}, "kid": "", "alg": "", "crv": ""}]),
        ("keys", [{"kty": "EC", "members": {"x": "SECRET=", "y": "A"}, "kid": "", "alg": "", "crv": "P-256"}]),
        ("valid_until", "SECRET"),
        ("max_lifetime", 0),
        ("permissions_claim", []),
        ("permissions", [{"value": "a", "permissions": ["all"]}]),
        ("sender_constrained", "Sometimes"),
        ("denied", {"jti": [7]}),
        ("denied", None),
    ],
)
def test_what_is_no_document_is_refused_by_its_place(member, value):
    with pytest.raises(IssuerDocumentError, match=rf"body\.{member}") as caught:
        decode_issuer(changed(**{member: value}))
    assert "SECRET" not in str(caught.value)


def test_a_document_of_a_later_format_or_with_a_critical_member_is_not_read_and_more_members_are_ignored():
    members = orjson.loads(encode_issuer(DOCUMENT)[ISSUER_JSON])
    for change in ({"format": 2}, {"critical": ["body.mirrors"]}):
        with pytest.raises(IssuerDocumentError, match="newer"):
            decode_issuer({ISSUER_JSON: orjson.dumps({**members, **change})})
    assert decode_issuer(changed(mirrors=["x"])) == FULL
    for data in ({}, {ISSUER_JSON: b"{"}, {ISSUER_JSON: b"[]"}):
        with pytest.raises(IssuerDocumentError):
            decode_issuer(data)


def test_times_and_sequence_are_no_content_and_everything_else_is():
    assert same_content(DOCUMENT, replace(DOCUMENT, sequence=8, fetched_at=1, valid_until=None))
    assert not same_content(DOCUMENT, replace(DOCUMENT, denied=FULL.denied))
    assert not same_content(DOCUMENT, replace(DOCUMENT, keys=(KEY_1, KEY_2)))
