"""The client's Secret: its keys with their ledger, its addresses and CA.

Nothing is written over a Secret that is not ours.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from nightlatch.api import names
from nightlatch.api.duration import parse_duration
from nightlatch.api.meta import NamespacedName
from nightlatch.planning.access.api_keys import unix_seconds
from nightlatch.planning.access.grants import named_endpoints
from nightlatch.planning.client.key_secret import has_ledger, ledger_data, newest, read_ledger
from nightlatch.planning.client.ledger import KeyRules, Ledger, Step, revoke, step
from nightlatch.planning.inputs import ObservedClient
from nightlatch.planning.parsed import ParsedClient
from nightlatch.planning.plan import DeleteSecret, MergeSecret, OwnedSecret, Owner, PutSecret
from nightlatch.planning.secrets import SecretView
from nightlatch.planning.settings import url

# The address of the client's only endpoint. A client of several endpoints has none, so that none is called by mistake.
URL = "url"
# The address of each endpoint, as JSON: {"NAMESPACE/NAME": {"url": "https://..."}}.
ENDPOINTS = "endpoints.json"
CA_CRT = "ca.crt"
# A longer value of the annotation counts as this much of it.
_REQUEST_LENGTH = 256


@dataclass(frozen=True, slots=True)
class KeyDecision:
    """What to do about the key Secret. `ledger`: once `action` is done. `taken`: the Secret is not ours.

    look_again: when the passing of time alone changes the ledger, in Unix seconds.
    """

    key: NamespacedName
    ledger: Ledger = field(default_factory=Ledger)
    rules: KeyRules = field(default_factory=KeyRules)
    action: PutSecret | MergeSecret | None = None
    delete: tuple[DeleteSecret, ...] = ()
    taken: bool = False
    look_again: float | None = None


def decide_key(
    client: ParsedClient, observed: ObservedClient, owner: Owner, now: datetime, random: Callable[[int], bytes]
) -> KeyDecision:
    """Without an issuing CA no Secret is written, because it carries the CA. A rejected spec creates none either."""
    key, rules, found = key_secret_name(client), key_rules(client), observed.secret
    orphan = found is not None and found.is_orphan_of(owner, names.ROLE_API_KEY)
    ours = found if found and (found.is_of(owner, names.ROLE_API_KEY) or (orphan and found.adopt)) else None
    earlier = tuple(other for other in observed.others if other.is_of(owner, names.ROLE_API_KEY))
    # After a change of `secretName` the keys move into the new Secret.
    source = ours if ours and has_ledger(ours) else newest(earlier) or ours
    ledger = read_ledger(source, client.status, observed.documents)
    if found is not None and ours is None:
        removed = (DeleteSecret(found.key, found.revision),) if orphan else ()
        return KeyDecision(key, ledger, rules, delete=removed, taken=not orphan)
    if observed.issuing_ca is None or (ours is None and client.rejection is not None):
        return KeyDecision(key, ledger, rules)
    done = _step(client, ledger, rules, observed, now, random)
    # The Secret of an earlier name is deleted once the new one has its keys.
    others = tuple(DeleteSecret(other.key, other.revision) for other in observed.others) if ours else ()
    action = _write(client, observed, owner, ours, done.ledger)
    return KeyDecision(key, done.ledger, rules, action, others, look_again=done.look_again)


def key_secret_name(client: ParsedClient) -> NamespacedName:
    """The Secret for the client's key."""
    spec = client.spec
    chosen = spec.api_key.secret_name if spec and spec.api_key else None
    return NamespacedName(client.key.namespace, chosen or names.api_key(client.key))


def key_rules(client: ParsedClient) -> KeyRules:
    """What the client's spec and its annotation want of its keys."""
    spec = client.spec.api_key if client.spec else None
    if spec is None:
        return KeyRules()
    return KeyRules(
        rotate_every=parse_duration(spec.rotate_every) if spec.rotate_every else None,
        overlap=spec.overlap_seconds,
        expires_at=unix_seconds(spec.expires_at) if spec.expires_at else None,
        revoked=frozenset(spec.revoked_key_ids),
        request=client.metadata.annotations.get(names.ANNOTATION_ROTATE, "")[:_REQUEST_LENGTH],
    )


def _step(
    client: ParsedClient,
    ledger: Ledger,
    rules: KeyRules,
    observed: ObservedClient,
    now: datetime,
    random: Callable[[int], bytes],
) -> Step:
    if client.spec is None or client.spec.api_key is None or client.rejection is not None:
        # Of a spec that is not accepted only what it revokes counts.
        return Step(revoke(ledger, rules.revoked, now.timestamp()))
    in_force = frozenset(key_id for key_id, coverage in observed.coverage.items() if coverage.in_force)
    return step(ledger, rules, in_force, now.timestamp(), random)


def _write(
    client: ParsedClient, observed: ObservedClient, owner: Owner, ours: SecretView | None, ledger: Ledger
) -> PutSecret | MergeSecret | None:
    wanted = {**ledger_data(ledger), **_public_data(client, observed)}
    target = _child(client, owner, ours.key if ours else key_secret_name(client))
    if ours is None:
        present = {entry: value for entry, value in wanted.items() if value is not None}
        # A pod waits for a Secret that does not exist, but not for an entry in it.
        return PutSecret(target, present) if ledger.shown else None
    if ours.adopt or any(ours.data.get(entry) != value for entry, value in wanted.items()):
        return MergeSecret(target, wanted, ours.revision)
    return None


def _child(client: ParsedClient, owner: Owner, key: NamespacedName) -> OwnedSecret:
    # A label value has at most 63 characters; the owner annotation has the whole name.
    labels = {names.LABEL_CLIENT: client.key.name} if len(client.key.name) <= 63 else {}
    return OwnedSecret(key, names.ROLE_API_KEY, owner, labels=labels)


def _public_data(client: ParsedClient, observed: ObservedClient) -> Mapping[str, bytes | None]:
    """What belongs into the Secret beside the keys; None for what does not. An unreadable spec changes no address."""
    trust: dict[str, bytes | None] = {CA_CRT: observed.issuing_ca.trust_pem if observed.issuing_ca else b""}
    return trust | _addresses(client, observed) if client.spec else trust


def _addresses(client: ParsedClient, observed: ObservedClient) -> dict[str, bytes | None]:
    """The addresses of all endpoints that the spec names, even those that do not let the client in yet."""
    urls = {str(key): url(observed.settings, key) for key in named_endpoints(client)}
    listed = json.dumps({key: {"url": address} for key, address in urls.items()}, indent=2)
    only = next(iter(urls.values())).encode() if len(urls) == 1 else None
    return {URL: only, ENDPOINTS: f"{listed}\n".encode()}
