"""The operator in a cluster: the same controller and autoscaler as in `nightlatch up`, over the Kubernetes API.

Everything that acts runs while this replica holds the Lease. Losing it ends the process, which Kubernetes restarts.
"""

import asyncio
import time
from collections import Counter

from nightlatch.api.meta import INFERENCE_ENDPOINT, NamespacedName
from nightlatch.controller.autoscaling.autoscaler import Autoscaler
from nightlatch.controller.autoscaling.report_client import operator_material
from nightlatch.controller.autoscaling.runtime_status import RuntimeStatus
from nightlatch.controller.cluster import probes
from nightlatch.controller.cluster.config import ClusterConfig
from nightlatch.controller.cluster.election import Election
from nightlatch.controller.cluster.event_recorder import EventRecorder
from nightlatch.controller.cluster.gateway_slices import SliceGatewayDirectory
from nightlatch.controller.cluster.kopf_watch import KopfEvents
from nightlatch.controller.cluster.namespaces import ClusterNamespaces, NamedNamespaces
from nightlatch.controller.cluster.service_account_keys import ServiceAccountKeys
from nightlatch.controller.controller import Controller
from nightlatch.kube.client import ApiServer, connect
from nightlatch.store.kubernetes.store import KubernetesStore
from nightlatch.workloads.kubernetes.certificates import CertManager
from nightlatch.workloads.kubernetes.workloads import KubernetesWorkloads


async def run(config: ClusterConfig, identity: str, *, kubeconfig: str | None = None) -> None:
    """Until cancelled. `identity`: the pod's name. Raises ApiServerError, LeadershipLostError."""
    async with await connect(kubeconfig) as api:
        election = Election(api, config.operator_namespace, identity)
        operator = _Operator(api, config, identity)
        async with probes.serve(lambda: operator.stats(leading=election.leading), config.metrics_port):
            await election.lead(operator.run)


class _Operator:
    """The parts that the leader runs."""

    def __init__(self, api: ApiServer, config: ClusterConfig, identity: str) -> None:
        own = (config.operator_namespace, config.gateway_namespace)
        self._config = config
        self._runtime_status = RuntimeStatus()
        self._store = KubernetesStore(api, namespaces=config.watch_namespaces, own=own)
        self._workloads = KubernetesWorkloads(api, config.cluster(), config.watch_namespaces)
        self._kopf = KopfEvents(api, identity, config.watch_namespaces)
        self._recorder = EventRecorder(api, identity)
        self._autoscaler = Autoscaler(
            workloads=self._workloads,
            runtime_status=self._runtime_status,
            directory=SliceGatewayDirectory(api, config.gateway_namespace, config.gateway_report_service),
            material=lambda: operator_material(self._store, config.operator_namespace),
        )
        watched = config.watch_namespaces
        namespaces = NamedNamespaces(api, watched) if watched else ClusterNamespaces(api)
        self._controller = Controller(
            self._store,
            self._workloads,
            config.settings(),
            self._autoscaler,
            self._runtime_status,
            watch_ours=self._kopf.watch,
            namespaces=namespaces,
            certificates=CertManager(api, watched) if config.cert_manager else None,
            fetch_of_cluster=ServiceAccountKeys(api).fetch,
        )
        self._runtime_status.subscribe(self._record_event)

    async def run(self) -> None:
        """Until cancelled."""
        self._controller.heartbeat = time.monotonic()
        await self._controller.prepare()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._kopf.run(), name="kopf")
            group.create_task(self._controller.run(), name="controller")
            group.create_task(self._autoscaler.run(), name="autoscaler")
            group.create_task(self._recorder.run(), name="events")
            group.create_task(self._restore(), name="restore")

    async def _restore(self) -> None:
        """Reconcile an endpoint as soon as one of its objects was deleted or changed by someone else."""
        async for key in self._workloads.disturbed():
            self._controller.enqueue(INFERENCE_ENDPOINT.kind, key)

    def stats(self, *, leading: bool) -> probes.OperatorStats:
        """The numbers for probes and metrics."""
        controller = self._controller
        states = Counter(self._runtime_status.get(key).state for key in controller.index.endpoints)
        return probes.OperatorStats(
            leading=leading,
            heartbeat_age=time.monotonic() - controller.heartbeat if leading else None,
            waiting=len(controller.queue),
            reconciles=controller.reconciles,
            failures=controller.failures,
            states={state: states.get(state, 0) for state in ("Asleep", "Waking", "Awake", "Draining")},
        )

    def _record_event(self, key: NamespacedName) -> None:
        self._recorder.changed(key, self._runtime_status.get(key))
