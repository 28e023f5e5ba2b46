"""The controller: informers feed the queue, workers reconcile, and a resync repairs what no event told of."""

import asyncio
import contextlib
import logging
import secrets
import time
from collections.abc import Awaitable, Callable, Iterable
from datetime import UTC, datetime

from nightlatch.api.meta import INFERENCE_CLIENT, INFERENCE_ENDPOINT, TOKEN_ISSUER, NamespacedName, ObjectRef
from nightlatch.controller.apply import Applier, Scaler
from nightlatch.controller.autoscaling.runtime_status import RuntimeStatus
from nightlatch.controller.context import Context
from nightlatch.controller.index import Index, Requeue
from nightlatch.controller.issuer_keys.addresses import AllowedAddresses
from nightlatch.controller.issuer_keys.key_sets import Fetch, KeySets
from nightlatch.controller.issuer_keys.provider import Provider
from nightlatch.controller.issuing_ca import IssuingCA
from nightlatch.controller.queue import WorkQueue
from nightlatch.controller.reconcilers.client import ClientReconciler
from nightlatch.controller.reconcilers.endpoint import EndpointReconciler
from nightlatch.controller.reconcilers.installation import PkiReconciler
from nightlatch.controller.reconcilers.issuer import IssuerReconciler
from nightlatch.controller.reconcilers.revocations import RevocationsReconciler
from nightlatch.controller.watches import Watch, certificate_informers, informers
from nightlatch.informer import Source
from nightlatch.pki import PkiError
from nightlatch.planning.installation.certificates import INSTALLATION
from nightlatch.planning.installation.revocations import REVOCATIONS
from nightlatch.planning.issuer.key_source import KeySource, Published
from nightlatch.planning.settings import Settings
from nightlatch.store.protocol import ConflictError, Store, StoreError
from nightlatch.workloads.protocol import Certificates, WorkloadError, Workloads

_log = logging.getLogger(__name__)
_WORKERS = 4
_CERTIFICATES_AWAITED_S = 5.0
# Uses of keys that become known within this time are one write of the client's status.
USES_WRITTEN_AFTER_S = 60.0


def _utc_now() -> datetime:
    return datetime.now(UTC)


class Controller:
    """Turns our objects into Secrets, workloads, route documents and status.

    scaler: the autoscaler, which is told how to scale each endpoint. runtime_status: what the autoscaler sees of the
    endpoints; each change requeues the endpoint. watch_ours: where events of our kinds come from, if not from the
    store. namespaces: the namespaces with their labels, where there are any. certificates: who makes some besides our
    own CA, where there is somebody. fetch: gets the key set of a token issuer, if not from its provider.
    fetch_of_cluster: gets the keys of ServiceAccount tokens, where there are any. clock: the time now, timezone-aware.
    random(n): n bytes of cryptographic quality.
    """

    def __init__(
        self,
        store: Store,
        workloads: Workloads,
        settings: Settings,
        scaler: Scaler,
        runtime_status: RuntimeStatus,
        *,
        watch_ours: Watch | None = None,
        namespaces: Source | None = None,
        certificates: Certificates | None = None,
        fetch: Fetch | None = None,
        fetch_of_cluster: Fetch | None = None,
        clock: Callable[[], datetime] = _utc_now,
        random: Callable[[int], bytes] = secrets.token_bytes,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.settings = settings
        self.runtime_status = runtime_status
        self.runtime_status.subscribe(lambda key: self.enqueue(INFERENCE_ENDPOINT.kind, key))
        self.runtime_status.subscribe_to_uses(self._keys_used)
        self.runtime_status.subscribe_to_unknown_keys(self._keys_unknown)
        self.index = Index(settings)
        self.queue = WorkQueue(monotonic, random)
        # When a reconcile last ended, on the monotonic clock: for the liveness probe.
        self.heartbeat = monotonic()
        self.reconciles = 0
        self.failures = 0
        self._monotonic = monotonic
        self._workloads = workloads
        issuing_ca = IssuingCA()
        context = Context(store, workloads, clock, random, certificates)
        applier = Applier(context, issuing_ca, scaler)
        self._pki = PkiReconciler(context, applier, issuing_ca, settings, runtime_status.get)
        self._informers = informers(store, self.index, self._requeue, watch_ours, namespaces)
        self._certificate_informers = certificate_informers(
            certificates.sources if certificates else (), self.index, self._requeue
        )
        self._endpoints = EndpointReconciler(context, applier, self.index, issuing_ca, scaler, settings, runtime_status)
        clients = ClientReconciler(context, applier, self.index, issuing_ca, settings, runtime_status)
        self._fetch = fetch or Provider(AllowedAddresses(settings.provider_networks)).fetch
        self._fetch_of_cluster = fetch_of_cluster or self._fetch
        self._key_sets = KeySets(
            self._published, lambda key: self.enqueue(TOKEN_ISSUER.kind, key), lambda: clock().timestamp()
        )
        issuers = IssuerReconciler(context, applier, settings, self._key_sets)
        self._reconcile: dict[str, Callable[[NamespacedName], Awaitable[float | None]]] = {
            INFERENCE_ENDPOINT.kind: self._endpoints.reconcile,
            INFERENCE_CLIENT.kind: clients.reconcile,
            TOKEN_ISSUER.kind: issuers.reconcile,
            INSTALLATION: self._reconcile_pki,
            REVOCATIONS: RevocationsReconciler(context, applier, self.index, settings, runtime_status).reconcile,
        }

    def enqueue(self, kind: str, key: NamespacedName, *, urgent: bool = False) -> None:
        """Reconcile one object soon. `kind` is the Kind's `kind`, such as `InferenceEndpoint`."""
        self.queue.add(ObjectRef(kind, key), urgent=urgent)

    def _keys_used(self, key_ids: Iterable[str]) -> None:
        for client in {client for key_id in key_ids if (client := self.index.client_of_key(key_id))}:
            self.queue.add_after(ObjectRef(INFERENCE_CLIENT.kind, client), USES_WRITTEN_AFTER_S)

    def _keys_unknown(self, issuers: Iterable[str]) -> None:
        """A gateway may say anything, and what is no issuer of ours is ignored."""
        for name in issuers:
            namespace, _, issuer = name.partition("/")
            self._key_sets.look_again(NamespacedName(namespace, issuer))

    async def _published(self, source: KeySource) -> Published:
        return await (self._fetch_of_cluster if source.of_cluster else self._fetch)(source)

    async def prepare(self) -> None:
        """Make or read the installation's PKI, so that gateways can be started. Raises StoreError, PkiError."""
        await self._pki.reconcile()

    async def run(self) -> None:
        """Until cancelled. No worker starts before every list is read: a client not seen yet must not count as gone."""
        await self._first_pki()
        try:
            await self._run()
        finally:
            await self._key_sets.close()

    async def _run(self) -> None:
        async with asyncio.TaskGroup() as group:
            for informer in (*self._informers, *self._certificate_informers):
                group.create_task(informer.run())
            for informer in self._informers:
                await informer.synced.wait()
            await self._first_certificates()
            self._endpoints.declare_scaling()
            group.create_task(self._resync())
            # One worker takes revocations only, so that slow work on other keys never delays them.
            group.create_task(self._work(urgent_only=True))
            for _ in range(_WORKERS):
                group.create_task(self._work())

    async def _first_pki(self) -> None:
        """Create the PKI before the first reconcile, so that endpoints do not report IssuingCAPending at start-up.

        A failure is retried through the queue.
        """
        try:
            await self.prepare()
        except (StoreError, PkiError) as error:
            _log.warning("cannot make the certificates of the installation", extra={"error": str(error)})

    async def _first_certificates(self) -> None:
        """Wait a moment for cert-manager's, so that no status says that there is none."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_CERTIFICATES_AWAITED_S):
                for informer in self._certificate_informers:
                    await informer.synced.wait()

    async def _work(self, *, urgent_only: bool = False) -> None:
        while True:
            ref = await self.queue.next(urgent_only=urgent_only)
            await self._handle(ref)
            self.heartbeat = self._monotonic()

    async def _handle(self, ref: ObjectRef) -> None:
        """Reconcile one key. A failure makes this key wait, and never ends the loop."""
        try:
            requeue_after = await self._reconcile[ref.kind](ref.key)
        except ConflictError:
            # Another writer was faster; the next attempt reads what it wrote.
            _log.debug("an object changed while it was reconciled", extra={"object": str(ref)})
        except (StoreError, PkiError, WorkloadError) as error:
            _log.warning("cannot reconcile", extra={"object": str(ref), "error": str(error)})
        except Exception as error:  # noqa: BLE001 - a defect in one object must not stop the others
            # Type and place alone: the text of an unexpected error may quote a secret.
            cause = {"error": type(error).__name__, "place": _place(error)}
            _log.error("cannot reconcile because of a defect", extra={"object": str(ref), **cause})
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
        """Requeue owners that are gone but have children left: reconciling such an owner removes the children."""
        try:
            running = await self._workloads.listed()
        except WorkloadError as error:
            _log.warning("cannot list the workloads", extra={"error": str(error)})
            running = ()
        owners = self.index.owners_of_secrets() | {ObjectRef(INFERENCE_ENDPOINT.kind, key) for key in running}
        live = set(self.index.refs())
        for ref in sorted(owners - live):
            if ref.kind in self._reconcile:
                self.queue.add(ref)

    def _requeue(self, requeue: Requeue) -> None:
        self.queue.add(requeue.ref, urgent=requeue.urgent)


def _place(error: BaseException) -> str:
    frame = error.__traceback__
    while frame is not None and frame.tb_next is not None:
        frame = frame.tb_next
    return f"{frame.tb_frame.f_code.co_filename}:{frame.tb_lineno}" if frame else "?"
