"""One TokenIssuer: its status."""

from dataclasses import dataclass

from nightlatch.api.meta import TOKEN_ISSUER, Key
from nightlatch.controller.apply import Applier
from nightlatch.controller.reading import find
from nightlatch.planning.issuer_plan import plan_issuer
from nightlatch.planning.reading import read_issuer


@dataclass(frozen=True, slots=True)
class IssuerReconciler:
    """See the module."""

    applier: Applier

    async def reconcile(self, key: Key) -> float | None:
        """As EndpointReconciler.reconcile."""
        raw = await find(self.applier.store, TOKEN_ISSUER, key)
        if raw is None:
            return None
        status = plan_issuer(read_issuer(raw), self.applier.clock()).status
        if status is not None:
            await self.applier.write_status(raw, status)
        return None
