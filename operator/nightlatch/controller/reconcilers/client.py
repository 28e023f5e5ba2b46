"""One InferenceClient: its key Secret, its status, and its removal."""

from dataclasses import dataclass

from nightlatch.api.meta import INFERENCE_CLIENT, SECRET, NamespacedName, ObjectRef
from nightlatch.controller.apply import Applier, delete_secret
from nightlatch.controller.autoscaling.runtime_status import RuntimeStatus
from nightlatch.controller.context import Context
from nightlatch.controller.index import Index
from nightlatch.controller.issuing_ca import IssuingCA
from nightlatch.planning.access.grants import requested_grants
from nightlatch.planning.access.programmed import key_coverage, may_still_accept
from nightlatch.planning.client.api_key import key_rules, key_secret_name
from nightlatch.planning.client.plan import plan_client
from nightlatch.planning.inputs import ObservedClient
from nightlatch.planning.parsed import ParsedClient
from nightlatch.planning.secrets import SecretView, owner_text
from nightlatch.planning.settings import Settings

# Seconds until the next look whether the keys of a deleted client have left the route documents.
_DOCUMENTS_PAUSE = 0.5


@dataclass(frozen=True, slots=True)
class ClientReconciler:
    context: Context
    applier: Applier
    index: Index
    issuing_ca: IssuingCA
    settings: Settings
    runtime_status: RuntimeStatus

    async def reconcile(self, key: NamespacedName) -> float | None:
        raw = await self.context.find(INFERENCE_CLIENT, key)
        if raw is None:
            return await self._remove(key)
        client = self.index.read_client(raw)
        wanted = plan_client(client, await self._observe(client), self.context.clock(), self.context.random)
        failures = await self.applier.apply(wanted)
        if wanted.status is not None:
            await self.applier.write_status(raw, wanted.status)
        if failures:
            raise failures[0]
        return wanted.requeue_after

    async def _observe(self, client: ParsedClient) -> ObservedClient:
        named = requested_grants(client).keys()
        endpoints = {key: found for key in named if (found := self.index.endpoints.get(key))}
        wanted = key_secret_name(client)
        secret = await self.context.find_secret(wanted)
        others = tuple(found for found in await self._owned(client.key) if found.key != wanted)
        documents = {document.endpoint: document for document in self.index.documents_for(client)}
        runtimes = {key: self.runtime_status.get(key) for key in documents}
        coverage = {
            live.key_id: key_coverage(client, live, endpoints, documents, runtimes)
            for live in self.index.keys_of(client)
        }
        suspended = client.spec is not None and client.spec.suspend
        revoked = None if suspended else key_rules(client).revoked
        return ObservedClient(
            settings=self.settings,
            issuing_ca=self.issuing_ca.view(),
            secret=secret,
            others=others,
            endpoints=endpoints,
            documents=self.index.document_keys_of(client.key),
            coverage=coverage,
            last_uses={key: used for key in coverage if (used := self.runtime_status.last_use(key)) is not None},
            revoking=may_still_accept(client.key, revoked, documents.values(), runtimes),
        )

    async def _remove(self, key: NamespacedName) -> float | None:
        """Delete the key's Secret once no route document contains the key, so that no Secret goes before its key."""
        if self.index.documents_naming(key):
            return _DOCUMENTS_PAUSE
        for found in await self._owned(key):
            await delete_secret(self.context.store, ObjectRef(SECRET.kind, found.key), found.revision)
        return None

    async def _owned(self, client: NamespacedName) -> tuple[SecretView, ...]:
        """The Secrets in the client's namespace whose annotation names the client, under this uid or an earlier one."""
        owner = ObjectRef(INFERENCE_CLIENT.kind, client)
        keys = [key for key in self.index.secrets_of(owner) if key.namespace == client.namespace]
        found = [await self.context.find_secret(key) for key in keys]
        return tuple(view for view in found if view is not None and view.owner == owner_text(owner))
