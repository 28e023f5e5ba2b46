"""A document survives its Secret, and nothing that is not a document gets through."""

from dataclasses import replace

import orjson
import pytest

from nightlatch.api.meta import NamespacedName
from nightlatch.api.operations import operations_for
from nightlatch.wire.route_document import (
    DOCUMENT_JSON,
    TLS_KEY,
    DocumentError,
    KeyGrant,
    RateTier,
    RouteDocument,
    content_hash,
    decode,
    encode,
)

PEM = "-----BEGIN CERTIFICATE-----\n"
DOCUMENT = RouteDocument(
    endpoint=NamespacedName("search", "minilm"),
    uid="0b5c",
    sequence=7,
    hosts=("minilm.search.localhost",),
    operations=operations_for(None, "minilm"),
    upstream_identity="spiffe://nightlatch.local/ns/search/ie/minilm",
    keys=(
        KeyGrant("a" * 64, NamespacedName("search", "bot"), "0123456789ab", ("infer", "metadata"), "default", 1, None),
    ),
    rate_tiers={"default": RateTier(10, 1.0, 20)},
    server_certificate=PEM,
    server_private_key=PEM,
    upstream_ca=PEM,
)


def test_a_document_survives_its_secret():
    assert decode(encode(DOCUMENT)) == DOCUMENT


def test_no_private_key_in_the_json_or_the_repr():
    secret = replace(DOCUMENT, server_private_key="-----BEGIN PRIVATE KEY-----\nmarker")
    assert b"marker" not in encode(secret)[DOCUMENT_JSON]
    assert "marker" not in repr(secret)


def test_the_content_hash_ignores_the_sequence_and_nothing_else():
    assert content_hash(replace(DOCUMENT, sequence=8)) == content_hash(DOCUMENT)
    assert content_hash(replace(DOCUMENT, denied="Broken")) != content_hash(DOCUMENT)
    assert content_hash(replace(DOCUMENT, server_certificate=PEM + "x")) != content_hash(DOCUMENT)


@pytest.mark.parametrize(
    ("member", "value"),
    [
        ("hosts", ["Upper.case"]),
        ("hosts", ['a"b']),
        ("hosts", "a.b"),
        ("sequence", -1),
        ("sequence", True),
        ("version", 2),
        ("endpoint", {"namespace": "search", "name": "minilm", "x": 1}),
        ("upstream_identity", "https://x"),
        ("request_timeout", 0),
        ("request_timeout", "60s"),
        ("denied", "a reason with\nnewline"),
        ("unknown", 1),
        ("rate_tiers", {"de|fault": {"requests": 1, "per_seconds": 1, "burst": 1}}),
        ("operations", [{"permission": "admin", "method": "GET", "path": "/v2", "protocol": "OpenAI"}]),
        ("operations", [{"permission": "infer", "method": "GET", "path": "/v2/.*", "protocol": "OpenAI"}]),
    ],
)
def test_what_is_not_a_document_is_refused_by_name(member, value):
    data = encode(DOCUMENT)
    members = {**orjson.loads(data[DOCUMENT_JSON]), member: value}
    with pytest.raises(DocumentError, match=r"document" if member == "unknown" else member.removesuffix("s")):
        decode({**data, DOCUMENT_JSON: orjson.dumps(members)})


@pytest.mark.parametrize(
    "change", [{"tier": "gold"}, {"sha256": "A" * 64}, {"client": {"namespace": "a|b", "name": "c"}}]
)
def test_a_grant_that_could_reach_past_its_field_is_refused(change):
    data = encode(DOCUMENT)
    members = orjson.loads(data[DOCUMENT_JSON])
    members["keys"][0].update(change)
    with pytest.raises(DocumentError):
        decode({**data, DOCUMENT_JSON: orjson.dumps(members)})


def test_a_missing_part_is_named():
    data = encode(DOCUMENT)
    del data[TLS_KEY]
    with pytest.raises(DocumentError, match=r"tls\.key"):
        decode(data)


def test_bytes_that_are_not_json_are_refused():
    with pytest.raises(DocumentError):
        decode({**encode(DOCUMENT), DOCUMENT_JSON: b"{"})
