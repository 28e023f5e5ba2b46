"""One InferenceEndpoint: observe, plan, apply, write the status; and its removal."""

from dataclasses import dataclass, field, replace

from nightlatch.api import names
from nightlatch.api.meta import INFERENCE_ENDPOINT, SECRET, NamespacedName, ObjectRef
from nightlatch.controller.apply import Applier, Scaler, delete_secret
from nightlatch.controller.autoscaling.runtime_status import RuntimeStatus
from nightlatch.controller.context import Context
from nightlatch.controller.index import Index
from nightlatch.controller.issuing_ca import IssuingCA
from nightlatch.planning.endpoint.client_trust import trust_secrets
from nightlatch.planning.endpoint.plan import plan_endpoint
from nightlatch.planning.endpoint.scaling import decide_acceptance, desired_scaling
from nightlatch.planning.inputs import CertManagerView, Observed
from nightlatch.planning.parsed import ParsedEndpoint, read_endpoint
from nightlatch.planning.plan import DeleteCertificate, DocumentSequence
from nightlatch.planning.secrets import owner_text
from nightlatch.planning.settings import Settings
from nightlatch.workloads.protocol import CertificateError, WorkloadError


@dataclass(slots=True)
class EndpointReconciler:
    """workload_errors: what the platform said to the last `ensure`, by endpoint; refusals: likewise of its Certificate.
    They are the only state kept here."""

    context: Context
    applier: Applier
    index: Index
    issuing_ca: IssuingCA
    scaler: Scaler
    settings: Settings
    runtime_status: RuntimeStatus
    workload_errors: dict[NamespacedName, str] = field(default_factory=dict)
    refusals: dict[NamespacedName, str] = field(default_factory=dict)

    async def reconcile(self, key: NamespacedName) -> float | None:
        """Returns the seconds after which it must be reconciled again, None if only an event can cause that.

        Raises StoreError, PkiError, WorkloadError.
        """
        raw = await self.context.find(INFERENCE_ENDPOINT, key)
        if raw is None:
            await self._remove(key)
            return None
        endpoint = read_endpoint(raw, self.settings)
        observed = await self._observe(endpoint)
        wanted = plan_endpoint(endpoint, observed, self.context.clock())
        failures = await self.applier.apply(wanted)
        refused = next((str(failure) for failure in failures if isinstance(failure, CertificateError)), "")
        error = next((str(failure) for failure in failures if _is_of_the_workload(failure)), "")
        if (error, refused) != (observed.workload_error, observed.cert_manager.refusal):
            # The status of this reconcile, not of the next one, shows what the platform said.
            self.workload_errors[key], self.refusals[key] = error, refused
            cert_manager = replace(observed.cert_manager, refusal=refused)
            told = replace(observed, workload_error=error, cert_manager=cert_manager)
            wanted = replace(wanted, status=plan_endpoint(endpoint, told, self.context.clock()).status)
        if wanted.status is not None:
            await self.applier.write_status(raw, wanted.status)
        if failures:
            raise failures[0]
        return wanted.requeue_after

    def declare_scaling(self) -> None:
        """Declare every accepted endpoint of the index to the autoscaler.

        For the start of a leader: a call that is held already does not wait until the queue reaches its endpoint.
        """
        for key, endpoint in self.index.endpoints.items():
            accepted = decide_acceptance(
                endpoint, self.settings, self.index.host_claims_of(key), self.index.chains_before(key)
            )
            desired = desired_scaling(accepted)
            if desired is not None:
                self.scaler.declare(desired)

    async def _observe(self, endpoint: ParsedEndpoint) -> Observed:
        key = endpoint.key
        trust = {secret: await self.context.find_secret(secret) for secret in trust_secrets(endpoint)}
        return Observed(
            settings=self.settings,
            issuing_ca=self.issuing_ca.view(),
            document=await self.context.find_secret(self._document(key)),
            server_tls=await self.context.find_secret(self._server_tls(key)),
            upstream_tls=await self.context.find_secret(self._upstream_tls(key)),
            serving_cert=await self.context.find_secret(self._serving_cert(key)),
            cert_manager=CertManagerView(
                self.context.has_cert_manager, self.index.certificates_of(endpoint.ref), self.refusals.get(key, "")
            ),
            trust={secret: found for secret, found in trust.items() if found},
            clients=self.index.clients_of(key),
            issuers=self.index.issuers_of(endpoint),
            host_claims=self.index.host_claims_of(key),
            chains_before=self.index.chains_before(key),
            runtime=self.runtime_status.get(key),
            workload_error=self.workload_errors.get(key, ""),
        )

    async def _remove(self, key: NamespacedName) -> None:
        """The document goes first, because it carries the right to call."""
        self.scaler.forget(key)
        for certificate in self.index.certificates_of(ObjectRef(INFERENCE_ENDPOINT.kind, key)):
            await self.applier.act(DeleteCertificate(certificate.key, certificate.uid))
        for secret in (self._document(key), self._server_tls(key), self._upstream_tls(key), self._serving_cert(key)):
            found = await self.context.find_secret(secret)
            if found is not None and found.owner == owner_text(ObjectRef(INFERENCE_ENDPOINT.kind, key)):
                await delete_secret(self.context.store, ObjectRef(SECRET.kind, secret), found.revision)
        self.scaler.written(DocumentSequence(names.route_document(key), 0))
        await self.context.workloads.remove(key)
        self.workload_errors.pop(key, None)
        self.refusals.pop(key, None)

    def _document(self, key: NamespacedName) -> NamespacedName:
        return NamespacedName(self.settings.gateway_namespace, names.route_document(key))

    def _server_tls(self, key: NamespacedName) -> NamespacedName:
        return NamespacedName(self.settings.operator_namespace, names.server_tls(key))

    def _upstream_tls(self, key: NamespacedName) -> NamespacedName:
        return NamespacedName(key.namespace, names.upstream_tls(key))

    def _serving_cert(self, key: NamespacedName) -> NamespacedName:
        return NamespacedName(key.namespace, names.serving_cert(key))


def _is_of_the_workload(failure: Exception) -> bool:
    return isinstance(failure, WorkloadError) and not isinstance(failure, CertificateError)
