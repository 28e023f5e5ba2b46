"""One InferenceClient: its key Secret and status; and its end."""

from dataclasses import dataclass

from nightlatch.api.meta import INFERENCE_CLIENT, SECRET, Key, ObjectRef
from nightlatch.controller.apply import Applier, delete_secret
from nightlatch.controller.authority import AuthorityHolder
from nightlatch.controller.index import Index
from nightlatch.controller.reading import find, find_secret
from nightlatch.planning.client_key import live_key, secret_key
from nightlatch.planning.client_plan import plan_client
from nightlatch.planning.grants import Ask, asks_for, refusal
from nightlatch.planning.key_grants import unrevoked
from nightlatch.planning.observed import ClientSubject, ClientView, LiveKey, ObservedClient, SecretView, owner_text
from nightlatch.planning.reading import read_client
from nightlatch.planning.settings import Settings
from nightlatch.scaling.board import WakeBoard

# How soon to look again whether the keys of a deleted client have left the documents.
_DOCUMENTS_PAUSE = 0.5


@dataclass(frozen=True, slots=True)
class ClientReconciler:
    """See the module."""

    applier: Applier
    index: Index
    authority: AuthorityHolder
    settings: Settings
    board: WakeBoard

    async def reconcile(self, key: Key) -> float | None:
        """As EndpointReconciler.reconcile."""
        raw = await find(self.applier.store, INFERENCE_CLIENT, key)
        if raw is None:
            return await self._remove(key)
        client = read_client(raw)
        wanted = plan_client(client, await self._observe(client), self.applier.clock())
        failures = await self.applier.apply(wanted)
        if wanted.status is not None:
            await self.applier.write_status(raw, wanted.status)
        if failures:
            raise failures[0]
        return wanted.requeue_after

    async def _observe(self, client: ClientSubject) -> ObservedClient:
        named = {key for key, _ in asks_for(client)}
        wanted = secret_key(client)
        secret = await find_secret(self.applier.store, wanted)
        missing, behind = self._not_in_force(client, live_key(secret) if secret else None)
        return ObservedClient(
            settings=self.settings,
            authority=self.authority.view(),
            secret=secret,
            others=tuple(found for found in await self._owned(client.key) if found.key != wanted),
            endpoints={key: found for key in named if (found := self.index.endpoints.get(key))},
            missing=missing,
            behind=behind,
        )

    def _not_in_force(self, client: ClientSubject, live: LiveKey | None) -> tuple[tuple[Key, ...], tuple[Key, ...]]:
        """As ObservedClient's `missing` and `behind`."""
        if live is None or not unrevoked(ClientView(client, (live,))):
            return (), ()
        asks = (Ask(client, key, self.index.endpoints.get(key)) for key, _ in asks_for(client))
        granted = [ask.named for ask in asks if refusal(ask) is None]
        sequences = {key: self.index.sequence_with(key, live.sha256) for key in granted}
        missing = tuple(key for key, sequence in sequences.items() if sequence is None)
        behind = tuple(
            key for key, sequence in sequences.items() if sequence and not self.board.get(key).has_applied(sequence)
        )
        return missing, behind

    async def _remove(self, key: Key) -> float | None:
        """The key leaves every document before its Secret goes: nobody can lose the text and still be let in."""
        if self.index.documents_naming(key):
            return _DOCUMENTS_PAUSE
        for found in await self._owned(key):
            await delete_secret(self.applier.store, ObjectRef(SECRET.kind, found.key), found.revision)
        return None

    async def _owned(self, client: Key) -> tuple[SecretView, ...]:
        """Secrets in the client's namespace that say they are its own, of whichever generation."""
        owner = ObjectRef(INFERENCE_CLIENT.kind, client)
        keys = [key for key in self.index.secrets_of(owner) if key.namespace == client.namespace]
        found = [await find_secret(self.applier.store, key) for key in keys]
        return tuple(view for view in found if view is not None and view.owner == owner_text(owner))
