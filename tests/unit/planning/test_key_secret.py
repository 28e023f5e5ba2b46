"""The ledger in a client's Secret, and what takes its place when the Secret or the ledger is lost."""

from types import SimpleNamespace

import orjson
import pytest

from nightlatch import api_keys
from nightlatch.api.client import ClientStatus, KeyStatus
from nightlatch.planning.client.key_secret import ledger_data, live_keys, read_ledger
from nightlatch.planning.client.ledger import Ledger, LedgerKey
from nightlatch.planning.inputs import DocumentKey

CREATED = "2027-01-15T08:00:00Z"
SECONDS = 1_800_000_000


def minted(letter):
    return api_keys.mint(lambda size: letter.encode() * size)


def ledger_key(letter, state, ends_at=None):
    key = minted(letter)
    text = key.text if state in ("Next", "Current") else ""
    sha256 = "" if state == "Revoked" else api_keys.digest(key.text)
    return LedgerKey(key.key_id, sha256, state, SECONDS, ends_at, text)


NEXT, CURRENT = ledger_key("n", "Next"), ledger_key("c", "Current")
PREVIOUS, REVOKED = ledger_key("p", "Previous", SECONDS + 60), ledger_key("r", "Revoked", SECONDS)


def secret(data):
    return SimpleNamespace(
        data={entry: value for entry, value in data.items() if value is not None}, created_at=CREATED
    )


def said(*keys):
    return ClientStatus(keys=tuple(KeyStatus(id=key.id, state=key.state, created_at=CREATED) for key in keys))


def held(*keys):
    return tuple(DocumentKey(key.id, api_keys.digest(minted(letter).text), end) for key, letter, end in keys)


@pytest.mark.parametrize("keys", [(NEXT,), (CURRENT,), (NEXT, CURRENT, REVOKED), (CURRENT, PREVIOUS, REVOKED)])
def test_what_is_written_is_read_again(keys):
    ledger = Ledger(keys, "monday")
    assert read_ledger(secret(ledger_data(ledger)), ClientStatus(), ()) == ledger


def test_callers_find_current_and_the_next_key_has_an_entry_of_its_own():
    assert ledger_data(Ledger((NEXT, CURRENT)))["api-key"] == CURRENT.text.encode()
    assert ledger_data(Ledger((NEXT, CURRENT)))["next-api-key"] == NEXT.text.encode()
    assert ledger_data(Ledger((NEXT,)))["api-key"] == NEXT.text.encode()
    assert ledger_data(Ledger((NEXT,)))["next-api-key"] is None
    assert ledger_data(Ledger((REVOKED,)))["api-key"] is None


def test_no_key_is_in_the_ledger_itself_and_nothing_of_an_ended_one_is_kept_but_its_id():
    ledger = ledger_data(Ledger((NEXT, CURRENT, REVOKED)))["keys.json"]
    assert b"nl_" not in ledger
    assert orjson.loads(ledger)["keys"][-1] == {
        "id": REVOKED.id,
        "sha256": "",
        "state": "Revoked",
        "created_at": SECONDS,
        "ends_at": SECONDS,
    }


def test_the_secret_of_a_version_without_a_ledger_keeps_its_key():
    old = secret({"api-key": CURRENT.text.encode()})
    assert read_ledger(old, ClientStatus(), ()).keys == (CURRENT,)
    assert read_ledger(old, said(CURRENT), held((CURRENT, "c", None))).keys == (CURRENT,)


def test_without_the_secret_the_keys_that_gateways_accept_go_on_without_their_texts():
    documents = held((CURRENT, "c", None), (PREVIOUS, "p", SECONDS + 60), (REVOKED, "r", None))
    ledger = read_ledger(None, said(CURRENT, PREVIOUS, REVOKED), documents)
    assert [(key.id, key.state, key.text) for key in ledger.keys] == [
        (CURRENT.id, "Current", ""),
        (PREVIOUS.id, "Previous", ""),
        (REVOKED.id, "Revoked", ""),
    ]
    assert ledger.keys[1].ends_at == SECONDS + 60
    assert [key.sha256 for key in live_keys(ledger)] == [CURRENT.sha256, PREVIOUS.sha256]


def test_the_earliest_end_counts_where_documents_differ():
    documents = held((PREVIOUS, "p", None), (PREVIOUS, "p", SECONDS + 90), (PREVIOUS, "p", SECONDS + 60))
    assert read_ledger(None, said(PREVIOUS), documents).keys[0].ends_at == SECONDS + 60


def test_a_key_that_the_status_does_not_know_is_another_clients_of_the_same_name():
    assert read_ledger(None, ClientStatus(), held((CURRENT, "c", None))).keys == ()


def test_a_key_that_no_document_holds_has_ended():
    assert [key.state for key in read_ledger(None, said(CURRENT), ()).keys] == ["Revoked"]


def test_a_revoked_key_is_not_read_from_a_secret_without_a_ledger():
    old = secret({"api-key": minted("r").text.encode()})
    assert [key.state for key in read_ledger(old, said(REVOKED), held((REVOKED, "r", None))).keys] == ["Revoked"]


@pytest.mark.parametrize(
    "ledger",
    [b"", b"[]", b"{", b'{"keys": [{"id": "x"}], "request": ""}', b'{"keys": [], "request": 1}', b"\xff"],
)
def test_a_damaged_ledger_counts_as_none(ledger):
    damaged = secret({"api-key": CURRENT.text.encode(), "keys.json": ledger})
    assert read_ledger(damaged, said(CURRENT), held((CURRENT, "c", None))).keys == (CURRENT,)


def test_a_text_that_is_not_the_ledgers_key_is_not_taken():
    swapped = ledger_data(Ledger((CURRENT,))) | {"api-key": minted("x").text.encode()}
    assert [(key.id, key.text) for key in read_ledger(secret(swapped), ClientStatus(), ()).keys] == [(CURRENT.id, "")]
