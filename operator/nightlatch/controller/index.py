"""The reverse index: from any change to every key it touches, also when the reference was just removed.

It is the memory that decisions read instead of the store: our objects, and of key Secrets the digests alone.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from nightlatch.api import names
from nightlatch.api.meta import INFERENCE_CLIENT, INFERENCE_ENDPOINT, NamespacedName, ObjectMeta, ObjectRef, RawObject
from nightlatch.planning.access.grants import GrantRequest, refusal, requested_grants
from nightlatch.planning.client.api_key import key_secret_name, live_key
from nightlatch.planning.endpoint.document import read_document
from nightlatch.planning.inputs import ClientView, HostClaim, LiveKey
from nightlatch.planning.installation.certificates import installation_ref
from nightlatch.planning.parsed import ParsedClient, ParsedEndpoint, read_client, read_endpoint
from nightlatch.planning.secrets import SecretView, parse_owner, view_secret
from nightlatch.planning.settings import Settings, hosts

ENDPOINT = INFERENCE_ENDPOINT.kind
CLIENT = INFERENCE_CLIENT.kind
SECRET = "Secret"  # noqa: S105 - a kind
_INSTALLATION_ROLES = frozenset({names.ROLE_CA, names.ROLE_GATEWAY_TLS, names.ROLE_OPERATOR_TLS})
Grant = tuple[NamespacedName, str, str]


@dataclass(frozen=True, slots=True)
class Requeue:
    """A key to reconcile. `urgent`: the change takes something away from a caller."""

    ref: ObjectRef
    urgent: bool = False


@dataclass(frozen=True, slots=True)
class _DocumentContents:
    """What a route document holds: whose keys, their digests, and which state of it that is."""

    clients: frozenset[NamespacedName] = frozenset()
    digests: frozenset[str] = frozenset()
    sequence: int = 0


_NOTHING = _DocumentContents()


class Index:
    """See the module. One event loop; `put` and `drop` return what their change touches."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.endpoints: dict[NamespacedName, ParsedEndpoint] = {}
        self.clients: dict[NamespacedName, ParsedClient] = {}
        self.issuers: dict[NamespacedName, ObjectMeta] = {}
        self._named_by: defaultdict[NamespacedName, set[NamespacedName]] = defaultdict(set)
        self._claims: defaultdict[str, set[NamespacedName]] = defaultdict(set)
        # By the key of the Secret: whose it is, which uid it says, and the live key in it.
        self._keys: dict[NamespacedName, tuple[NamespacedName, str, LiveKey | None]] = {}
        self._owners: dict[NamespacedName, ObjectRef] = {}
        self._roles: dict[NamespacedName, str] = {}
        self._documents: dict[NamespacedName, _DocumentContents] = {}

    def put(self, raw: RawObject) -> tuple[Requeue, ...]:
        """An object as it is now."""
        kind, key = raw["kind"], NamespacedName.of(raw)
        if kind == ENDPOINT:
            return tuple(self._put_endpoint(key, read_endpoint(raw, self._settings)))
        if kind == CLIENT:
            return tuple(self._set_client(key, read_client(raw)))
        if kind == SECRET:
            return tuple(self._put_secret(view_secret(raw)))
        return tuple(self._put_issuer(raw))

    def drop(self, ref: ObjectRef) -> tuple[Requeue, ...]:
        """An object that is gone."""
        if ref.kind == ENDPOINT:
            return tuple(self._drop_endpoint(ref.key))
        if ref.kind == CLIENT:
            return tuple(self._set_client(ref.key, None))
        if ref.kind == SECRET:
            return tuple(self._drop_secret(ref.key))
        self.issuers.pop(ref.key, None)
        return ()

    def clients_of(self, endpoint: NamespacedName) -> tuple[ClientView, ...]:
        """Every client that names the endpoint, with its live keys."""
        named = sorted(self._named_by.get(endpoint, ()))
        return tuple(ClientView(self.clients[key], self.keys_of(self.clients[key])) for key in named)

    def keys_of(self, client: ParsedClient) -> tuple[LiveKey, ...]:
        """The key in the one Secret that is the client's own: by name, namespace and owner uid."""
        _, uid, live = self._keys.get(key_secret_name(client), (None, "", None))
        return (live,) if live and uid and uid == client.metadata.uid else ()

    def host_claims_of(self, endpoint: NamespacedName) -> tuple[HostClaim, ...]:
        """Other endpoints that claim one of its hosts."""
        own = hosts(self._settings, endpoint)
        keys = sorted({key for host in own for key in self._claims.get(host, ()) if key != endpoint})
        return tuple(self._host_claim(key) for key in keys if key in self.endpoints)

    def documents_naming(self, client: NamespacedName) -> bool:
        """Whether any route document still holds a key of the client."""
        return any(client in found.clients for found in self._documents.values())

    def sequence_with(self, endpoint: NamespacedName, sha256: str) -> int | None:
        """The sequence of the endpoint's route document, if the document holds that key."""
        found = self._documents.get(NamespacedName(self._settings.gateway_namespace, names.route_document(endpoint)))
        return found.sequence if found and sha256 in found.digests else None

    def owners_of_secrets(self) -> frozenset[ObjectRef]:
        """Whose children there are, live or not, for the orphan sweep."""
        return frozenset(self._owners.values())

    def secrets_of(self, owner: ObjectRef) -> tuple[NamespacedName, ...]:
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

    # --- endpoints

    def _put_endpoint(self, key: NamespacedName, endpoint: ParsedEndpoint) -> Iterator[Requeue]:
        before = self.endpoints.get(key)
        self.endpoints[key] = endpoint
        for host in hosts(self._settings, key):
            self._claims[host].add(key)
        if before is not None and _revision(before) == _revision(endpoint):
            return
        yield Requeue(endpoint.ref, urgent=before is not None and _access(before) != _access(endpoint))
        yield from self._touch_clients_of(key)

    def _drop_endpoint(self, key: NamespacedName) -> Iterator[Requeue]:
        self.endpoints.pop(key, None)
        host_claims = self.host_claims_of(key)
        for host in hosts(self._settings, key):
            self._claims[host].discard(key)
        yield Requeue(ObjectRef(ENDPOINT, key), urgent=True)
        yield from (Requeue(ObjectRef(ENDPOINT, claim.endpoint)) for claim in host_claims)
        yield from self._touch_clients_of(key)

    def _touch_clients_of(self, endpoint: NamespacedName) -> Iterator[Requeue]:
        yield from (Requeue(ObjectRef(CLIENT, client)) for client in sorted(self._named_by.get(endpoint, ())))

    def _host_claim(self, key: NamespacedName) -> HostClaim:
        metadata = self.endpoints[key].metadata
        return HostClaim(key, metadata.creation_timestamp, metadata.uid, hosts(self._settings, key))

    # --- clients

    def _set_client(self, key: NamespacedName, client: ParsedClient | None) -> Iterator[Requeue]:
        before, lost = self.clients.get(key), self._grants(key)
        named = self._rename(key, before, client)
        if before is not None and client is not None and _revision(before) == _revision(client):
            return
        yield Requeue(ObjectRef(CLIENT, key))
        yield from self._touch_endpoints(named, lost - self._grants(key))

    def _rename(
        self, key: NamespacedName, before: ParsedClient | None, client: ParsedClient | None
    ) -> frozenset[NamespacedName]:
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

    def _touch_endpoints(self, endpoints: Iterable[NamespacedName], lost: frozenset[Grant]) -> Iterator[Requeue]:
        losers = {endpoint for endpoint, _, _ in lost}
        for endpoint in sorted(endpoints):
            yield Requeue(ObjectRef(ENDPOINT, endpoint), urgent=endpoint in losers)

    def _grants(self, key: NamespacedName) -> frozenset[Grant]:
        """What the client has now: endpoint, digest, permission."""
        client = self.clients.get(key)
        if client is None:
            return frozenset()
        revoked = client.spec.api_key.revoked_key_ids if client.spec and client.spec.api_key else ()
        digests = [live.sha256 for live in self.keys_of(client) if live.key_id not in revoked]
        return frozenset(
            (endpoint, digest, permission)
            for endpoint, grant in requested_grants(client)
            if refusal(GrantRequest(client, endpoint, self.endpoints.get(endpoint))) is None
            for digest in digests
            for permission in grant.permissions
        )

    # --- Secrets

    def _put_secret(self, secret: SecretView) -> Iterator[Requeue]:
        owner = parse_owner(secret.owner)
        if owner is None:
            return
        self._owners[secret.key] = owner
        self._roles[secret.key] = secret.role
        if secret.role == names.ROLE_API_KEY and owner.kind == CLIENT:
            yield from self._set_key(secret.key, owner.key, secret)
        elif secret.role == names.ROLE_ROUTE_DOCUMENT:
            yield from self._set_document(secret.key, secret)
            yield Requeue(owner)
        else:
            yield from self._touch_owner(owner, secret.role)

    def _drop_secret(self, key: NamespacedName) -> Iterator[Requeue]:
        owner, role = self._owners.pop(key, None), self._roles.pop(key, "")
        if owner is None:
            return
        if key in self._keys:
            yield from self._set_key(key, owner.key, None)
            return
        yield from self._set_document(key, None)
        yield from self._touch_owner(owner, role)

    def _set_key(self, secret: NamespacedName, client: NamespacedName, view: SecretView | None) -> Iterator[Requeue]:
        if secret.namespace != client.namespace:
            return
        before = self._grants(client)
        if view is None:
            self._keys.pop(secret, None)
        else:
            self._keys[secret] = (client, view.owner_uid, live_key(view))
        yield Requeue(ObjectRef(CLIENT, client))
        yield from self._touch_endpoints(_names(self.clients.get(client)), before - self._grants(client))

    def _set_document(self, secret: NamespacedName, view: SecretView | None) -> Iterator[Requeue]:
        """A deleted client waits for its keys to leave the documents, a new one for its key to come into them."""
        before = self._documents.pop(secret, _NOTHING)
        document = read_document(view)
        if document is not None:
            self._documents[secret] = _DocumentContents(
                frozenset(grant.client for grant in document.keys),
                frozenset(grant.sha256 for grant in document.keys),
                document.sequence,
            )
        now = self._documents.get(secret, _NOTHING).clients
        gone = (before.clients - now) - self.clients.keys()
        yield from (Requeue(ObjectRef(CLIENT, client)) for client in sorted(gone | (now - before.clients)))

    def _touch_owner(self, owner: ObjectRef, role: str) -> Iterator[Requeue]:
        if role in _INSTALLATION_ROLES:
            yield Requeue(installation_ref(self._settings))
        elif owner.kind in {ENDPOINT, CLIENT}:
            yield Requeue(owner)

    # --- issuers

    def _put_issuer(self, raw: RawObject) -> Iterator[Requeue]:
        metadata = ObjectMeta.model_validate(raw["metadata"])
        before = self.issuers.get(metadata.key)
        self.issuers[metadata.key] = metadata
        if before is None or (before.uid, before.generation) != (metadata.uid, metadata.generation):
            yield Requeue(ObjectRef.of(raw))


def _names(client: ParsedClient | None) -> frozenset[NamespacedName]:
    """The endpoints in the spec, suspended or not: all of them are to be told of a change."""
    if client is None or client.spec is None:
        return frozenset()
    own = client.key.namespace
    return frozenset(NamespacedName(grant.namespace or own, grant.name) for grant in client.spec.endpoints)


def _revision(subject: ParsedEndpoint | ParsedClient) -> tuple[object, ...]:
    """Equal for two readings that differ in nothing but status: our own writing of it calls for no work."""
    metadata = subject.metadata
    return (
        metadata.uid,
        metadata.generation,
        metadata.deletion_timestamp,
        tuple(sorted(metadata.annotations.items())),
    )


def _access(endpoint: ParsedEndpoint) -> object:
    return endpoint.spec.access if endpoint.spec else None
