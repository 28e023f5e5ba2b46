"""The controller: informers feed the queue, workers reconcile, a resync repairs what an event missed."""

import asyncio
import logging
import secrets
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

from nightlatch.api.meta import INFERENCE_CLIENT, INFERENCE_ENDPOINT, TOKEN_ISSUER, NamespacedName, ObjectRef
from nightlatch.controller.apply import Applier
from nightlatch.controller.autoscaling.runtime_status import RuntimeStatus
from nightlatch.controller.index import Index, Requeue
from nightlatch.controller.issuing_ca import IssuingCA
from nightlatch.controller.queue import WorkQueue
from nightlatch.controller.reconcilers.client import ClientReconciler
from nightlatch.controller.reconcilers.endpoint import EndpointReconciler
from nightlatch.controller.reconcilers.installation import PkiReconciler
from nightlatch.controller.reconcilers.issuer import IssuerReconciler
from nightlatch.controller.watches import Watch, informers
from nightlatch.pki import PkiError
from nightlatch.planning.installation.certificates import INSTALLATION
from nightlatch.planning.settings import Settings
from nightlatch.store.protocol import ConflictError, Store, StoreError
from nightlatch.workloads.protocol import WorkloadError, Workloads

_log = logging.getLogger(__name__)
_WORKERS = 4


def _utc_now() -> datetime:
    return datetime.now(UTC)


class Controller:
    """Everything that turns our objects into Secrets, workloads, route documents and status.

    `clock`: timezone-aware now. `random(n)`: n bytes of cryptographic quality. `board`: written by the autoscaler,
    read for status; its `on_change` is taken over, so that a change brings the endpoint up again. `watch_ours`: where
    events of our kinds come from, when not from the store.
    """

    def __init__(
        self,
        store: Store,
        workloads: Workloads,
        settings: Settings,
        *,
        runtime_status: RuntimeStatus | None = None,
        watch_ours: Watch | None = None,
        clock: Callable[[], datetime] = _utc_now,
        random: Callable[[int], bytes] = secrets.token_bytes,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.settings = settings
        self.runtime_status = runtime_status if runtime_status is not None else RuntimeStatus()
        self.runtime_status.on_change = lambda key: self.enqueue(INFERENCE_ENDPOINT.kind, key)
        self.index = Index(settings)
        self.queue = WorkQueue(monotonic, random)
        # When a reconcile last came to an end, on the monotonic clock: what a liveness probe may ask.
        self.heartbeat = monotonic()
        self.reconciles = 0
        self.failures = 0
        self._monotonic = monotonic
        self._workloads = workloads
        issuing_ca = IssuingCA()
        applier = Applier(store, workloads, issuing_ca.get, clock, random)
        self._pki = PkiReconciler(applier, issuing_ca, settings)
        self._informers = informers(store, self.index, self._touch, watch_ours)
        self._reconcile: dict[str, Callable[[NamespacedName], Awaitable[float | None]]] = {
            INFERENCE_ENDPOINT.kind: EndpointReconciler(
                applier, self.index, issuing_ca, settings, self.runtime_status
            ).reconcile,
            INFERENCE_CLIENT.kind: ClientReconciler(
                applier, self.index, issuing_ca, settings, self.runtime_status
            ).reconcile,
            TOKEN_ISSUER.kind: IssuerReconciler(applier).reconcile,
            INSTALLATION: self._reconcile_pki,
        }

    def enqueue(self, kind: str, key: NamespacedName, *, urgent: bool = False) -> None:
        """Bring one object up. `kind` is the Kind's `kind`, such as `InferenceEndpoint`."""
        self.queue.add(ObjectRef(kind, key), urgent=urgent)

    async def prepare(self) -> None:
        """Make or read the PKI, so that gateways can be started. Raises StoreError, PkiError."""
        await self._pki.reconcile()

    async def run(self) -> None:
        """Until cancelled. Nobody works before every list is in: a client not seen yet is not one that is gone."""
        await self._first_pki()
        async with asyncio.TaskGroup() as group:
            for informer in self._informers:
                group.create_task(informer.run())
            for informer in self._informers:
                await informer.synced.wait()
            group.create_task(self._resync())
            # One worker for revocations alone: slow work on other keys never holds them up.
            group.create_task(self._work(urgent_only=True))
            for _ in range(_WORKERS):
                group.create_task(self._work())

    async def _first_pki(self) -> None:
        """Before any endpoint is looked at, lest it says that there is no authority; the queue repeats a failure."""
        try:
            await self.prepare()
        except (StoreError, PkiError) as error:
            _log.warning("making the certificates of the installation: %s", error)

    async def _work(self, *, urgent_only: bool = False) -> None:
        while True:
            ref = await self.queue.next(urgent_only=urgent_only)
            await self._handle(ref)
            self.heartbeat = self._monotonic()

    async def _handle(self, ref: ObjectRef) -> None:
        """Whatever goes wrong with one key is that key's own pause, never the loop's end."""
        try:
            requeue_after = await self._reconcile[ref.kind](ref.key)
        except ConflictError:
            # Somebody was faster; the next look is at what they wrote.
            _log.debug("%s changed while it was reconciled", ref)
        except (StoreError, PkiError, WorkloadError) as error:
            _log.warning("reconciling %s: %s", ref, error)
        except Exception as error:  # noqa: BLE001 - a defect in one object must not stop the others
            # The type and place alone: an unexpected error's text may quote what it stumbled over.
            _log.error("reconciling %s: %s at %s", ref, type(error).__name__, _place(error))
        else:
            self.reconciles += 1
            self.queue.done(ref, requeue_after=requeue_after)
            return
        self.failures += 1
        self.queue.done(ref, failed=True)

    async def _reconcile_pki(self, _key: NamespacedName) -> float | None:
        changed, requeue_after = await self._pki.reconcile()
        if changed:
            self._enqueue_all()
        return requeue_after

    async def _resync(self) -> None:
        while True:
            self._enqueue_all()
            await self._sweep()
            await asyncio.sleep(self.settings.resync.total_seconds())

    def _enqueue_all(self) -> None:
        for ref in self.index.refs():
            self.queue.add(ref)

    async def _sweep(self) -> None:
        """Children whose owner is gone: reconciling the owner removes them."""
        try:
            running = await self._workloads.listed()
        except WorkloadError as error:
            _log.warning("looking for orphaned workloads: %s", error)
            running = ()
        owners = self.index.owners_of_secrets() | {ObjectRef(INFERENCE_ENDPOINT.kind, key) for key in running}
        live = set(self.index.refs())
        for ref in sorted(owners - live):
            if ref.kind in self._reconcile:
                self.queue.add(ref)

    def _touch(self, requeue: Requeue) -> None:
        self.queue.add(requeue.ref, urgent=requeue.urgent)


def _place(error: BaseException) -> str:
    frame = error.__traceback__
    while frame is not None and frame.tb_next is not None:
        frame = frame.tb_next
    return f"{frame.tb_frame.f_code.co_filename}:{frame.tb_lineno}" if frame else "?"
