"""One InferenceClient: its key Secret and status; and its end."""

from dataclasses import dataclass

from nightlatch.api.meta import INFERENCE_CLIENT, SECRET, NamespacedName, ObjectRef
from nightlatch.controller.apply import Applier, delete_secret
from nightlatch.controller.autoscaling.runtime_status import RuntimeStatus
from nightlatch.controller.context import Context
from nightlatch.controller.index import Index
from nightlatch.controller.issuing_ca import IssuingCA
from nightlatch.planning.access.api_keys import unrevoked
from nightlatch.planning.access.grants import GrantRequest, refusal, requested_grants
from nightlatch.planning.client.api_key import key_secret_name, live_key
from nightlatch.planning.client.plan import plan_client
from nightlatch.planning.inputs import ClientView, LiveKey, ObservedClient
from nightlatch.planning.parsed import ParsedClient, read_client
from nightlatch.planning.secrets import SecretView, owner_text
from nightlatch.planning.settings import Settings

# How soon to look again whether the keys of a deleted client have left the documents.
_DOCUMENTS_PAUSE = 0.5


@dataclass(frozen=True, slots=True)
class ClientReconciler:
    """See the module."""

    context: Context
    applier: Applier
    index: Index
    issuing_ca: IssuingCA
    settings: Settings
    runtime_status: RuntimeStatus

    async def reconcile(self, key: NamespacedName) -> float | None:
        """As EndpointReconciler.reconcile."""
        raw = await self.context.find(INFERENCE_CLIENT, key)
        if raw is None:
            return await self._remove(key)
        client = read_client(raw)
        wanted = plan_client(client, await self._observe(client), self.context.clock())
        failures = await self.applier.apply(wanted)
        if wanted.status is not None:
            await self.applier.write_status(raw, wanted.status)
        if failures:
            raise failures[0]
        return wanted.requeue_after

    async def _observe(self, client: ParsedClient) -> ObservedClient:
        named = {key for key, _ in requested_grants(client)}
        wanted = key_secret_name(client)
        secret = await self.context.find_secret(wanted)
        missing, behind = self._not_in_force(client, live_key(secret) if secret else None)
        return ObservedClient(
            settings=self.settings,
            issuing_ca=self.issuing_ca.view(),
            secret=secret,
            others=tuple(found for found in await self._owned(client.key) if found.key != wanted),
            endpoints={key: found for key in named if (found := self.index.endpoints.get(key))},
            missing=missing,
            behind=behind,
        )

    def _not_in_force(
        self, client: ParsedClient, live: LiveKey | None
    ) -> tuple[tuple[NamespacedName, ...], tuple[NamespacedName, ...]]:
        """As ObservedClient's `missing` and `behind`."""
        if live is None or not unrevoked(ClientView(client, (live,))):
            return (), ()
        requests = (GrantRequest(client, key, self.index.endpoints.get(key)) for key, _ in requested_grants(client))
        granted = [request.named for request in requests if refusal(request) is None]
        sequences = {key: self.index.sequence_with(key, live.sha256) for key in granted}
        missing = tuple(key for key, sequence in sequences.items() if sequence is None)
        behind = tuple(
            key
            for key, sequence in sequences.items()
            if sequence and not self.runtime_status.get(key).has_applied(sequence)
        )
        return missing, behind

    async def _remove(self, key: NamespacedName) -> float | None:
        """The key leaves every document before its Secret goes: nobody can lose the text and still be let in."""
        if self.index.documents_naming(key):
            return _DOCUMENTS_PAUSE
        for found in await self._owned(key):
            await delete_secret(self.context.store, ObjectRef(SECRET.kind, found.key), found.revision)
        return None

    async def _owned(self, client: NamespacedName) -> tuple[SecretView, ...]:
        """Secrets in the client's namespace that say they are its own, of whichever generation."""
        owner = ObjectRef(INFERENCE_CLIENT.kind, client)
        keys = [key for key in self.index.secrets_of(owner) if key.namespace == client.namespace]
        found = [await self.context.find_secret(key) for key in keys]
        return tuple(view for view in found if view is not None and view.owner == owner_text(owner))
