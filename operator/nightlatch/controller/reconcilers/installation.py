"""The installation's own PKI: root, issuing authority, and the leaves of gateways and operator."""

from dataclasses import dataclass
from datetime import datetime

from nightlatch.api import names
from nightlatch.api.meta import SECRET, NamespacedName, ObjectRef
from nightlatch.controller.apply import Applier
from nightlatch.controller.context import Context
from nightlatch.controller.issuing_ca import IssuingCA
from nightlatch.pki import CertificateAuthority, PkiError, authority_material, new_issuing, new_root, read_authority
from nightlatch.planning.installation.certificates import (
    installation_leaves,
    installation_owner,
    is_issuing_due,
    issuing_secret,
    root_secret,
)
from nightlatch.planning.leaves import TLS_SECRET, LeafDecision, decide_leaf
from nightlatch.planning.plan import OwnedSecret, PutSecret
from nightlatch.planning.secrets import SecretView
from nightlatch.planning.settings import Settings


@dataclass(frozen=True, slots=True)
class PkiReconciler:
    """See the module. An authority's key is never overwritten but by its own planned successor."""

    context: Context
    applier: Applier
    issuing_ca: IssuingCA
    settings: Settings

    async def reconcile(self) -> tuple[bool, float | None]:
        """Whether the issuing authority is another one than before, and seconds to the next renewal.

        Raises StoreError, and PkiError when a Secret of an authority is damaged or not ours.
        """
        root = await self._root()
        changed = self.issuing_ca.put(await self._issuing(root))
        decisions = [await self._leaf(decision) for decision in await self._decide()]
        waits = [(due - self.context.clock()).total_seconds() for due in decisions if due]
        return changed, max(0.0, min(waits)) if waits else None

    async def _root(self) -> CertificateAuthority:
        key = root_secret(self.settings)
        found = await self.context.find_secret(key)
        if found is not None:
            return self._read(found)
        root = new_root(now=self.context.clock(), duration=self.settings.root_duration, random=self.context.random)
        await self._keep(key, root, None)
        return root

    async def _issuing(self, root: CertificateAuthority) -> CertificateAuthority:
        key, now = issuing_secret(self.settings), self.context.clock()
        found = await self.context.find_secret(key)
        issuing = self._read(found) if found else None
        if issuing is not None and not is_issuing_due(issuing, root, now):
            return issuing
        duration, random = self.settings.issuing_duration, self.context.random
        successor = new_issuing(root, now=now, duration=duration, random=random)
        await self._keep(key, successor, found)
        return successor

    async def _decide(self) -> list[LeafDecision]:
        now = self.context.clock()
        return [
            decide_leaf(wanted, await self.context.find_secret(wanted.key), self.issuing_ca.view(), now)
            for wanted in installation_leaves(self.settings)
        ]

    async def _leaf(self, decision: LeafDecision) -> datetime | None:
        if decision.taken:
            raise PkiError(_not_ours(decision.wanted.key))
        for action in (decision.delete, decision.issue):
            if action is not None:
                await self.applier.act(action)
        return None if decision.issue else decision.renew_at

    def _read(self, found: SecretView) -> CertificateAuthority:
        if not found.is_of(installation_owner(self.settings), names.ROLE_CA):
            raise PkiError(_not_ours(found.key))
        try:
            return read_authority(found.data)
        except PkiError as error:
            ref = ObjectRef(SECRET.kind, found.key)
            message = f"{ref} is damaged ({error}): restore it, or delete it to start a new authority"
            raise PkiError(message) from error

    async def _keep(self, key: NamespacedName, issuing_ca: CertificateAuthority, found: SecretView | None) -> None:
        target = OwnedSecret(key, names.ROLE_CA, installation_owner(self.settings), TLS_SECRET)
        data = authority_material(issuing_ca).secret_data()
        await self.applier.act(PutSecret(target, data, found.revision if found else None))


def _not_ours(key: NamespacedName) -> str:
    return f"Secret {key} exists and is not ours: rename or delete it"
