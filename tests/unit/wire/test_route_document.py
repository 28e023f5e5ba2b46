"""A document survives its Secret, and nothing that is not a document gets through."""

from dataclasses import dataclass, field, fields, replace

import orjson
import pytest

from nightlatch.api.meta import NamespacedName
from nightlatch.api.operations import operations_for
from nightlatch.wire.route_document import (
    DOCUMENT_JSON,
    FORMAT,
    TLS_KEY,
    CertificateGrant,
    DocumentError,
    Envelope,
    KeyGrant,
    RateTier,
    RouteDocument,
    TooNewError,
    content_hash,
    decode,
    encode,
    needed_format,
    read_envelope,
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


BOT = CertificateGrant("spiffe://td/ns/search/ic/bot", NamespacedName("search", "bot"), ("infer",), "default")
CERTIFIED = replace(
    DOCUMENT,
    certificates=(BOT, CertificateGrant("trainer.corp.example", None, ("metadata",))),
    accept=(("mtls",), ("apiKey", "mtls")),
    client_ca=PEM + "callers",
    revoked_certificates=("ab" * 32,),
)


def test_certificates_survive_their_secret_and_need_a_format_of_their_own():
    assert decode(encode(CERTIFIED)) == CERTIFIED
    assert needed_format(CERTIFIED) == 3
    assert content_hash(replace(CERTIFIED, client_ca=PEM)) != content_hash(CERTIFIED)


@pytest.mark.parametrize(
    "change",
    [
        {"certificates": (replace(BOT, identity="spiffe://td/a,spiffe://td/b"),)},
        {"certificates": (replace(BOT, identity="spiffe://td/a b"),)},
        {"certificates": (replace(BOT, identity="Trainer.corp.example"),)},
        {"certificates": (replace(BOT, identity=""),)},
        {"certificates": (replace(BOT, tier="other"),)},
        {"certificates": (BOT, BOT)},
        {"certificates": (replace(BOT, permissions=("all",)),)},
        {"accept": (("mtls", "mtls"),)},
        {"accept": ((),)},
        {"accept": (("oauth2",),)},
        {"client_ca": ""},
        {"client_ca": "no PEM"},
        {"revoked_certificates": ("AB" * 32,)},
    ],
)
def test_certificates_that_could_reach_past_their_field_are_refused(change):
    with pytest.raises(DocumentError):
        decode(encode(replace(CERTIFIED, **change)))


def test_no_private_key_in_the_json_or_the_repr():
    secret = replace(DOCUMENT, server_private_key="-----BEGIN PRIVATE KEY-----\nmarker")
    assert b"marker" not in encode(secret)[DOCUMENT_JSON]
    assert "marker" not in repr(secret)


def test_the_content_hash_ignores_the_sequence_and_nothing_else():
    assert content_hash(replace(DOCUMENT, sequence=8, takes_away_since=8)) == content_hash(DOCUMENT)
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
def test_what_is_not_a_document_of_the_first_format_is_refused_by_name(member, value):
    data = encode(DOCUMENT, 1)
    members = {**orjson.loads(data[DOCUMENT_JSON]), member: value}
    with pytest.raises(DocumentError, match=r"document" if member == "unknown" else member.removesuffix("s")):
        decode({**data, DOCUMENT_JSON: orjson.dumps(members)})


ENVELOPE = {"format", "endpoint", "sequence", "takesAwaySince", "hosts", "created", "critical"}


@pytest.mark.parametrize(
    ("member", "value"),
    [
        ("format", 0),
        ("format", "2"),
        ("hosts", ["Upper.case"]),
        ("hosts", ['a"b']),
        ("hosts", "a.b"),
        ("sequence", -1),
        ("sequence", True),
        ("takesAwaySince", None),
        ("critical", None),
        ("critical", [""]),
        ("body", []),
        ("endpoint", {"namespace": "Search", "name": "minilm"}),
        ("upstream_identity", "https://x"),
        ("request_timeout", 0),
        ("request_timeout", "60s"),
        ("denied", "a reason with\nnewline"),
        ("rate_tiers", {"de|fault": {"requests": 1, "per_seconds": 1, "burst": 1}}),
        ("operations", [{"permission": "admin", "method": "GET", "path": "/v2", "protocol": "OpenAI"}]),
        ("operations", [{"permission": "infer", "method": "GET", "path": "/v2/.*", "protocol": "OpenAI"}]),
    ],
)
def test_what_is_not_a_document_is_refused_by_name(member, value):
    data = encode(DOCUMENT)
    members = orjson.loads(data[DOCUMENT_JSON])
    (members if member in {*ENVELOPE, "body"} else members["body"])[member] = value
    with pytest.raises(DocumentError, match=member.removesuffix("s")):
        decode({**data, DOCUMENT_JSON: orjson.dumps(members)})


def test_the_first_format_is_still_read_and_written():
    old = encode(DOCUMENT, 1)
    assert "takesAwaySince" not in orjson.loads(old[DOCUMENT_JSON])
    assert decode(old) == replace(DOCUMENT, takes_away_since=DOCUMENT.sequence)
    assert read_envelope(old) == Envelope(
        1, DOCUMENT.endpoint, DOCUMENT.sequence, DOCUMENT.sequence, DOCUMENT.hosts, DOCUMENT.created
    )


def test_the_envelope_of_a_later_format_is_read_whatever_the_body_is():
    later = changed(encode(DOCUMENT, FORMAT + 1), body="not even an object", more=1, critical=["issuers"])
    wanted = Envelope(FORMAT + 1, DOCUMENT.endpoint, 7, 0, DOCUMENT.hosts, 0, ("issuers",))
    assert read_envelope(later) == wanted
    with pytest.raises(TooNewError, match=f"format {FORMAT + 1} is newer than {FORMAT}") as caught:
        decode(later)
    assert caught.value.envelope == wanted


def test_a_reader_of_the_next_format_reads_this_one_and_the_one_before():
    for written in (1, 2, 3):
        assert replace(decode(encode(DOCUMENT, written), reads=3), takes_away_since=0) == DOCUMENT


def test_unknown_members_are_ignored_unless_they_are_critical():
    data = encode(DOCUMENT)
    body = orjson.loads(data[DOCUMENT_JSON])["body"]
    body["mirrors"] = body["keys"][0]["cnf"] = "x"
    assert decode(changed(data, body=body)) == DOCUMENT
    for unknown in ("mirrors", "keys.cnf"):
        with pytest.raises(TooNewError, match=unknown):
            decode(changed(data, body=body, critical=["keys", "keys.tier", unknown]))
    assert decode(changed(data, body=body, critical=["keys.tier", "hold_timeout"])) == DOCUMENT


@dataclass(frozen=True, slots=True)
class NextDocument(RouteDocument):
    """As the next release may have it."""

    mirrors: str = field(default="", metadata={"format": 5})


def test_a_member_of_a_later_format_needs_that_format_only_where_it_is_used():
    members = {each.name: getattr(DOCUMENT, each.name) for each in fields(DOCUMENT)}
    assert needed_format(NextDocument(**members)) == 1
    assert needed_format(NextDocument(**members, mirrors="search/idp")) == 5
    old = encode(NextDocument(**members, mirrors="search/idp"), 2)
    assert b"idp" not in old[DOCUMENT_JSON]
    assert b"idp" in encode(NextDocument(**members, mirrors="search/idp"), 5)[DOCUMENT_JSON]
    assert decode(old) == DOCUMENT


def changed(data, **members):
    return {**data, DOCUMENT_JSON: orjson.dumps({**orjson.loads(data[DOCUMENT_JSON]), **members})}


@pytest.mark.parametrize(
    "change", [{"tier": "gold"}, {"sha256": "A" * 64}, {"client": {"namespace": "a|b", "name": "c"}}]
)
def test_a_grant_that_could_reach_past_its_field_is_refused(change):
    data = encode(DOCUMENT)
    members = orjson.loads(data[DOCUMENT_JSON])
    members["body"]["keys"][0].update(change)
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
