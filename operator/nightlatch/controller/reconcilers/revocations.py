"""The gateway-wide revocations document."""

from dataclasses import dataclass

from nightlatch.api.meta import NamespacedName
from nightlatch.controller.apply import Applier
from nightlatch.controller.autoscaling.runtime_status import RuntimeStatus
from nightlatch.controller.context import Context
from nightlatch.controller.index import Index
from nightlatch.planning.installation.revocations import ObservedRevocations, plan_revocations
from nightlatch.planning.settings import Settings
from nightlatch.store.protocol import StoreError


@dataclass(frozen=True, slots=True)
class RevocationsReconciler:
    context: Context
    applier: Applier
    index: Index
    settings: Settings
    runtime_status: RuntimeStatus

    async def reconcile(self, secret: NamespacedName) -> float | None:
        """Returns the seconds after which entries may leave. Raises StoreError."""
        observed = ObservedRevocations(
            self.settings,
            await self.context.find_secret(secret),
            self.index.document_keys(self._is_applied),
            self.index.good_standing(),
            self.index.revoked_certificates(),
            self.index.unreadable_clients(),
        )
        wanted = plan_revocations(observed, self.context.clock())
        if wanted.refusal:
            raise StoreError(wanted.refusal)
        if failures := await self.applier.apply(wanted):
            raise failures[0]
        return wanted.requeue_after

    def _is_applied(self, endpoint: NamespacedName, sequence: int) -> bool:
        """A gateway that does not report may have an older document."""
        runtime = self.runtime_status.get(endpoint)
        return runtime.has_applied(sequence) and not runtime.disconnected
