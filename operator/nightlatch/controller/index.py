"""The reverse index: which keys must be reconciled after a change, also when the change removed the reference.

It also is the memory that plans read instead of the store: our objects, and of key Secrets nothing but the digests.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from nightlatch.api import names
from nightlatch.api.conditions import IssuerCondition, find
from nightlatch.api.meta import (
    CERTIFICATE,
    INFERENCE_CLIENT,
    INFERENCE_ENDPOINT,
    NAMESPACE,
    TOKEN_ISSUER,
    NamespacedName,
    ObjectRef,
    RawObject,
)
from nightlatch.pki.material import CA_CRT, is_bundle
from nightlatch.planning.access.grants import named_endpoints
from nightlatch.planning.access.revocation import (
    GrantedPermissions,
    access_changed,
    granted_permissions,
    losing_endpoints,
)
from nightlatch.planning.access.revocations import DocumentKeys, GoodStanding, good_standing, revoked_certificates
from nightlatch.planning.certificates import CertificateView, view_certificate
from nightlatch.planning.client.api_key import key_secret_name
from nightlatch.planning.client.key_secret import StoredKeys, live_keys, read_ledger, stored_keys
from nightlatch.planning.endpoint.chains import asks_for_certificates, is_older
from nightlatch.planning.endpoint.client_trust import trust_secrets
from nightlatch.planning.endpoint.document import read_document
from nightlatch.planning.endpoint.hosts import host_claim
from nightlatch.planning.endpoint.issuers import named_issuers
from nightlatch.planning.inputs import ClientView, DocumentKey, DocumentView, HostClaim, IssuerView, LiveKey
from nightlatch.planning.installation.certificates import installation_ref
from nightlatch.planning.installation.revocations import revocations_ref
from nightlatch.planning.issuer.key_source import ca_secret
from nightlatch.planning.parsed import (
    ParsedClient,
    ParsedEndpoint,
    ParsedIssuer,
    read_client,
    read_endpoint,
    read_issuer,
)
from nightlatch.planning.secrets import SecretView, owner_text, parse_owner, view_secret
from nightlatch.planning.settings import Settings, hosts
from nightlatch.wire.revocations import RevokedCertificate
from nightlatch.wire.route_document import RouteDocument, accepts_certificates

ENDPOINT = INFERENCE_ENDPOINT.kind
CLIENT = INFERENCE_CLIENT.kind
ISSUER = TOKEN_ISSUER.kind
SECRET = "Secret"  # noqa: S105 - a kind
_INSTALLATION_ROLES = frozenset({names.ROLE_CA, names.ROLE_GATEWAY_TLS, names.ROLE_OPERATOR_TLS})


@dataclass(frozen=True, slots=True)
class Requeue:
    """An object to reconcile. `urgent`: the change takes something away from a caller."""

    ref: ObjectRef
    urgent: bool = False


class Index:
    """For one event loop. `put` and `drop` return what must be reconciled after the change."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.endpoints: dict[NamespacedName, ParsedEndpoint] = {}
        self.clients: dict[NamespacedName, ParsedClient] = {}
        self.issuers: dict[NamespacedName, ParsedIssuer] = {}
        # By issuer: the endpoints that name it, whether they may or not.
        self._taking: defaultdict[NamespacedName, set[NamespacedName]] = defaultdict(set)
        self._namespace_labels: dict[str, Mapping[str, str]] = {}
        self._clients_in: defaultdict[str, set[NamespacedName]] = defaultdict(set)
        self._named_by: defaultdict[NamespacedName, set[NamespacedName]] = defaultdict(set)
        self._claims: defaultdict[str, set[NamespacedName]] = defaultdict(set)
        # By the key of the Secret: whose it is, which uid it says, and the live keys in it.
        self._keys: dict[NamespacedName, tuple[NamespacedName, str, StoredKeys | None]] = {}
        # By the id of each live key its client.
        self._client_of: dict[str, NamespacedName] = {}
        self._key_secrets: defaultdict[NamespacedName, set[NamespacedName]] = defaultdict(set)
        self._owners: dict[NamespacedName, ObjectRef] = {}
        self._roles: dict[NamespacedName, str] = {}
        self._documents: dict[NamespacedName, DocumentView] = {}
        # By the Secret of a route document: what earlier ones allowed, until all gateways have the newest.
        self._replaced: dict[NamespacedName, DocumentKeys] = {}
        # By client: the Secrets of the route documents that let it in.
        self._held_by: defaultdict[NamespacedName, set[NamespacedName]] = defaultdict(set)
        # By the Secret of CAs: the endpoints and issuers that trust them.
        self._trusting: defaultdict[NamespacedName, set[ObjectRef]] = defaultdict(set)
        # Those of cert-manager, and by the endpoint: the uid that its Secret says, and the CAs in it.
        self._certificates: dict[NamespacedName, CertificateView] = {}
        self._server_cas: dict[NamespacedName, tuple[str, bytes]] = {}

    def put(self, raw: RawObject) -> tuple[Requeue, ...]:
        """Note an object as it is now."""
        kind, key = raw["kind"], NamespacedName.of(raw)
        if kind == ENDPOINT:
            return tuple(self._put_endpoint(key, read_endpoint(raw, self._settings)))
        if kind == CLIENT:
            return tuple(self._set_client(key, self.read_client(raw)))
        if kind == NAMESPACE.kind:
            return tuple(self._set_namespace_labels(key.name, raw["metadata"].get("labels") or {}))
        if kind == SECRET:
            return tuple(self._put_secret(view_secret(raw)))
        if kind == CERTIFICATE.kind:
            return tuple(self._set_certificate(key, view_certificate(raw)))
        return tuple(self._set_issuer(key, read_issuer(raw, self._settings)))

    def drop(self, ref: ObjectRef) -> tuple[Requeue, ...]:
        """Note that an object is gone."""
        if ref.kind == ENDPOINT:
            return tuple(self._drop_endpoint(ref.key))
        if ref.kind == CLIENT:
            return tuple(self._set_client(ref.key, None))
        if ref.kind == SECRET:
            return tuple(self._drop_secret(ref.key))
        if ref.kind == NAMESPACE.kind:
            return tuple(self._set_namespace_labels(ref.key.name, {}))
        if ref.kind == CERTIFICATE.kind:
            return tuple(self._set_certificate(ref.key, None))
        return tuple(self._set_issuer(ref.key, None))

    def read_client(self, raw: RawObject) -> ParsedClient:
        """The client with the labels that its namespace has now."""
        return read_client(raw, self._namespace_labels.get(raw["metadata"]["namespace"], {}), self._settings)

    def clients_of(self, endpoint: NamespacedName) -> tuple[ClientView, ...]:
        """Every client that names the endpoint, with its live keys."""
        named = sorted(self._named_by.get(endpoint, ()))
        return tuple(ClientView(self.clients[key], self.keys_of(self.clients[key])) for key in named)

    def keys_of(self, client: ParsedClient) -> tuple[LiveKey, ...]:
        """The live keys in the client's own Secret: by name, namespace and owner uid.

        While a Secret of the name is not there, those in its Secret of an earlier name, or else those that documents
        hold: a Secret that was renamed or deleted cuts nobody off.
        """
        named = self._stored_in(key_secret_name(client), client)
        if named is not None:
            return named.keys
        owned = self._key_secrets.get(client.key, ())
        earlier = {key: stored for key in owned if (stored := self._stored_in(key, client))}
        if earlier:
            return earlier[max(earlier, key=lambda key: (earlier[key].created_at, key))].keys
        return live_keys(read_ledger(None, client.status, self.document_keys_of(client.key)))

    def client_of_key(self, key_id: str) -> NamespacedName | None:
        """The client whose Secret has the key with this id."""
        return self._client_of.get(key_id)

    def issuers_of(self, endpoint: ParsedEndpoint) -> Mapping[NamespacedName, IssuerView]:
        """The issuers that the endpoint names, as far as they exist."""
        return {
            key: IssuerView(self.issuers[key], self._admits(self.issuers[key], endpoint.key.namespace))
            for key in named_issuers(endpoint)
            if key in self.issuers
        }

    def certificates_of(self, owner: ObjectRef) -> tuple[CertificateView, ...]:
        """The Certificates of cert-manager whose annotation names this owner, under this uid or an earlier one."""
        text = owner_text(owner)
        return tuple(each for each in self._certificates.values() if each.owner == text)

    def server_cas_of(self, client: ParsedClient) -> Mapping[NamespacedName, bytes]:
        """The CAs of other issuers whose certificates the client's endpoints show."""
        return {key: ca for key in _names(client) if (ca := self._server_ca(key))}

    def _server_ca(self, endpoint: NamespacedName) -> bytes:
        found, (uid, ca) = self.endpoints.get(endpoint), self._server_cas.get(endpoint, ("", b""))
        return ca if found is not None and found.metadata.uid == uid else b""

    def host_claims_of(self, endpoint: NamespacedName) -> tuple[HostClaim, ...]:
        """Other endpoints that claim one of its hosts."""
        own = hosts(self._settings, endpoint)
        keys = sorted({key for host in own for key in self._claims.get(host, ()) if key != endpoint})
        return tuple(host_claim(self.endpoints[key], self._settings) for key in keys if key in self.endpoints)

    def chains_before(self, endpoint: NamespacedName) -> int:
        """How many other endpoints have a filter chain, or are older and want one; 0 if this one has its chain."""
        subject = self.endpoints.get(endpoint)
        if subject is None or not asks_for_certificates(subject) or self._has_chain(endpoint):
            return 0
        having = {each.endpoint for each in self._documents.values() if each.has_chain}
        older = {key for key, each in self.endpoints.items() if asks_for_certificates(each) and is_older(each, subject)}
        return len(having | older)

    def _has_chain(self, endpoint: NamespacedName) -> bool:
        document = self._documents.get(self._document_secret(endpoint))
        return document is not None and document.has_chain

    def _requeue_waiting_for_chains(self) -> Iterator[Requeue]:
        """Those for which there may be room now."""
        for key, each in self.endpoints.items():
            if asks_for_certificates(each) and not self._has_chain(key):
                yield Requeue(each.ref)

    def documents_naming(self, client: NamespacedName) -> bool:
        """Whether any route document still contains a key of the client, or the identity in its certificate."""
        return bool(self._held_by.get(client))

    def document_keys_of(self, client: NamespacedName) -> tuple[DocumentKey, ...]:
        """The keys of the client in all route documents."""
        return tuple(
            key for secret in self._held_by.get(client, ()) for key in self._documents[secret].keys.get(client, ())
        )

    def documents_for(self, client: ParsedClient) -> tuple[DocumentView, ...]:
        """The route documents of the endpoints that the client names, and those that let it in."""
        named = {self._document_secret(endpoint) for endpoint in _names(client)}
        secrets = sorted(named | self._held_by.get(client.key, set()))
        return tuple(self._documents[secret] for secret in secrets if secret in self._documents)

    def document_keys(self, applied: Callable[[NamespacedName, int], bool]) -> tuple[DocumentKeys, ...]:
        """What some gateway may allow: by the route documents, and by those before one that is not applied everywhere.

        `applied`: whether all gateways have this document of an endpoint.
        """
        found = []
        for secret, each in self._documents.items():
            is_applied = applied(each.endpoint, each.sequence)
            if is_applied:
                self._replaced.pop(secret, None)
            found.append(self._allowed(secret, each, applied=is_applied))
        return tuple(found)

    def _allowed(self, secret: NamespacedName, newest: DocumentView, *, applied: bool) -> DocumentKeys:
        earlier = self._replaced.get(secret, DocumentKeys(frozenset(), applied))
        return DocumentKeys(newest.key_ids | earlier.keys, applied, newest.certified | earlier.certified)

    def good_standing(self) -> GoodStanding:
        """The clients that may call anything, with their live keys."""
        views = (ClientView(client, self.keys_of(client)) for client in self.clients.values())
        return good_standing(views, self.endpoints)

    def revoked_certificates(self) -> frozenset[RevokedCertificate]:
        """The certificates that clients revoke by their digest."""
        return revoked_certificates(self.clients.values())

    def unreadable_clients(self) -> frozenset[NamespacedName]:
        """The clients whose spec cannot be read."""
        return frozenset(key for key, client in self.clients.items() if client.spec is None)

    def owners_of_secrets(self) -> frozenset[ObjectRef]:
        """The owners of all Secrets of ours, whether they still exist or not: for the orphan sweep."""
        return frozenset(self._owners.values())

    def secrets_of(self, owner: ObjectRef) -> tuple[NamespacedName, ...]:
        """The Secrets whose annotation names this owner."""
        return tuple(sorted(key for key, found in self._owners.items() if found == owner))

    def refs(self) -> tuple[ObjectRef, ...]:
        """Every object that is reconciled: for the resync."""
        return (
            installation_ref(self._settings),
            revocations_ref(self._settings),
            *(ObjectRef(ENDPOINT, key) for key in self.endpoints),
            *(ObjectRef(CLIENT, key) for key in self.clients),
            *(ObjectRef(ISSUER, key) for key in self.issuers),
        )

    def _put_endpoint(self, key: NamespacedName, endpoint: ParsedEndpoint) -> Iterator[Requeue]:
        before = self.endpoints.get(key)
        self._set_trust(key, before, endpoint)
        self.endpoints[key] = endpoint
        for host in hosts(self._settings, key):
            self._claims[host].add(key)
        if before is not None and _revision(before) == _revision(endpoint):
            return
        yield Requeue(endpoint.ref, urgent=access_changed(before, endpoint))
        yield from self._requeue_clients_of(key)
        if before is not None and asks_for_certificates(before) and not asks_for_certificates(endpoint):
            yield from self._requeue_waiting_for_chains()

    def _drop_endpoint(self, key: NamespacedName) -> Iterator[Requeue]:
        before = self.endpoints.pop(key, None)
        self._set_trust(key, before, None)
        host_claims = self.host_claims_of(key)
        for host in hosts(self._settings, key):
            self._claims[host].discard(key)
        yield Requeue(ObjectRef(ENDPOINT, key), urgent=True)
        yield from (Requeue(ObjectRef(ENDPOINT, claim.endpoint)) for claim in host_claims)
        yield from self._requeue_clients_of(key)
        if before is not None and asks_for_certificates(before):
            yield from self._requeue_waiting_for_chains()

    def _set_trust(self, key: NamespacedName, before: ParsedEndpoint | None, now: ParsedEndpoint | None) -> None:
        """Also: the issuers that the endpoint names."""
        for secret in trust_secrets(before) if before else ():
            self._trusting[secret].discard(ObjectRef(ENDPOINT, key))
        for secret in trust_secrets(now) if now else ():
            self._trusting[secret].add(ObjectRef(ENDPOINT, key))
        for issuer in named_issuers(before) if before else ():
            self._taking[issuer].discard(key)
        for issuer in named_issuers(now) if now else ():
            self._taking[issuer].add(key)

    def _requeue_trusting(self, secret: NamespacedName) -> Iterator[Requeue]:
        """A CA may have left the Secret, which takes something away."""
        yield from (Requeue(ref, urgent=True) for ref in sorted(self._trusting.get(secret, ())))

    def _requeue_clients_of(self, endpoint: NamespacedName) -> Iterator[Requeue]:
        yield from (Requeue(ObjectRef(CLIENT, client)) for client in sorted(self._named_by.get(endpoint, ())))

    def _set_client(self, key: NamespacedName, client: ParsedClient | None) -> Iterator[Requeue]:
        before, granted = self.clients.get(key), self._granted_to(key)
        named = self._rename(key, before, client)
        if before is not None and client is not None and _revision(before) == _revision(client):
            return
        yield Requeue(ObjectRef(CLIENT, key))
        old, new = (revoked_certificates([each] if each else ()) for each in (before, client))
        if old != new:
            yield Requeue(revocations_ref(self._settings), urgent=bool(new - old))
        yield from self._requeue_for_grants(granted, self._granted_to(key), named)

    def _set_namespace_labels(self, namespace: str, labels: Mapping[str, str]) -> Iterator[Requeue]:
        """Requeue the namespace's clients that name an endpoint which lets clients in by these labels."""
        if labels == self._namespace_labels.get(namespace, {}):
            return
        self._namespace_labels[namespace] = labels
        for key, endpoint in self.endpoints.items():
            if key.namespace == namespace and any(map(self._selects, named_issuers(endpoint))):
                yield Requeue(endpoint.ref, urgent=True)
        for key in sorted(self._clients_in.get(namespace, ())):
            client = self.clients[key]
            touched = tuple(self._set_client(key, replace(client, namespace_labels=labels)))
            if any(self._selects_namespaces(endpoint) for endpoint in _names(client)):
                yield from touched

    def _selects_namespaces(self, endpoint: NamespacedName) -> bool:
        found = self.endpoints.get(endpoint)
        return found is not None and found.spec is not None and found.spec.access.allowed_namespaces.from_ == "Selector"

    def _rename(
        self, key: NamespacedName, before: ParsedClient | None, client: ParsedClient | None
    ) -> frozenset[NamespacedName]:
        """Replace the client. Returns the endpoints that the old or the new one names."""
        old, new = _names(before), _names(client)
        for endpoint in old:
            self._named_by[endpoint].discard(key)
        for endpoint in new:
            self._named_by[endpoint].add(key)
        if client is None:
            self.clients.pop(key, None)
            self._clients_in[key.namespace].discard(key)
        else:
            self.clients[key] = client
            self._clients_in[key.namespace].add(key)
        return old | new

    def _requeue_for_grants(
        self, before: GrantedPermissions, after: GrantedPermissions, endpoints: Iterable[NamespacedName]
    ) -> Iterator[Requeue]:
        """The revocations go before the endpoints, because one write refuses a key on all of them."""
        old, new = ({granted.credential for granted in each} for each in (before, after))
        if old != new:
            yield Requeue(revocations_ref(self._settings), urgent=bool(old - new))
        losing = losing_endpoints(before, after)
        yield from (Requeue(ObjectRef(ENDPOINT, each), urgent=each in losing) for each in sorted(endpoints))

    def _granted_to(self, key: NamespacedName) -> GrantedPermissions:
        client = self.clients.get(key)
        return granted_permissions(ClientView(client, self.keys_of(client)) if client else None, self.endpoints)

    def _put_secret(self, secret: SecretView) -> Iterator[Requeue]:
        if secret.use == names.USE_TRUST:
            yield from self._requeue_trusting(secret.key)
        owner = parse_owner(secret.owner)
        if owner is None:
            return
        self._owners[secret.key] = owner
        self._roles[secret.key] = secret.role
        if secret.role == names.ROLE_API_KEY and owner.kind == CLIENT:
            yield from self._set_key(secret.key, owner.key, secret)
        elif secret.key == _serving_cert(owner):
            yield from self._set_server_ca(owner, secret)
        elif secret.role == names.ROLE_ROUTE_DOCUMENT:
            if secret.key.namespace != self._settings.gateway_namespace:
                return
            yield from self._set_document(secret.key, secret)
            yield Requeue(owner)
        else:
            yield from self._requeue_owner(owner, secret.role)

    def _drop_secret(self, key: NamespacedName) -> Iterator[Requeue]:
        yield from self._requeue_trusting(key)
        owner, role = self._owners.pop(key, None), self._roles.pop(key, "")
        if owner is None:
            return
        if key in self._keys:
            yield from self._set_key(key, owner.key, None)
            return
        if key == _serving_cert(owner):
            yield from self._set_server_ca(owner, None)
            return
        yield from self._set_document(key, None)
        yield from self._requeue_owner(owner, role)

    def _set_server_ca(self, endpoint: ObjectRef, secret: SecretView | None) -> Iterator[Requeue]:
        """The clients' Secrets bring the CA along, so that callers know the endpoint by it."""
        before = self._server_cas.pop(endpoint.key, None)
        if secret is not None and secret.role == names.ROLE_SERVER_TLS:
            ca = secret.data.get(CA_CRT, b"")
            self._server_cas[endpoint.key] = (secret.owner_uid, ca if is_bundle(ca.decode(errors="replace")) else b"")
        yield Requeue(endpoint)
        if before != self._server_cas.get(endpoint.key):
            yield from self._requeue_clients_of(endpoint.key)

    def _set_certificate(self, key: NamespacedName, certificate: CertificateView | None) -> Iterator[Requeue]:
        before = self._certificates.pop(key, None)
        if certificate is not None:
            self._certificates[key] = certificate
        if before == certificate:
            return
        for owner in dict.fromkeys(parse_owner(each.owner) for each in (before, certificate) if each):
            if owner is not None and owner.kind in {ENDPOINT, CLIENT}:
                yield Requeue(owner)

    def _set_key(self, secret: NamespacedName, client: NamespacedName, view: SecretView | None) -> Iterator[Requeue]:
        if secret.namespace != client.namespace:
            return
        granted = self._granted_to(client)
        _, _, before = self._keys.get(secret, (None, "", None))
        for key in before.keys if before else ():
            self._client_of.pop(key.key_id, None)
        if view is None:
            self._keys.pop(secret, None)
            self._key_secrets[client].discard(secret)
        else:
            self._key_secrets[client].add(secret)
            self._keys[secret] = (client, view.owner_uid, stored_keys(view))
        for owned in self._key_secrets[client]:
            _, _, stored = self._keys[owned]
            self._client_of.update((key.key_id, client) for key in (stored.keys if stored else ()))
        yield Requeue(ObjectRef(CLIENT, client))
        yield from self._requeue_for_grants(granted, self._granted_to(client), _names(self.clients.get(client)))

    def _set_document(self, secret: NamespacedName, view: SecretView | None) -> Iterator[Requeue]:
        """Requeue the deleted clients whose keys left the document, and the clients whose keys entered it or whose
        certificates are judged by other CAs now."""
        removed = self._documents.pop(secret, None)
        before = set(removed.clients) if removed else set()
        document = read_document(view)
        if document is None:
            self._replaced.pop(secret, None)
        else:
            self._documents[secret] = _view_of(document)
            if removed is not None:
                self._replaced[secret] = self._allowed(secret, removed, applied=False)
        if removed is not None and removed.has_chain and not (document and accepts_certificates(document)):
            yield from self._requeue_waiting_for_chains()
        now = set(self._documents[secret].clients) if document else set()
        for client in before - now:
            self._held_by[client].discard(secret)
        for client in now - before:
            self._held_by[client].add(secret)
        gone = (before - now) - self.clients.keys()
        judged = self._judged_anew(removed, self._documents.get(secret))
        yield from (Requeue(ObjectRef(CLIENT, client)) for client in sorted(gone | (now - before) | judged))

    def _judged_anew(self, before: DocumentView | None, now: DocumentView | None) -> frozenset[NamespacedName]:
        """Our own certificates are trusted wherever they count."""
        if before is None or now is None or before.client_ca == now.client_ca:
            return frozenset()
        return frozenset(key for key in now.certified if _of_another_issuer(self.clients.get(key)))

    def _stored_in(self, secret: NamespacedName, client: ParsedClient) -> StoredKeys | None:
        owner, uid, stored = self._keys.get(secret, (None, "", None))
        return stored if owner == client.key and uid and uid == client.metadata.uid else None

    def _document_secret(self, endpoint: NamespacedName) -> NamespacedName:
        return NamespacedName(self._settings.gateway_namespace, names.route_document(endpoint))

    def _requeue_owner(self, owner: ObjectRef, role: str) -> Iterator[Requeue]:
        if role in _INSTALLATION_ROLES:
            yield Requeue(installation_ref(self._settings))
        elif role == names.ROLE_REVOCATIONS:
            yield Requeue(revocations_ref(self._settings))
        elif owner.kind in {ENDPOINT, CLIENT} or (owner.kind == ISSUER and role == names.ROLE_ISSUER_DOCUMENT):
            yield Requeue(owner)

    def _set_issuer(self, key: NamespacedName, issuer: ParsedIssuer | None) -> Iterator[Requeue]:
        """Endpoints follow what they say of it: whether it is there, admits them, and can verify tokens."""
        before = self.issuers.get(key)
        for each, change in ((before, set.discard), (issuer, set.add)):
            if each is not None and (secret := ca_secret(each)) is not None:
                change(self._trusting[secret], ObjectRef(ISSUER, key))
        if issuer is None:
            self.issuers.pop(key, None)
        else:
            self.issuers[key] = issuer
        if (_revision(before) if before else None) != (_revision(issuer) if issuer else None):
            # It may deny a token.
            yield Requeue(ObjectRef(ISSUER, key), urgent=True)
        if (_as_named(before) if before else None) != (_as_named(issuer) if issuer else None):
            yield from (Requeue(ObjectRef(ENDPOINT, each), urgent=True) for each in sorted(self._taking.get(key, ())))

    def _admits(self, issuer: ParsedIssuer, namespace: str) -> bool:
        """An issuer whose spec cannot be read goes on to admit whom it admitted."""
        if issuer.spec is None:
            return True
        labels = self._namespace_labels.get(namespace, {})
        return issuer.spec.allowed_namespaces.admit(namespace, own=issuer.key.namespace, labels=labels)

    def _selects(self, issuer: NamespacedName) -> bool:
        found = self.issuers.get(issuer)
        return found is not None and found.spec is not None and found.spec.allowed_namespaces.from_ == "Selector"


def _serving_cert(owner: ObjectRef) -> NamespacedName | None:
    if owner.kind != ENDPOINT:
        return None
    return NamespacedName(owner.key.namespace, names.serving_cert(owner.key))


def _view_of(document: RouteDocument) -> DocumentView:
    keys: defaultdict[NamespacedName, list[DocumentKey]] = defaultdict(list)
    for grant in document.keys:
        keys[grant.client].append(DocumentKey(grant.key_id, grant.sha256, grant.not_after))
    by_client = {client: tuple(each) for client, each in keys.items()}
    certified = frozenset(grant.client for grant in document.certificates if grant.client)
    has_chain = accepts_certificates(document)
    client_ca = document.client_ca if has_chain else ""
    return DocumentView(document.endpoint, document.sequence, by_client, certified, has_chain, client_ca)


def _names(client: ParsedClient | None) -> frozenset[NamespacedName]:
    """The endpoints in the spec, even of a suspended client: all of them are reconciled after a change."""
    return frozenset(named_endpoints(client)) if client else frozenset()


def _of_another_issuer(client: ParsedClient | None) -> bool:
    certificate = client.spec.certificate if client and client.spec else None
    return certificate is not None and certificate.issuer_ref is not None


def _as_named(issuer: ParsedIssuer) -> tuple[object, ...]:
    """What endpoints say of an issuer."""
    spec = issuer.spec
    ready = find(issuer.status.conditions, IssuerCondition.READY)
    return (
        issuer.metadata.uid,
        (spec.issuer, spec.allowed_namespaces) if spec else None,
        issuer.rejection is None,
        (ready.status, ready.reason) if ready else None,
        issuer.status.issuer,
    )


def _revision(subject: ParsedEndpoint | ParsedClient | ParsedIssuer) -> tuple[object, ...]:
    """Equal for two readings that differ in status alone, because a status that we wrote needs no reconcile."""
    metadata = subject.metadata
    return (
        metadata.uid,
        metadata.generation,
        metadata.deletion_timestamp,
        tuple(sorted(metadata.annotations.items())),
        subject.namespace_labels,
    )
