"""The Secret in which the trust ledger is kept. It holds key ids, fingerprints and times, and no key."""

from datetime import UTC, datetime
from typing import Any, cast

import orjson

from nightlatch.api import names
from nightlatch.api.meta import NamespacedName
from nightlatch.planning.conditions import timestamp
from nightlatch.planning.installation.certificates import installation_owner
from nightlatch.planning.installation.ledger import Generation, Ledger, State, Step
from nightlatch.planning.plan import OwnedSecret, PutSecret
from nightlatch.planning.secrets import SecretView
from nightlatch.planning.settings import Settings

LEDGER_JSON = "ledger.json"
_FORMAT = 1
_STATES = ("Prepared", "Active", "Retiring", "Retired")


class LedgerError(ValueError):
    """The Secret holds no ledger that this version reads."""


def ledger_secret(settings: Settings) -> NamespacedName:
    """Beside the CAs."""
    return NamespacedName(settings.operator_namespace, names.TRUST_SECRET)


def read_ledger(found: SecretView | None) -> Ledger:
    """The ledger; an empty one if there is none yet. Raises LedgerError."""
    if found is None:
        return Ledger()
    try:
        body = orjson.loads(found.data.get(LEDGER_JSON, b""))
        if body["format"] != _FORMAT:
            raise LedgerError(f"its format is {body['format']}, and this version reads {_FORMAT}")
        return Ledger(tuple(map(_generation, body["generations"])), str(body["request"]))
    except (orjson.JSONDecodeError, KeyError, TypeError, ValueError) as error:
        raise LedgerError(str(error) if isinstance(error, LedgerError) else "it is damaged") from None


def _generation(entry: dict[str, Any]) -> Generation:
    if entry["state"] not in _STATES:
        raise LedgerError(f"it has the state {entry['state']}")
    settled = entry["settled"]
    return Generation(
        key_id=str(entry["keyId"]),
        anchors=frozenset(map(str, entry["anchors"])),
        state=cast("State", entry["state"]),
        since=int(entry["since"]),
        settled=None if settled is None else int(settled),
    )


def put_ledger(ledger: Ledger, found: SecretView | None, settings: Settings) -> PutSecret:
    """Write the ledger."""
    body = {"format": _FORMAT, "request": ledger.request, "generations": [_entry(each) for each in ledger.generations]}
    target = OwnedSecret(ledger_secret(settings), names.ROLE_CA, installation_owner(settings))
    return PutSecret(target, {LEDGER_JSON: orjson.dumps(body)}, found.revision if found else None)


def _entry(each: Generation) -> dict[str, Any]:
    return {
        "keyId": each.key_id,
        "anchors": sorted(each.anchors),
        "state": each.state,
        "since": each.since,
        "settled": each.settled,
    }


def told(done: Step) -> dict[str, str]:
    """What people may know: the generations of the CA, what the next step waits for, and when it comes."""
    lines = [
        f"{each.state} since {timestamp(datetime.fromtimestamp(each.since, UTC))}: CA {each.key_id}"
        for each in done.ledger.generations
    ]
    moving = any(done.ledger.find(state) for state in ("Prepared", "Retiring"))
    look_again = timestamp(datetime.fromtimestamp(done.look_again, UTC)) if done.look_again else ""
    return {
        "generations": "\n".join(lines),
        "rollover": "under way" if moving else "none",
        "waitingFor": "\n".join(done.waiting_for),
        "nextStep": look_again if not done.waiting_for else "",
        "request": done.ledger.request,
    }
