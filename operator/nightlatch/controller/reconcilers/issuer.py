"""One TokenIssuer: observe, plan, apply, write the status; and its removal. Its keys are fetched elsewhere."""

from dataclasses import dataclass

from nightlatch.api import names
from nightlatch.api.duration import parse_duration
from nightlatch.api.meta import SECRET, TOKEN_ISSUER, NamespacedName, ObjectRef
from nightlatch.controller.apply import Applier, delete_secret
from nightlatch.controller.context import Context
from nightlatch.controller.issuer_keys.key_sets import KeySets
from nightlatch.planning.issuer.key_source import Fetched, ObservedIssuer, ca_secret, key_source
from nightlatch.planning.issuer.plan import plan_issuer
from nightlatch.planning.parsed import ParsedIssuer, read_issuer
from nightlatch.planning.plan import DocumentSequence
from nightlatch.planning.secrets import SecretView, owner_text
from nightlatch.planning.settings import Settings


@dataclass(frozen=True, slots=True)
class IssuerReconciler:
    context: Context
    applier: Applier
    settings: Settings
    key_sets: KeySets

    async def reconcile(self, key: NamespacedName) -> float | None:
        """Returns the seconds after which it must be reconciled again, None if only an event can cause that.

        Raises StoreError.
        """
        raw = await self.context.find(TOKEN_ISSUER, key)
        if raw is None:
            await self._remove(key)
            return None
        issuer = read_issuer(raw, self.settings)
        named = ca_secret(issuer)
        ca = await self.context.find_secret(named) if named else None
        observed = ObservedIssuer(
            self.settings, await self.context.find_secret(self._document(key)), ca, self._fetched(issuer, ca)
        )
        wanted = plan_issuer(issuer, observed, self.context.clock())
        failures = await self.applier.apply(wanted)
        if wanted.status is not None:
            await self.applier.write_status(raw, wanted.status)
        if failures:
            raise failures[0]
        return wanted.requeue_after

    def _fetched(self, issuer: ParsedIssuer, ca: SecretView | None) -> Fetched | None:
        source = key_source(issuer, ca, self.settings, self.context.clock())
        refresh = parse_duration(issuer.spec.refresh) if issuer.spec else 0.0
        return self.key_sets.want(issuer.key, source, refresh)

    async def _remove(self, key: NamespacedName) -> None:
        self.key_sets.want(key, None, 0.0)
        found = await self.context.find_secret(self._document(key))
        if found is not None and found.owner == owner_text(ObjectRef(TOKEN_ISSUER.kind, key)):
            await delete_secret(self.context.store, ObjectRef(SECRET.kind, found.key), found.revision)
        self.applier.scaler.written(DocumentSequence(names.issuer_document(key), 0))

    def _document(self, key: NamespacedName) -> NamespacedName:
        return NamespacedName(self.settings.gateway_namespace, names.issuer_document(key))
