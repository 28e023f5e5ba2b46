"""The reverse index: from any change to every key it touches, also when the reference was just removed.

It is the memory that decisions read instead of the store: our objects, and of key Secrets the digests alone.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from nightlatch.api import names
from nightlatch.api.meta import INFERENCE_CLIENT, INFERENCE_ENDPOINT, Key, ObjectMeta, ObjectRef, RawObject
from nightlatch.planning.client_key import live_key, secret_key
from nightlatch.planning.grants import Ask, asks_for, refusal
from nightlatch.planning.installation import installation_ref
from nightlatch.planning.observed import (
    ClientSubject,
    ClientView,
    EndpointSubject,
    LiveKey,
    Rival,
    SecretView,
    parse_owner,
    view_secret,
)
from nightlatch.planning.reading import read_client, read_endpoint
from nightlatch.planning.route_document import read_document
from nightlatch.planning.settings import Settings, hosts

ENDPOINT = INFERENCE_ENDPOINT.kind
CLIENT = INFERENCE_CLIENT.kind
SECRET = "Secret"  # noqa: S105 - a kind
_INSTALLATION_ROLES = frozenset({names.ROLE_CA, names.ROLE_GATEWAY_TLS, names.ROLE_OPERATOR_TLS})
Grant = tuple[Key, str, str]


@dataclass(frozen=True, slots=True)
class Touched:
    """A key to reconcile. `urgent`: the change takes something away from a caller."""

    ref: ObjectRef
    urgent: bool = False


@dataclass(frozen=True, slots=True)
class _Holds:
    """What a route document holds: whose keys, their digests, and which state of it that is."""

    clients: frozenset[Key] = frozenset()
    digests: frozenset[str] = frozenset()
    sequence: int = 0


_NOTHING = _Holds()


class Index:
    """See the module. One event loop; `put` and `drop` return what their change touches."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.endpoints: dict[Key, EndpointSubject] = {}
        self.clients: dict[Key, ClientSubject] = {}
        self.issuers: dict[Key, ObjectMeta] = {}
        self._named_by: defaultdict[Key, set[Key]] = defaultdict(set)
        self._claims: defaultdict[str, set[Key]] = defaultdict(set)
        # By the key of the Secret: whose it is, which uid it says, and the live key in it.
        self._keys: dict[Key, tuple[Key, str, LiveKey | None]] = {}
        self._owners: dict[Key, ObjectRef] = {}
        self._roles: dict[Key, str] = {}
        self._documents: dict[Key, _Holds] = {}

    def put(self, raw: RawObject) -> tuple[Touched, ...]:
        """An object as it is now."""
        kind, key = raw["kind"], Key.of(raw)
        if kind == ENDPOINT:
            return tuple(self._put_endpoint(key, read_endpoint(raw, self._settings)))
        if kind == CLIENT:
            return tuple(self._set_client(key, read_client(raw)))
        if kind == SECRET:
            return tuple(self._put_secret(view_secret(raw)))
        return tuple(self._put_issuer(raw))

    def drop(self, ref: ObjectRef) -> tuple[Touched, ...]:
        """An object that is gone."""
        if ref.kind == ENDPOINT:
            return tuple(self._drop_endpoint(ref.key))
        if ref.kind == CLIENT:
            return tuple(self._set_client(ref.key, None))
        if ref.kind == SECRET:
            return tuple(self._drop_secret(ref.key))
        self.issuers.pop(ref.key, None)
        return ()

    def clients_of(self, endpoint: Key) -> tuple[ClientView, ...]:
        """Every client that names the endpoint, with its live keys."""
        named = sorted(self._named_by.get(endpoint, ()))
        return tuple(ClientView(self.clients[key], self.keys_of(self.clients[key])) for key in named)

    def keys_of(self, client: ClientSubject) -> tuple[LiveKey, ...]:
        """The key in the one Secret that is the client's own: by name, namespace and owner uid."""
        _, uid, live = self._keys.get(secret_key(client), (None, "", None))
        return (live,) if live and uid and uid == client.metadata.uid else ()

    def rivals_of(self, endpoint: Key) -> tuple[Rival, ...]:
        """Other endpoints that claim one of its hosts."""
        own = hosts(self._settings, endpoint)
        keys = sorted({key for host in own for key in self._claims.get(host, ()) if key != endpoint})
        return tuple(self._rival(key) for key in keys if key in self.endpoints)

    def documents_naming(self, client: Key) -> bool:
        """Whether any route document still holds a key of the client."""
        return any(client in found.clients for found in self._documents.values())

    def sequence_with(self, endpoint: Key, sha256: str) -> int | None:
        """The sequence of the endpoint's route document, if the document holds that key."""
        found = self._documents.get(Key(self._settings.gateway_namespace, names.route_document(endpoint)))
        return found.sequence if found and sha256 in found.digests else None

    def owners_of_secrets(self) -> frozenset[ObjectRef]:
        """Whose children there are, live or not, for the orphan sweep."""
        return frozenset(self._owners.values())

    def secrets_of(self, owner: ObjectRef) -> tuple[Key, ...]:
        """The Secrets that say they are this owner's."""
        return tuple(sorted(key for key, found in self._owners.items() if found == owner))

    def refs(self) -> tuple[ObjectRef, ...]:
        """Everything that is reconciled, for the resync."""
        return (
            installation_ref(self._settings),
            *(ObjectRef(ENDPOINT, key) for key in self.endpoints),
            *(ObjectRef(CLIENT, key) for key in self.clients),
            *(ObjectRef("TokenIssuer", key) for key in self.issuers),
        )

    def known(self, kind: str, role: str | None) -> frozenset[Key]:
        """The objects of a kind (and role, for Secrets) that the index has, for a comparison with a new list."""
        if kind == ENDPOINT:
            return frozenset(self.endpoints)
        if kind == CLIENT:
            return frozenset(self.clients)
        if kind == SECRET:
            return frozenset(key for key, found in self._roles.items() if found == role)
        return frozenset(self.issuers)

    # --- endpoints

    def _put_endpoint(self, key: Key, endpoint: EndpointSubject) -> Iterator[Touched]:
        before = self.endpoints.get(key)
        self.endpoints[key] = endpoint
        for host in hosts(self._settings, key):
            self._claims[host].add(key)
        if before is not None and _revision(before) == _revision(endpoint):
            return
        yield Touched(endpoint.ref, urgent=before is not None and _access(before) != _access(endpoint))
        yield from self._touch_clients_of(key)

    def _drop_endpoint(self, key: Key) -> Iterator[Touched]:
        self.endpoints.pop(key, None)
        rivals = self.rivals_of(key)
        for host in hosts(self._settings, key):
            self._claims[host].discard(key)
        yield Touched(ObjectRef(ENDPOINT, key), urgent=True)
        yield from (Touched(ObjectRef(ENDPOINT, rival.endpoint)) for rival in rivals)
        yield from self._touch_clients_of(key)

    def _touch_clients_of(self, endpoint: Key) -> Iterator[Touched]:
        yield from (Touched(ObjectRef(CLIENT, client)) for client in sorted(self._named_by.get(endpoint, ())))

    def _rival(self, key: Key) -> Rival:
        metadata = self.endpoints[key].metadata
        return Rival(key, metadata.creation_timestamp, metadata.uid, hosts(self._settings, key))

    # --- clients

    def _set_client(self, key: Key, client: ClientSubject | None) -> Iterator[Touched]:
        before, lost = self.clients.get(key), self._grants(key)
        named = self._rename(key, before, client)
        if before is not None and client is not None and _revision(before) == _revision(client):
            return
        yield Touched(ObjectRef(CLIENT, key))
        yield from self._touch_endpoints(named, lost - self._grants(key))

    def _rename(self, key: Key, before: ClientSubject | None, client: ClientSubject | None) -> frozenset[Key]:
        """The new reading takes the old one's place; returns the endpoints that either names."""
        old, new = _names(before), _names(client)
        for endpoint in old:
            self._named_by[endpoint].discard(key)
        for endpoint in new:
            self._named_by[endpoint].add(key)
        if client is None:
            self.clients.pop(key, None)
        else:
            self.clients[key] = client
        return old | new

    def _touch_endpoints(self, endpoints: Iterable[Key], lost: frozenset[Grant]) -> Iterator[Touched]:
        losers = {endpoint for endpoint, _, _ in lost}
        for endpoint in sorted(endpoints):
            yield Touched(ObjectRef(ENDPOINT, endpoint), urgent=endpoint in losers)

    def _grants(self, key: Key) -> frozenset[Grant]:
        """What the client has now: endpoint, digest, permission."""
        client = self.clients.get(key)
        if client is None:
            return frozenset()
        revoked = client.spec.api_key.revoked_key_ids if client.spec and client.spec.api_key else ()
        digests = [live.sha256 for live in self.keys_of(client) if live.key_id not in revoked]
        return frozenset(
            (endpoint, digest, permission)
            for endpoint, grant in asks_for(client)
            if refusal(Ask(client, endpoint, self.endpoints.get(endpoint))) is None
            for digest in digests
            for permission in grant.permissions
        )

    # --- Secrets

    def _put_secret(self, secret: SecretView) -> Iterator[Touched]:
        owner = parse_owner(secret.owner)
        if owner is None:
            return
        self._owners[secret.key] = owner
        self._roles[secret.key] = secret.role
        if secret.role == names.ROLE_API_KEY and owner.kind == CLIENT:
            yield from self._set_key(secret.key, owner.key, secret)
        elif secret.role == names.ROLE_ROUTE_DOCUMENT:
            yield from self._set_document(secret.key, secret)
            yield Touched(owner)
        else:
            yield from self._touch_owner(owner, secret.role)

    def _drop_secret(self, key: Key) -> Iterator[Touched]:
        owner, role = self._owners.pop(key, None), self._roles.pop(key, "")
        if owner is None:
            return
        if key in self._keys:
            yield from self._set_key(key, owner.key, None)
            return
        yield from self._set_document(key, None)
        yield from self._touch_owner(owner, role)

    def _set_key(self, secret: Key, client: Key, view: SecretView | None) -> Iterator[Touched]:
        if secret.namespace != client.namespace:
            return
        before = self._grants(client)
        if view is None:
            self._keys.pop(secret, None)
        else:
            self._keys[secret] = (client, view.owner_uid, live_key(view))
        yield Touched(ObjectRef(CLIENT, client))
        yield from self._touch_endpoints(_names(self.clients.get(client)), before - self._grants(client))

    def _set_document(self, secret: Key, view: SecretView | None) -> Iterator[Touched]:
        """A deleted client waits for its keys to leave the documents, a new one for its key to come into them."""
        before = self._documents.pop(secret, _NOTHING)
        document = read_document(view)
        if document is not None:
            self._documents[secret] = _Holds(
                frozenset(grant.client for grant in document.keys),
                frozenset(grant.sha256 for grant in document.keys),
                document.sequence,
            )
        now = self._documents.get(secret, _NOTHING).clients
        gone = (before.clients - now) - self.clients.keys()
        yield from (Touched(ObjectRef(CLIENT, client)) for client in sorted(gone | (now - before.clients)))

    def _touch_owner(self, owner: ObjectRef, role: str) -> Iterator[Touched]:
        if role in _INSTALLATION_ROLES:
            yield Touched(installation_ref(self._settings))
        elif owner.kind in {ENDPOINT, CLIENT}:
            yield Touched(owner)

    # --- issuers

    def _put_issuer(self, raw: RawObject) -> Iterator[Touched]:
        metadata = ObjectMeta.model_validate(raw["metadata"])
        before = self.issuers.get(metadata.key)
        self.issuers[metadata.key] = metadata
        if before is None or (before.uid, before.generation) != (metadata.uid, metadata.generation):
            yield Touched(ObjectRef.of(raw))


def _names(client: ClientSubject | None) -> frozenset[Key]:
    """The endpoints in the spec, suspended or not: all of them are to be told of a change."""
    if client is None or client.spec is None:
        return frozenset()
    own = client.key.namespace
    return frozenset(Key(grant.namespace or own, grant.name) for grant in client.spec.endpoints)


def _revision(subject: EndpointSubject | ClientSubject) -> tuple[object, ...]:
    """Equal for two readings that differ in nothing but status: our own writing of it calls for no work."""
    metadata = subject.metadata
    return (
        metadata.uid,
        metadata.generation,
        metadata.deletion_timestamp,
        tuple(sorted(metadata.annotations.items())),
    )


def _access(endpoint: EndpointSubject) -> object:
    return endpoint.spec.access if endpoint.spec else None
