"""The control plane of `nightlatch up`, in the process of `up`: controller, autoscaler and the model servers."""

import asyncio
from collections.abc import Mapping

from nightlatch.api.meta import SECRET, NamespacedName
from nightlatch.controller.autoscaling.autoscaler import Autoscaler
from nightlatch.controller.autoscaling.report_client import operator_material
from nightlatch.controller.autoscaling.runtime_status import RuntimeStatus
from nightlatch.controller.controller import Controller
from nightlatch.embedded.gateway import Gateway
from nightlatch.embedded.gateway_directory import FileGatewayDirectory
from nightlatch.embedded.layout import Layout
from nightlatch.planning.secrets import view_secret
from nightlatch.planning.settings import Settings
from nightlatch.store.protocol import Store
from nightlatch.workloads.processes.workloads import ProcessWorkloads


class Control:
    """Call `prepare()`, then `run()` until it is cancelled, then `stop()`."""

    def __init__(self, layout: Layout, store: Store, settings: Settings, gateways: tuple[Gateway, ...]) -> None:
        self._store = store
        self._workloads = ProcessWorkloads(layout.workloads, self._secret)
        runtime_status = RuntimeStatus()
        self._autoscaler = Autoscaler(
            workloads=self._workloads,
            runtime_status=runtime_status,
            directory=FileGatewayDirectory({gateway.name: gateway.files.announce for gateway in gateways}),
            material=lambda: operator_material(store, settings.operator_namespace),
        )
        self._controller = Controller(store, self._workloads, settings, self._autoscaler, runtime_status)

    async def prepare(self) -> int:
        """End the model servers that a killed `up` left behind, and create the PKI. Returns how many were ended."""
        ended = await self._workloads.reap()
        await self._controller.prepare()
        return ended

    async def run(self) -> None:
        """Runs until it is cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._controller.run(), name="controller")
            group.create_task(self._autoscaler.run(), name="autoscaler")

    async def stop(self) -> None:
        """End every model server, and return when none is left."""
        await self._workloads.close()

    async def _secret(self, key: NamespacedName) -> Mapping[str, bytes]:
        return view_secret(await self._store.get(SECRET, key.namespace, key.name)).data
