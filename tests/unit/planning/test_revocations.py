"""What the gateway-wide revocations document says, and for how long."""

from dataclasses import replace

import pytest

from nightlatch.api import names
from nightlatch.api.meta import NamespacedName
from nightlatch.planning.access.revocations import (
    DocumentKeys,
    decide_revocations,
    good_standing,
    revoked_certificates,
)
from nightlatch.planning.installation.revocations import ObservedRevocations, plan_revocations
from nightlatch.wire.revocations import (
    Revocations,
    RevocationsError,
    RevokedCertificate,
    decode_revocations,
    encode_revocations,
)
from tests.unit.planning.scene import NOW, SETTINGS, client, endpoint, found, held

BOT, EVE = NamespacedName("search", "bot"), NamespacedName("search", "eve")


def document(*pairs, applied=True):
    return DocumentKeys(frozenset(pairs), applied)


def revoked(*clients, keys=()):
    return Revocations(7, frozenset(clients), frozenset(keys))


NOTHING = revoked()


@pytest.mark.parametrize(
    ("before", "documents", "standing", "wanted"),
    [
        # Everybody who is named may call.
        (NOTHING, [document((BOT, "k"))], {BOT: {"k"}}, NOTHING),
        (NOTHING, [], {}, NOTHING),
        # The client is deleted or suspended, or names nothing that lets it in: one entry for any number of documents.
        (NOTHING, [document((BOT, "k"))] * 128, {}, revoked(BOT, keys="k")),
        (NOTHING, [document((BOT, "k"), (EVE, "e"))], {EVE: {"e"}}, revoked(BOT, keys="k")),
        # The key was revoked or replaced: the client goes on with its other key.
        (NOTHING, [document((BOT, "k"), (BOT, "l"))], {BOT: {"l"}}, revoked(keys="k")),
        # The client keeps a grant elsewhere: the document of the endpoint that it lost is narrowed, and nothing else.
        (NOTHING, [document((BOT, "k")), document()], {BOT: {"k"}}, NOTHING),
        # One key, two clients: the one who is gone is refused, the key is not.
        (NOTHING, [document((BOT, "k"))], {EVE: {"k"}}, revoked(BOT)),
        # The documents are narrowed, but some gateway has not applied them all.
        (revoked(BOT, keys="k"), [document(), document(applied=False)], {}, revoked(BOT, keys="k")),
        (revoked(BOT, keys="k"), [document((EVE, "e"), applied=False)], {EVE: {"e"}}, revoked(BOT, keys="k")),
        # Every gateway has applied documents without it.
        (revoked(BOT, keys="k"), [document(), document()], {}, NOTHING),
        (revoked(BOT, keys="k"), [], {}, NOTHING),
        # A client of the same name was created, or this one is let in again: at once, but the old key stays refused.
        (revoked(BOT, keys="k"), [document(applied=False)], {BOT: {"l"}}, revoked(keys="k")),
        (revoked(BOT, keys="k"), [document((BOT, "k"), applied=False)], {BOT: {"k"}}, NOTHING),
        # A client in good standing without any key of its own.
        (NOTHING, [document((BOT, "k"))], {BOT: set()}, revoked(keys="k")),
    ],
)
def test_what_is_revoked_and_for_how_long(before, documents, standing, wanted):
    standing = {each: frozenset(keys) for each, keys in standing.items()}
    assert decide_revocations(before, documents, standing) == wanted


ENDPOINTS = {NamespacedName("search", "minilm"): endpoint()}


@pytest.mark.parametrize(
    ("spec", "keys"),
    [
        ({}, "one"),
        ({"suspend": True}, None),
        ({"endpoints": ()}, None),
        ({"endpoints": ({"name": "nobody"},)}, None),
        ({"endpoints": ({"name": "nobody"}, {"name": "minilm"})}, "one"),
    ],
)
def test_who_is_in_good_standing(spec, keys):
    view = held(client(**spec))
    wanted = {view.client.key: frozenset({view.keys[0].key_id})} if keys else {}
    assert good_standing([view], ENDPOINTS) == wanted


def test_a_revoked_key_is_no_key():
    view = held()
    subject = client(apiKey={"revokedKeyIds": [view.keys[0].key_id]})
    assert good_standing([held(subject)], ENDPOINTS) == {subject.key: frozenset()}


def observed(secret=None, documents=(), standing=()):
    return ObservedRevocations(SETTINGS, secret, documents, dict(standing))


def test_the_secret_is_written_when_something_changes_and_looked_at_again_while_it_says_anything():
    assert plan_revocations(observed(), NOW).apply == ()
    plan = plan_revocations(observed(documents=[document((BOT, "k"))]), NOW)
    (put,) = plan.apply
    said = decode_revocations(put.data)
    assert (said.clients, said.keys, put.target.role) == ({BOT}, {"k"}, names.ROLE_REVOCATIONS)
    assert put.target.key == NamespacedName(SETTINGS.gateway_namespace, names.REVOCATIONS_SECRET)
    assert (plan.document.secret, plan.document.sequence) == (names.REVOCATIONS_SECRET, said.sequence)
    assert plan.requeue_after
    secret = found(put.target, put.data)
    assert plan_revocations(observed(secret, [document((BOT, "k"))]), NOW).apply == ()
    (cleared,) = plan_revocations(observed(secret, [document()]), NOW).apply
    assert decode_revocations(cleared.data) == Revocations(said.sequence + 1)
    assert cleared.replaces == secret.revision
    assert plan_revocations(observed(found(put.target, cleared.data), [document()]), NOW).requeue_after is None


def test_a_damaged_secret_is_written_again_and_a_foreign_one_is_not_touched():
    (put,) = plan_revocations(observed(documents=[document((BOT, "k"))]), NOW).apply
    damaged = found(put.target, {"revocations.json": b"{"})
    assert plan_revocations(observed(damaged), NOW).apply
    foreign = plan_revocations(observed(replace(damaged, role="", owner_uid="")), NOW)
    assert (foreign.apply, "not ours" in foreign.refusal) == ((), True)


def test_a_certificate_stays_refused_for_as_long_as_its_client_lists_it():
    digest = "ab" * 32
    listed = revoked_certificates([client(certificate={"revokedDigests": [digest]}), client(name="eve")])
    assert listed == {RevokedCertificate(BOT, digest)}
    seen = ObservedRevocations(SETTINGS, None, [], {}, listed)
    (put,) = plan_revocations(seen, NOW).apply
    said = decode_revocations(put.data)
    assert said.certificates == listed
    secret = found(put.target, put.data)
    assert plan_revocations(replace(seen, secret=secret), NOW).apply == ()
    (cleared,) = plan_revocations(replace(seen, secret=secret, certificates=frozenset()), NOW).apply
    assert decode_revocations(cleared.data).certificates == frozenset()


def test_a_spec_that_cannot_be_read_revokes_what_it_revoked_before():
    before = Revocations(7, certificates=frozenset({RevokedCertificate(BOT, "ab" * 32)}))
    assert decide_revocations(before, [], {}, frozenset(), frozenset({BOT})) == before
    assert decide_revocations(before, [], {}, frozenset(), frozenset({EVE})).certificates == frozenset()


def test_a_client_with_a_certificate_alone_is_refused_by_name_once_it_is_gone():
    named = DocumentKeys(frozenset(), applied=True, certified=frozenset({BOT, EVE}))
    assert decide_revocations(NOTHING, [named], {EVE: frozenset()}) == revoked(BOT)
    assert decide_revocations(revoked(BOT), [DocumentKeys(frozenset(), applied=True)], {}) == NOTHING


def test_a_reader_ignores_what_it_does_not_know_and_refuses_a_later_format():
    data = encode_revocations(revoked(BOT, keys="k"))
    assert decode_revocations(data) == revoked(BOT, keys="k")
    later = data["revocations.json"].replace(b'"keys":', b'"tokens":["ab"],"keys":')
    assert decode_revocations({"revocations.json": later}) == revoked(BOT, keys="k")
    with pytest.raises(RevocationsError, match="format 2"):
        decode_revocations({"revocations.json": data["revocations.json"].replace(b'"format":1', b'"format":2')})
    for broken in (b"", b"[]", b'{"format":1,"sequence":1,"body":{"clients":["x"],"keys":[]}}'):
        with pytest.raises(RevocationsError):
            decode_revocations({"revocations.json": broken})
