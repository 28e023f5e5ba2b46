"""The installation's own PKI: root, issuing CA, and the leaves of the gateways and the operator."""

import logging
from dataclasses import dataclass

from nightlatch.controller.apply import Applier
from nightlatch.controller.context import Context
from nightlatch.controller.issuing_ca import IssuingCA
from nightlatch.pki import PkiError
from nightlatch.planning.installation.certificates import installation_leaves, issuing_secret, root_secret
from nightlatch.planning.installation.plan import ObservedInstallation, plan_installation
from nightlatch.planning.settings import Settings

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class PkiReconciler:
    """Observes the installation's Secrets, plans, and applies the plan."""

    context: Context
    applier: Applier
    issuing_ca: IssuingCA
    settings: Settings

    async def reconcile(self) -> tuple[bool, float | None]:
        """Returns whether the issuing CA is another one than before, and the seconds to the next renewal.

        Raises StoreError, and PkiError when the Secret of a CA is damaged or a Secret is not ours. An action that fails
        ends the reconcile, because the next one may depend on it.
        """
        before = self.issuing_ca.view()
        wanted = plan_installation(await self._observe(), self.context.clock())
        for action in (*wanted.apply, *wanted.delete):
            await self.applier.act(action)
        if wanted.warning:
            _log.warning("the PKI of the installation needs care", extra={"advice": wanted.warning})
        if wanted.refusal:
            raise PkiError(wanted.refusal)
        return self.issuing_ca.view() != before, wanted.requeue_after

    async def _observe(self) -> ObservedInstallation:
        leaves = [await self.context.find_secret(leaf.key) for leaf in installation_leaves(self.settings)]
        return ObservedInstallation(
            settings=self.settings,
            root=await self.context.find_secret(root_secret(self.settings)),
            issuing=await self.context.find_secret(issuing_secret(self.settings)),
            leaves={found.key: found for found in leaves if found},
        )
