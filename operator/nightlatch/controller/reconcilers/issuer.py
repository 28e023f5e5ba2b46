"""One TokenIssuer: its status."""

from dataclasses import dataclass

from nightlatch.api.meta import TOKEN_ISSUER, NamespacedName
from nightlatch.controller.apply import Applier
from nightlatch.controller.context import Context
from nightlatch.planning.issuer.plan import plan_issuer
from nightlatch.planning.parsed import read_issuer


@dataclass(frozen=True, slots=True)
class IssuerReconciler:
    context: Context
    applier: Applier

    async def reconcile(self, key: NamespacedName) -> float | None:
        raw = await self.context.find(TOKEN_ISSUER, key)
        if raw is None:
            return None
        status = plan_issuer(read_issuer(raw), self.context.clock()).status
        if status is not None:
            await self.applier.write_status(raw, status)
        return None
