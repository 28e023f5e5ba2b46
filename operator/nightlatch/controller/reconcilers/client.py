"""One InferenceClient: its Secrets, its status, and its removal."""

from dataclasses import dataclass, field

from nightlatch.api import names
from nightlatch.api.meta import INFERENCE_CLIENT, SECRET, NamespacedName, ObjectRef
from nightlatch.controller.apply import Applier, delete_secret
from nightlatch.controller.autoscaling.runtime_status import RuntimeStatus
from nightlatch.controller.context import Context
from nightlatch.controller.index import Index
from nightlatch.controller.issuing_ca import IssuingCA
from nightlatch.planning.access.grants import requested_grants
from nightlatch.planning.access.programmed import certificate_coverage, key_coverage, may_still_accept
from nightlatch.planning.client.api_key import key_rules, key_secret_name
from nightlatch.planning.client.certificate import certificate_secret_name
from nightlatch.planning.client.plan import plan_client
from nightlatch.planning.inputs import CertManagerView, ObservedClient
from nightlatch.planning.parsed import ParsedClient
from nightlatch.planning.plan import DeleteCertificate
from nightlatch.planning.secrets import SecretView, owner_text
from nightlatch.planning.settings import Settings
from nightlatch.workloads.protocol import CertificateError

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
    # What cert-manager said to the last change of a client's Certificate.
    refusals: dict[NamespacedName, str] = field(default_factory=dict)

    async def reconcile(self, key: NamespacedName) -> float | None:
        raw = await self.context.find(INFERENCE_CLIENT, key)
        if raw is None:
            return await self._remove(key)
        client = self.index.read_client(raw)
        wanted = plan_client(client, await self._observe(client), self.context.clock(), self.context.random)
        failures = await self.applier.apply(wanted)
        # The status shows it after the next attempt, which comes soon: no plan is made twice, because it makes keys.
        refused = next((str(failure) for failure in failures if isinstance(failure, CertificateError)), "")
        changed = refused != self.refusals.get(key, "")
        self.refusals[key] = refused
        if wanted.status is not None:
            await self.applier.write_status(raw, wanted.status)
        if failures:
            raise failures[0]
        return 0.0 if changed else wanted.requeue_after

    async def _observe(self, client: ParsedClient) -> ObservedClient:
        named = requested_grants(client).keys()
        endpoints = {key: found for key in named if (found := self.index.endpoints.get(key))}
        wanted = key_secret_name(client)
        secret = await self.context.find_secret(wanted)
        owned = await self._owned(client.key)
        certificate = certificate_secret_name(client)
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
            others=tuple(each for each in owned if each.role == names.ROLE_API_KEY and each.key != wanted),
            tls=await self.context.find_secret(certificate) if certificate else None,
            other_tls=tuple(each for each in owned if each.role == names.ROLE_CLIENT_TLS and each.key != certificate),
            cert_manager=CertManagerView(
                self.context.has_cert_manager, self.index.certificates_of(client.ref), self.refusals.get(client.key, "")
            ),
            endpoints=endpoints,
            server_cas=self.index.server_cas_of(client),
            documents=self.index.document_keys_of(client.key),
            coverage=coverage,
            certificate_coverage=certificate_coverage(client, endpoints, documents, runtimes),
            client_cas={key: found.client_ca for key, found in documents.items() if found.client_ca},
            last_uses={key: used for key in coverage if (used := self.runtime_status.last_use(key)) is not None},
            revoking=may_still_accept(client.key, revoked, documents.values(), runtimes),
        )

    async def _remove(self, key: NamespacedName) -> float | None:
        """Delete the key's Secret once no route document contains the key, so that no Secret goes before its key.

        Certificates go first, or cert-manager would make their Secrets again.
        """
        if self.index.documents_naming(key):
            return _DOCUMENTS_PAUSE
        self.refusals.pop(key, None)
        for certificate in self.index.certificates_of(ObjectRef(INFERENCE_CLIENT.kind, key)):
            await self.applier.act(DeleteCertificate(certificate.key, certificate.uid))
        for found in await self._owned(key):
            await delete_secret(self.context.store, ObjectRef(SECRET.kind, found.key), found.revision)
        return None

    async def _owned(self, client: NamespacedName) -> tuple[SecretView, ...]:
        """The Secrets in the client's namespace whose annotation names the client, under this uid or an earlier one."""
        owner = ObjectRef(INFERENCE_CLIENT.kind, client)
        keys = [key for key in self.index.secrets_of(owner) if key.namespace == client.namespace]
        found = [await self.context.find_secret(key) for key in keys]
        return tuple(view for view in found if view is not None and view.owner == owner_text(owner))
