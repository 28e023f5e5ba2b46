"""One TokenIssuer: its status."""

from dataclasses import dataclass

from nightlatch.api.meta import TOKEN_ISSUER, NamespacedName
from nightlatch.controller.apply import Applier
from nightlatch.controller.lookups import find
from nightlatch.planning.issuer.plan import plan_issuer
from nightlatch.planning.parsed import read_issuer


@dataclass(frozen=True, slots=True)
class IssuerReconciler:
    """See the module."""

    applier: Applier

    async def reconcile(self, key: NamespacedName) -> float | None:
        """As EndpointReconciler.reconcile."""
        raw = await find(self.applier.store, TOKEN_ISSUER, key)
        if raw is None:
            return None
        status = plan_issuer(read_issuer(raw), self.applier.clock()).status
        if status is not None:
            await self.applier.write_status(raw, status)
        return None
