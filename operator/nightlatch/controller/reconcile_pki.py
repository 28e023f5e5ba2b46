"""The installation's own PKI: root, issuing authority, and the leaves of gateways and operator."""

from dataclasses import dataclass
from datetime import datetime

from nightlatch.api import names
from nightlatch.api.meta import SECRET, Key, ObjectRef
from nightlatch.controller.apply import Applier
from nightlatch.controller.authority import AuthorityHolder
from nightlatch.controller.reading import find_secret
from nightlatch.pki import Authority, PkiError, authority_material, new_issuing, new_root, read_authority
from nightlatch.planning.actions import Child, PutSecret
from nightlatch.planning.installation import (
    installation_leaves,
    installation_owner,
    is_issuing_due,
    issuing_secret,
    root_secret,
)
from nightlatch.planning.leaves import TLS_SECRET, LeafDecision, decide_leaf
from nightlatch.planning.observed import SecretView
from nightlatch.planning.settings import Settings


@dataclass(frozen=True, slots=True)
class PkiReconciler:
    """See the module. An authority's key is never overwritten but by its own planned successor."""

    applier: Applier
    authority: AuthorityHolder
    settings: Settings

    async def reconcile(self) -> tuple[bool, float | None]:
        """Whether the issuing authority is another one than before, and seconds to the next renewal.

        Raises StoreError, and PkiError when a Secret of an authority is damaged or not ours.
        """
        root = await self._root()
        changed = self.authority.put(await self._issuing(root))
        decisions = [await self._leaf(decision) for decision in await self._decide()]
        waits = [(due - self.applier.clock()).total_seconds() for due in decisions if due]
        return changed, max(0.0, min(waits)) if waits else None

    async def _root(self) -> Authority:
        key = root_secret(self.settings)
        found = await find_secret(self.applier.store, key)
        if found is not None:
            return self._read(found)
        root = new_root(now=self.applier.clock(), duration=self.settings.root_duration, random=self.applier.random)
        await self._keep(key, root, None)
        return root

    async def _issuing(self, root: Authority) -> Authority:
        key, now = issuing_secret(self.settings), self.applier.clock()
        found = await find_secret(self.applier.store, key)
        issuing = self._read(found) if found else None
        if issuing is not None and not is_issuing_due(issuing, root, now):
            return issuing
        duration, random = self.settings.issuing_duration, self.applier.random
        successor = new_issuing(root, now=now, duration=duration, random=random)
        await self._keep(key, successor, found)
        return successor

    async def _decide(self) -> list[LeafDecision]:
        store, now = self.applier.store, self.applier.clock()
        return [
            decide_leaf(wanted, await find_secret(store, wanted.key), self.authority.view(), now)
            for wanted in installation_leaves(self.settings)
        ]

    async def _leaf(self, decision: LeafDecision) -> datetime | None:
        if decision.taken:
            raise PkiError(_not_ours(decision.wanted.key))
        for action in (decision.delete, decision.issue):
            if action is not None:
                await self.applier.act(action)
        return None if decision.issue else decision.renew_at

    def _read(self, found: SecretView) -> Authority:
        if not found.is_of(installation_owner(self.settings), names.ROLE_CA):
            raise PkiError(_not_ours(found.key))
        try:
            return read_authority(found.data)
        except PkiError as error:
            ref = ObjectRef(SECRET.kind, found.key)
            message = f"{ref} is damaged ({error}): restore it, or delete it to start a new authority"
            raise PkiError(message) from error

    async def _keep(self, key: Key, authority: Authority, found: SecretView | None) -> None:
        child = Child(key, names.ROLE_CA, installation_owner(self.settings), TLS_SECRET)
        data = authority_material(authority).secret_data()
        await self.applier.act(PutSecret(child, data, found.revision if found else None))


def _not_ours(key: Key) -> str:
    return f"Secret {key} exists and is not ours: rename or delete it"
