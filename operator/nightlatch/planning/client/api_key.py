"""The client's Secret: API key, addresses and CA. The key is created once, and never over a Secret that is not ours."""

import json
from dataclasses import dataclass

from nightlatch import api_keys
from nightlatch.api import names
from nightlatch.api.meta import NamespacedName
from nightlatch.api_keys import MalformedKeyError
from nightlatch.planning.access.grants import named_endpoints
from nightlatch.planning.inputs import LiveKey, ObservedClient
from nightlatch.planning.parsed import ParsedClient
from nightlatch.planning.plan import DeleteSecret, MergeSecret, MintKey, OwnedSecret, Owner
from nightlatch.planning.secrets import SecretView
from nightlatch.planning.settings import url

API_KEY = "api-key"
# The address of the client's only endpoint. A client of several endpoints has none, so that none is called by mistake.
URL = "url"
# The address of each endpoint, as JSON: {"NAMESPACE/NAME": {"url": "https://..."}}.
ENDPOINTS = "endpoints.json"
CA_CRT = "ca.crt"


@dataclass(frozen=True, slots=True)
class KeyDecision:
    """What to do about the key Secret. `live`: its key. `taken`: it is not ours. `broken`: ours, but has no key."""

    key: NamespacedName
    live: LiveKey | None = None
    action: MintKey | MergeSecret | None = None
    delete: tuple[DeleteSecret, ...] = ()
    taken: bool = False
    broken: bool = False


def decide_key(client: ParsedClient, observed: ObservedClient, owner: Owner) -> KeyDecision:
    """Without an issuing CA, or while the spec is rejected, no key is created; an existing key stays."""
    key = key_secret_name(client)
    found = observed.secret
    if found is not None and not found.is_of(owner, names.ROLE_API_KEY):
        if found.is_orphan_of(owner, names.ROLE_API_KEY):
            return KeyDecision(key, delete=(DeleteSecret(key, found.revision),))
        return KeyDecision(key, taken=True)
    if found is None:
        return KeyDecision(key, action=_mint(client, observed, owner, key))
    live = live_key(found)
    # The Secret of an earlier `secretName` is deleted once the new one has its key.
    others = tuple(DeleteSecret(other.key, other.revision) for other in observed.others) if live else ()
    return KeyDecision(key, live, _refresh(client, observed, owner, found), others, broken=live is None)


def key_secret_name(client: ParsedClient) -> NamespacedName:
    """The Secret for the client's key."""
    spec = client.spec
    chosen = spec.api_key.secret_name if spec and spec.api_key else None
    return NamespacedName(client.key.namespace, chosen or names.api_key(client.key))


def live_key(secret: SecretView) -> LiveKey | None:
    """The key in a Secret of ours as id and digest; None if the entry is not a key."""
    try:
        parsed = api_keys.parse(secret.data.get(API_KEY, b"").decode("ascii", "replace"))
    except MalformedKeyError:
        return None
    return LiveKey(parsed.key_id, parsed.sha256, secret.created_at)


def _mint(client: ParsedClient, observed: ObservedClient, owner: Owner, key: NamespacedName) -> MintKey | None:
    spec = client.spec
    if spec is None or spec.api_key is None or client.rejection is not None or observed.issuing_ca is None:
        return None
    wanted = _public_data(client, observed)
    return MintKey(_child(client, owner, key), {entry: value for entry, value in wanted.items() if value is not None})


def _refresh(client: ParsedClient, observed: ObservedClient, owner: Owner, found: SecretView) -> MergeSecret | None:
    wanted = _public_data(client, observed)
    if observed.issuing_ca is None or all(found.data.get(entry) == value for entry, value in wanted.items()):
        return None
    return MergeSecret(_child(client, owner, found.key), wanted, found.revision)


def _child(client: ParsedClient, owner: Owner, key: NamespacedName) -> OwnedSecret:
    # A label value has at most 63 characters; the owner annotation has the whole name.
    labels = {names.LABEL_CLIENT: client.key.name} if len(client.key.name) <= 63 else {}
    return OwnedSecret(key, names.ROLE_API_KEY, owner, labels=labels)


def _public_data(client: ParsedClient, observed: ObservedClient) -> dict[str, bytes | None]:
    """What belongs into the Secret beside the key; None for what does not. An unreadable spec changes no address."""
    trust: dict[str, bytes | None] = {CA_CRT: observed.issuing_ca.trust_pem if observed.issuing_ca else b""}
    return trust | _addresses(client, observed) if client.spec else trust


def _addresses(client: ParsedClient, observed: ObservedClient) -> dict[str, bytes | None]:
    """The addresses of all endpoints that the spec names, even those that do not let the client in yet."""
    urls = {str(key): url(observed.settings, key) for key in named_endpoints(client)}
    listed = json.dumps({key: {"url": address} for key, address in urls.items()}, indent=2)
    only = next(iter(urls.values())).encode() if len(urls) == 1 else None
    return {URL: only, ENDPOINTS: f"{listed}\n".encode()}
