"""The ledger in the client's own Secret, and what can be told of the keys when that Secret or its ledger is lost.

Entries of the Secret's data:

- `api-key`: the key that callers should use.
- `next-api-key`: during a rotation the key that comes next, until every gateway accepts it.
- `keys.json`: the ledger. Of each key its id, state, times, and the SHA-256 by which gateways know it.

None of it is in a label or an annotation: those end up in places where nobody expects a secret.
"""

import contextlib
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import get_args

import orjson

from nightlatch import api_keys
from nightlatch.api.client import ClientStatus, KeyState
from nightlatch.planning.client.ledger import Ledger, LedgerKey
from nightlatch.planning.inputs import DocumentKey, LiveKey
from nightlatch.planning.secrets import SecretView
from nightlatch.wire.fields import Fields

API_KEY = "api-key"
NEXT_API_KEY = "next-api-key"
KEYS_JSON = "keys.json"

_ID = re.compile(r"[A-Za-z0-9]{1,64}")
_DIGEST = re.compile(r"[0-9a-f]{64}|")
_REQUEST = re.compile(r"(?s).*")


@dataclass(frozen=True, slots=True)
class StoredKeys:
    """The live keys in a Secret, without their texts, and when the newest was created."""

    keys: tuple[LiveKey, ...]
    created_at: int


class LedgerError(ValueError):
    """The entry is not a ledger. The message never repeats a value."""


def read_ledger(secret: SecretView | None, status: ClientStatus, documents: Iterable[DocumentKey]) -> Ledger:
    """The client's ledger.

    secret: the client's own, None if there is none. Without a ledger in it, the keys are those which gateways accept
    and which the status knows as this client's, so that a Secret that is lost does not cut callers off.
    documents: the keys that route documents hold for the client.
    """
    ledger = _decoded(secret) if secret else None
    if ledger is not None:
        return ledger
    known = tuple(_known(status, documents))
    text = _texts(secret, (API_KEY,)) if secret else {}
    if secret is None or not text or text.keys() & {key.sha256 for key in known}:
        return Ledger(_with_texts(known, text))
    ((sha256, (key_id, key)),) = text.items()
    if any(ended.id == key_id for ended in known):
        return Ledger(known)
    # The Secret of a version that kept no ledger, before the status was written.
    current = LedgerKey(key_id, sha256, "Current", _unix(secret.created_at), text=key)
    return Ledger((current, *(each for each in known if each.state == "Revoked")))


def ledger_data(ledger: Ledger) -> dict[str, bytes | None]:
    """The entries of the Secret; None for one that must not be there."""
    shown, following = ledger.shown, ledger.key("Next")
    return {
        API_KEY: shown.text.encode() if shown else None,
        NEXT_API_KEY: following.text.encode() if following and following is not shown else None,
        KEYS_JSON: orjson.dumps(
            {
                "keys": [
                    {
                        "id": key.id,
                        "sha256": key.sha256,
                        "state": key.state,
                        "created_at": key.created_at,
                        "ends_at": key.ends_at,
                    }
                    for key in ledger.keys
                ],
                "request": ledger.request,
            }
        ),
    }


def has_ledger(secret: SecretView) -> bool:
    """Whether a ledger in the Secret can be read."""
    return _decoded(secret) is not None


def newest(secrets: Iterable[SecretView]) -> SecretView | None:
    """The Secret whose ledger has the newest live key; None if no ledger can be read."""
    dated = {secret.key: (stored.created_at, secret) for secret in secrets if (stored := stored_keys(secret))}
    return dated[max(dated, key=lambda key: (dated[key][0], key))][1] if dated else None


def stored_keys(secret: SecretView) -> StoredKeys | None:
    """The live keys of the ledger in the Secret; None if no ledger can be read."""
    ledger = _decoded(secret)
    if ledger is None:
        return None
    return StoredKeys(live_keys(ledger), max((key.created_at for key in ledger.live), default=0))


def live_keys(ledger: Ledger) -> tuple[LiveKey, ...]:
    """What gateways need of the keys that they should accept."""
    return tuple(LiveKey(key.id, key.sha256, key.ends_at) for key in ledger.live)


def _decoded(secret: SecretView) -> Ledger | None:
    """The ledger in a Secret, with the texts that belong to its keys; None if it has none that can be read."""
    try:
        members = Fields(orjson.loads(secret.data[KEYS_JSON]), "keys", LedgerError, lenient=True)
        keys = members.each("keys", _key)
        request = members.text("request", _REQUEST, "a text")
    except (KeyError, orjson.JSONDecodeError, LedgerError):
        return None
    return Ledger(_with_texts(keys, _texts(secret, (API_KEY, NEXT_API_KEY))), request)


def _key(fields: Fields) -> LedgerKey:
    return fields.close(
        LedgerKey(
            fields.text("id", _ID, "the id of a key"),
            fields.text("sha256", _DIGEST, "a SHA-256"),
            fields.one_of("state", get_args(KeyState)),
            fields.count("created_at"),
            fields.optional("ends_at", fields.count),
        )
    )


def _texts(secret: SecretView, entries: Iterable[str]) -> dict[str, tuple[str, str]]:
    """The well-formed keys in these entries: id and text by digest."""
    found = {}
    for entry in entries:
        text = secret.data.get(entry, b"").decode("ascii", "replace")
        with contextlib.suppress(api_keys.MalformedKeyError):
            parsed = api_keys.parse(text)
            found[parsed.sha256] = (parsed.key_id, text)
    return found


def _with_texts(keys: Iterable[LedgerKey], texts: Mapping[str, tuple[str, str]]) -> tuple[LedgerKey, ...]:
    return tuple(
        replace(key, text=texts.get(key.sha256, ("", ""))[1]) if key.state in ("Next", "Current") else key
        for key in keys
    )


def _known(status: ClientStatus, documents: Iterable[DocumentKey]) -> Iterator[LedgerKey]:
    """The keys of the status with the digests of the documents. One that no document holds has ended."""
    digests: dict[str, str] = {}
    ends: dict[str, int] = {}
    for key in documents:
        digests[key.key_id] = key.sha256
        if key.not_after is not None:
            # A document that was not rewritten yet says no end, or a later one.
            ends[key.key_id] = min(key.not_after, ends.get(key.key_id, key.not_after))
    for known in status.keys:
        created_at = _unix(known.created_at)
        if known.state == "Revoked" or known.id not in digests:
            yield LedgerKey(known.id, "", "Revoked", created_at, _unix(known.expires_at or known.created_at))
        else:
            ends_at = ends.get(known.id) if known.state == "Previous" else None
            yield LedgerKey(known.id, digests[known.id], known.state, created_at, ends_at)


def _unix(rfc3339: str) -> int:
    """Unix seconds of a time that we or the store wrote; 0 if it is damaged."""
    try:
        return max(0, int(datetime.fromisoformat(rfc3339).timestamp()))
    except ValueError:
        return 0
