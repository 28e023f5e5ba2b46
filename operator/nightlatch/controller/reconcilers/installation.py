"""The installation's own PKI: root, issuing CA, and the leaves of the gateways and the operator."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from nightlatch.api import names
from nightlatch.api.meta import SECRET, NamespacedName
from nightlatch.controller.apply import Applier
from nightlatch.controller.context import Context
from nightlatch.controller.issuing_ca import IssuingCA
from nightlatch.pki import PkiError
from nightlatch.planning.installation.certificates import installation_leaves
from nightlatch.planning.installation.holders import holders
from nightlatch.planning.installation.ledger import Holder
from nightlatch.planning.installation.ledger_secret import ledger_secret
from nightlatch.planning.installation.places import generation_of, places, usable_ca
from nightlatch.planning.installation.plan import ObservedInstallation, plan_installation
from nightlatch.planning.secrets import SecretView, parse_owner, view_secret
from nightlatch.planning.settings import Settings
from nightlatch.scaling.runtime import EndpointRuntime
from nightlatch.workloads.protocol import WorkloadError

_LONGEST_REQUEST = 256
_log = logging.getLogger(__name__)


# Seconds until the next look whether somebody asked for a roll-over: a ConfigMap, or a file, that nobody watches.
ASKED_PAUSE = {"Cluster": 15.0, "Embedded": 2.0}
_LEAVES = (
    names.ROLE_SERVER_TLS,
    names.ROLE_UPSTREAM_TLS,
    names.ROLE_CLIENT_TLS,
    names.ROLE_GATEWAY_TLS,
    names.ROLE_OPERATOR_TLS,
)


@dataclass(slots=True)
class PkiReconciler:
    """Observes the installation's Secrets, plans, and applies the plan.

    runtime: what gateways have applied of an endpoint's document. request: the newest wish for a roll-over.
    warned: what the log said last that an administrator should do.
    """

    context: Context
    applier: Applier
    issuing_ca: IssuingCA
    settings: Settings
    runtime: Callable[[NamespacedName], EndpointRuntime]
    request: str = ""
    warned: str = ""

    async def reconcile(self) -> tuple[bool, float | None]:
        """Returns whether the issuing CA is another one than before, and the seconds to the next renewal.

        Raises StoreError, and PkiError when the Secret of a CA is damaged or a Secret is not ours. An action that fails
        ends the reconcile, because the next one may depend on it.
        """
        before = self.issuing_ca.view()
        wanted = plan_installation(await self._observe(), self.context.clock())
        for action in (*wanted.apply, *wanted.delete):
            await self.applier.act(action)
        if wanted.warning and wanted.warning != self.warned:
            _log.warning("the PKI of the installation needs care", extra={"advice": wanted.warning})
        self.warned = wanted.warning
        if wanted.refusal:
            raise PkiError(wanted.refusal)
        waits = [ASKED_PAUSE[self.settings.platform], wanted.requeue_after, await self._tell(wanted.told)]
        return self.issuing_ca.view() != before, min(each for each in waits if each is not None)

    async def _tell(self, told: Mapping[str, str]) -> float | None:
        """Tell the state, and hear what people ask for. Returns 0 if that is something new."""
        try:
            annotations = await self.context.workloads.tell_installation(told)
        except WorkloadError as error:
            _log.warning("cannot tell the state of the installation", extra={"error": str(error)})
            return None
        asked = annotations.get(names.ANNOTATION_ROLLOVER, "")[:_LONGEST_REQUEST]
        new, self.request = asked != self.request, asked
        return 0.0 if new else None

    async def _observe(self) -> ObservedInstallation:
        settings = self.settings
        leaves = [await self.context.find_secret(leaf.key) for leaf in installation_leaves(settings)]
        first, second = places(settings, {})
        more = [await self.context.find_secret(key) for key in (second.root_key, second.issuing_key)]
        observed = ObservedInstallation(
            settings=settings,
            root=await self.context.find_secret(first.root_key),
            issuing=await self.context.find_secret(first.issuing_key),
            leaves={found.key: found for found in leaves if found},
            more={found.key: found for found in more if found},
            trust=await self.context.find_secret(ledger_secret(settings)),
            request=self.request,
            brought=await self._brought(),
        )
        if any(each.empty for each in observed.places):
            # There is one CA, so no step is under way.
            return observed
        return replace(observed, holders=await self._holders(observed))

    async def _brought(self) -> SecretView | None:
        settings = self.settings
        if not settings.brought_ca:
            return None
        return await self.context.find_secret(NamespacedName(settings.operator_namespace, settings.brought_ca))

    async def _holders(self, observed: ObservedInstallation) -> tuple[Holder, ...]:
        live = [generation_of(ca) for each in observed.places if (ca := usable_ca(each, self.settings))]
        documents = await self._secrets(names.ROLE_ROUTE_DOCUMENT)
        found = [parse_owner(each.owner) for each in documents]
        return holders(
            leaves=[each for role in _LEAVES for each in await self._secrets(role)],
            bundles=await self._secrets(names.ROLE_API_KEY),
            documents=documents,
            runtimes={owner.key: self.runtime(owner.key) for owner in found if owner},
            generations=frozenset(each.key_id for each in live),
            anchors=frozenset(anchor for each in live for anchor in each.anchors),
        )

    async def _secrets(self, role: str) -> list[SecretView]:
        found = await self.context.store.list(SECRET, labels={names.LABEL_ROLE: role})
        return [view_secret(raw) for raw in found.items]
