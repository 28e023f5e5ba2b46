"""The gateway's Secrets: route documents, issuers, the revocations document and the gateway's own certificates.

The last good ones stay while the store is down; `age` says for how long nothing was heard from it. An endpoint whose
document becomes unreadable is denied; the others are not affected. The tokens of an issuer whose document becomes
unreadable cannot be verified. A document that is only too new for this gateway
denies if it took something away since the last good one, which otherwise stays.
"""

import base64
import binascii
import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

from nightlatch.api import names
from nightlatch.api.meta import SECRET, NamespacedName, RawObject
from nightlatch.informer import Informer, Timing
from nightlatch.pki.material import PkiError, TlsMaterial, is_bundle
from nightlatch.store.protocol import Store
from nightlatch.store.source import StoreSource
from nightlatch.wire import caller_errors
from nightlatch.wire.issuer_document import IssuerDocument, IssuerDocumentError, decode_issuer
from nightlatch.wire.revocations import Revocations, RevocationsError, decode_revocations
from nightlatch.wire.route_document import (
    FORMAT,
    TLS_CRT,
    TLS_KEY,
    UPSTREAM_CA,
    DocumentError,
    Envelope,
    RouteDocument,
    TooNewError,
    decode,
)

_log = logging.getLogger(__name__)

# What callers get, as in RouteDocument.denied.
UNREADABLE = caller_errors.POLICY_INVALID.code
# Seconds that a document may be late, and the longest pause between two lists while it is.
FIRST_RELIST, LONGEST_RELIST = 1.0, 30.0


@dataclass(frozen=True, slots=True)
class DocumentChanges:
    """Endpoints whose document appeared, changed or went, and whether certificates, revocations or issuers changed."""

    endpoints: frozenset[NamespacedName] = frozenset()
    tls: bool = False
    revocations: bool = False
    issuers: bool = False


class Documents:
    """`on_change` is called after each change, with the new state in place; `clock`: monotonic seconds.

    routes: what to enforce. unreadable: by Secret, why the newest document is not what is enforced.
    too_new: the Secrets of which that is so because this gateway is too old for them.
    never_read: endpoints that are denied because no document of theirs was of a format that this gateway reads.
    reads: the newest format of route documents to read.
    """

    def __init__(
        self,
        store: Store,
        namespace: str,
        on_change: Callable[[DocumentChanges], None],
        clock: Callable[[], float],
        reads: int = FORMAT,
    ) -> None:
        self.reads = reads
        self.routes: dict[NamespacedName, RouteDocument] = {}
        self.revocations = Revocations()
        self.issuers: dict[NamespacedName, IssuerDocument] = {}
        self.client_tls: TlsMaterial | None = None
        self.server_tls: TlsMaterial | None = None
        self.unreadable: dict[str, str] = {}
        self.too_new: set[str] = set()
        self.never_read: set[NamespacedName] = set()
        self._on_change = on_change
        self._informer = Informer(
            StoreSource(store, SECRET, namespace),
            self._changed,
            name=f"secrets in {namespace}",
            after=self._tell,
            timing=Timing(clock=clock),
        )
        self._clock = clock
        self._touched: set[NamespacedName] = set()
        self._tls_touched = False
        self._revocations_touched = False
        self._issuers_touched = False
        self._names: dict[str, NamespacedName] = {}
        # By Secret, as `_names` of endpoints.
        self._issuer_names: dict[str, NamespacedName] = {}
        self._last_good: dict[NamespacedName, RouteDocument] = {}
        # By Secret: the sequences that were read, and those that the leader knows of.
        self._sequences: dict[str, int] = {}
        self._expected: dict[str, int] = {}
        self._relist_at: float | None = None
        self._relist_pause = FIRST_RELIST

    @property
    def age(self) -> float:
        """Seconds since the watch last told something. A store that sends no bookmarks is deaf, not fresh."""
        return self._informer.age

    async def load(self) -> None:
        """List until the store answers."""
        await self._informer.load()

    def take(self, secrets: Iterable[RawObject]) -> None:
        """Take what one list holds, for whoever only looks. Nobody is told."""
        for secret in secrets:
            self._changed(NamespacedName.of(secret), secret)

    def sorted_issuers(self) -> tuple[IssuerDocument, ...]:
        """The issuers' documents, by name."""
        return tuple(self.issuers[key] for key in sorted(self.issuers))

    async def follow(self) -> None:
        """Keep up, without end."""
        await self._informer.run()

    def expect(self, sequences: Mapping[str, int], *, complete: bool) -> None:
        """The leader says which sequence of each document is the newest, 0 for one that was deleted."""
        if complete:
            self._expected.clear()
        self._expected.update(sequences)
        self.catch_up()

    def catch_up(self) -> None:
        """List again if what the leader expects has not arrived for a while: the watch may be deaf. Call it often."""
        if not self._is_behind():
            self._relist_at, self._relist_pause = None, FIRST_RELIST
            return
        now = self._clock()
        if self._relist_at is None:
            self._relist_at = now + self._relist_pause
        elif now >= self._relist_at:
            self._relist_pause = min(self._relist_pause * 2, LONGEST_RELIST)
            self._relist_at = now + self._relist_pause
            _log.warning("listing the documents again: the watch has missed one that the leader wrote")
            self._informer.relist()

    def _is_behind(self) -> bool:
        return any(
            (secret in self._sequences if wanted == 0 else self._sequences.get(secret, -1) < wanted)
            for secret, wanted in self._expected.items()
            # What cannot be read has no sequence that we know, and its endpoint is denied.
            if secret in self._sequences or secret not in self.unreadable
        )

    def _changed(self, key: NamespacedName, secret: RawObject | None) -> None:
        change = self._remove(key.name) if secret is None else self._take(secret)
        self._touched |= change.endpoints
        self._tls_touched |= change.tls
        self._revocations_touched |= change.revocations
        self._issuers_touched |= change.issuers

    def _tell(self) -> None:
        """Once for a whole list, since every call computes Envoy's configuration again."""
        changes = DocumentChanges(
            frozenset(self._touched), self._tls_touched, self._revocations_touched, self._issuers_touched
        )
        if changes != DocumentChanges():
            self._on_change(changes)
        # Not before: what could not be told is told after the next list.
        self._touched, self._tls_touched = set(), False
        self._revocations_touched = self._issuers_touched = False

    def _remove(self, name: str) -> DocumentChanges:
        key = self._names.pop(name, None)
        self.unreadable.pop(name, None)
        self.too_new.discard(name)
        self._sequences.pop(name, None)
        if name == names.REVOCATIONS_SECRET:
            # The operator never deletes it. Until it is back, what was revoked stays revoked.
            return DocumentChanges()
        if (issuer := self._issuer_names.pop(name, None)) is not None:
            return DocumentChanges(issuers=self.issuers.pop(issuer, None) is not None)
        if key is not None:
            self._last_good.pop(key, None)
            self.never_read.discard(key)
        if key is None or self.routes.pop(key, None) is None:
            return DocumentChanges()
        return DocumentChanges(frozenset({key}))

    def _take(self, secret: RawObject) -> DocumentChanges:
        name = secret["metadata"]["name"]
        labels: Mapping[str, str] = secret["metadata"].get("labels") or {}
        role = labels.get(names.LABEL_ROLE)
        try:
            if role == names.ROLE_ROUTE_DOCUMENT:
                changed = self._read_route(name, secret_data(secret))
            elif role == names.ROLE_REVOCATIONS and name == names.REVOCATIONS_SECRET:
                return self._read_revocations(secret_data(secret))
            elif role == names.ROLE_ISSUER_DOCUMENT:
                return self._read_issuer(name, secret_data(secret))
            elif role == names.ROLE_GATEWAY_TLS:
                changed = self._take_tls(name, _material(secret_data(secret)))
            else:
                return DocumentChanges()
        except DocumentError as error:
            _log.error("cannot read a Secret", extra={"secret": name, "error": str(error)})
            return self._deny(name, str(error))
        return changed

    def _read_route(self, name: str, data: Mapping[str, bytes]) -> DocumentChanges:
        try:
            document = decode(data, self.reads)
        except TooNewError as error:
            return self._keep_or_deny(name, error, data)
        problem = ""
        if document.upstream_ca and not is_bundle(document.upstream_ca):
            problem = f"{UPSTREAM_CA} is not a bundle of certificates; the newest good one of any endpoint stays"
            _log.error("a document has a damaged trust bundle", extra={"secret": name})
        return self._take_route(name, document.endpoint, document, document.sequence, problem)

    def _take_route(
        self, name: str, key: NamespacedName, document: RouteDocument, sequence: int, problem: str = ""
    ) -> DocumentChanges:
        """Enforce this document of the Secret. `problem`: why it is another one than the Secret holds."""
        if name != names.route_document(key):
            raise DocumentError(f"the document is of {key}, which another Secret must hold")
        same = self.routes.get(key) == document and self.unreadable.get(name, "") == problem
        self.too_new.discard(name)
        self._names[name] = key
        self._sequences[name] = sequence
        self.routes[key] = document
        if problem:
            self.unreadable[name] = problem
        else:
            self.unreadable.pop(name, None)
            self.never_read.discard(key)
            self._last_good[key] = document
        return DocumentChanges() if same else DocumentChanges(frozenset({key}))

    def _keep_or_deny(self, name: str, error: TooNewError, data: Mapping[str, bytes]) -> DocumentChanges:
        """The last good document stays if nothing was taken away since; else the new one's hosts answer 503."""
        envelope = error.envelope
        last_good = self._last_good.get(envelope.endpoint)
        if last_good and envelope.takes_away_since <= last_good.sequence:
            action, document = "the last good one stays", last_good
        else:
            action, document = "its calls are denied", _denied(envelope, data, last_good)
        problem = f"{error}; {action}"
        _log.error("a document is too new", extra={"secret": name, "error": problem})
        change = self._take_route(name, envelope.endpoint, document, envelope.sequence, problem)
        self.too_new.add(name)
        if last_good is None:
            self.never_read.add(envelope.endpoint)
        return change

    def _read_revocations(self, data: Mapping[str, bytes]) -> DocumentChanges:
        """Revocations that cannot be read leave those before in force: the route documents take away as well."""
        try:
            revocations = decode_revocations(data)
        except RevocationsError as error:
            self.unreadable[names.REVOCATIONS_SECRET] = str(error)
            self._sequences.pop(names.REVOCATIONS_SECRET, None)
            _log.error("cannot read the revocations", extra={"error": str(error)})
            return DocumentChanges()
        self.unreadable.pop(names.REVOCATIONS_SECRET, None)
        self._sequences[names.REVOCATIONS_SECRET] = revocations.sequence
        before, self.revocations = self.revocations, revocations
        return DocumentChanges(revocations=before != revocations)

    def _read_issuer(self, name: str, data: Mapping[str, bytes]) -> DocumentChanges:
        """What cannot be read verifies nothing. It may deny tokens, so the one before does not stay."""
        try:
            document = _issuer(name, data)
        except IssuerDocumentError as error:
            self.unreadable[name] = str(error)
            self._sequences.pop(name, None)
            _log.error("cannot read an issuer", extra={"secret": name, "error": str(error)})
            known = self._issuer_names.get(name)
            return DocumentChanges(issuers=known is not None and self.issuers.pop(known, None) is not None)
        self.unreadable.pop(name, None)
        self._issuer_names[name] = document.issuer
        self._sequences[name] = document.sequence
        before, self.issuers[document.issuer] = self.issuers.get(document.issuer), document
        return DocumentChanges(issuers=before != document)

    def _deny(self, name: str, error: str) -> DocumentChanges:
        """A document that cannot be read may be a revocation, so the endpoint is denied until it can be read again."""
        self.unreadable[name] = error
        self.too_new.discard(name)
        self._sequences.pop(name, None)
        key = self._names.get(name)
        if key is None or self.routes[key].denied == UNREADABLE:
            return DocumentChanges()
        self.routes[key] = replace(self.routes[key], denied=UNREADABLE)
        return DocumentChanges(frozenset({key}))

    def _take_tls(self, name: str, material: TlsMaterial) -> DocumentChanges:
        before = (self.client_tls, self.server_tls)
        if name == names.GATEWAY_CLIENT_TLS_SECRET:
            self.client_tls = material
        elif name == names.GATEWAY_SERVER_TLS_SECRET:
            self.server_tls = material
        return DocumentChanges(tls=(self.client_tls, self.server_tls) != before)


def _denied(envelope: Envelope, data: Mapping[str, bytes], last_good: RouteDocument | None) -> RouteDocument:
    """What can be enforced of a document that is too new: its hosts, and that nobody may call.

    The cluster of the last good document stays, because Envoy does not let go of its trust while calls are under way.
    """
    base = last_good or RouteDocument(envelope.endpoint, "", 0, (), (), "")
    return replace(
        base,
        sequence=envelope.sequence,
        takes_away_since=envelope.takes_away_since,
        hosts=envelope.hosts,
        created=envelope.created,
        keys=(),
        denied=UNREADABLE,
        server_certificate=data.get(TLS_CRT, b"").decode("ascii", "replace"),
        server_private_key=data.get(TLS_KEY, b"").decode("ascii", "replace"),
    )


def secret_data(secret: RawObject) -> dict[str, bytes]:
    """The entries of a Secret, decoded. Raises DocumentError."""
    try:
        return {k: base64.b64decode(v, validate=True) for k, v in (secret.get("data") or {}).items()}
    except (binascii.Error, ValueError, TypeError):
        raise DocumentError("the Secret's data is not base64") from None


def _issuer(name: str, data: Mapping[str, bytes]) -> IssuerDocument:
    document = decode_issuer(data)
    if name != names.issuer_document(document.issuer):
        raise IssuerDocumentError(f"the document is of {document.issuer}, which another Secret must hold")
    return document


def _material(data: Mapping[str, bytes]) -> TlsMaterial:
    try:
        return TlsMaterial.of_secret(data)
    except PkiError as error:
        raise DocumentError(str(error)) from None
