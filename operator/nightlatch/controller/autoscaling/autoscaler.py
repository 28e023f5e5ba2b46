"""The only writer of replicas: reads reports and workloads, and sets replicas, directives and RuntimeStatus.

Every endpoint has a task that sleeps until something concerns the endpoint: a report that says something new, a change
of its workload or its spec, a gateway that came or went, or a time that the pure part (`scaling/`) named. So demand is
acted upon immediately, and trouble with one endpoint does not touch the others.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from nightlatch.api.meta import NamespacedName
from nightlatch.controller.autoscaling.gateways import GatewayDirectory
from nightlatch.controller.autoscaling.report_client import ReportClient
from nightlatch.controller.autoscaling.runtime_status import RuntimeStatus
from nightlatch.pki.material import TlsMaterial
from nightlatch.planning.plan import DocumentSequence
from nightlatch.scaling.endpoint_scaling import DesiredScaling, EndpointScaling, initial, next_check_at, runtime, update
from nightlatch.scaling.fleet import Fleet, LastReport, changed_endpoints
from nightlatch.scaling.lifecycle import Replicas
from nightlatch.wire.report import Directive, Directives, GatewayReport, WakeReport
from nightlatch.workloads.protocol import WorkloadError, Workloads, WorkloadState

# After a refusal of the platform, and after a defect of ours.
RETRY_SECONDS = 1.0
# A gateway that has not reported to a new leader within this time is not going to.
SETTLE_SECONDS = 5.0
# How many deleted documents the directives repeat, for gateways that missed the deletion.
DELETED_KEPT = 1000

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Entry:
    """One endpoint that is scaled here."""

    desired: DesiredScaling
    bell: asyncio.Event = field(default_factory=asyncio.Event)
    state: EndpointScaling | None = None
    directive: Directive | None = None
    last_wake: WakeReport | None = None
    task: asyncio.Task[None] | None = None


class Autoscaler:
    """Run it on the leader only.

    directory: the gateways to dial. material: reads the operator's client certificate. clock: Unix seconds.
    """

    def __init__(
        self,
        *,
        workloads: Workloads,
        runtime_status: RuntimeStatus,
        directory: GatewayDirectory,
        material: Callable[[], Awaitable[TlsMaterial]],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._workloads = workloads
        self._runtime_status = runtime_status
        self._clock = clock
        self._client = ReportClient(directory, material, self)
        self._fleet = Fleet()
        self._entries: dict[NamespacedName, _Entry] = {}
        self._documents: dict[str, int] = {}
        self._group: asyncio.TaskGroup | None = None
        self._settled = False

    def declare(self, desired: DesiredScaling) -> None:
        """Scale an endpoint like this from now on. Idempotent and cheap.

        An endpoint that was deleted and created again under its name starts afresh.
        """
        key = desired.endpoint
        entry = self._entries.get(key)
        if entry is not None and entry.desired.uid != desired.uid:
            self.forget(key)
            entry = None
        if entry is None:
            self._entries[key] = entry = _Entry(desired)
            self._start(key, entry)
        elif entry.desired != desired:
            entry.desired = desired
            entry.bell.set()

    def forget(self, endpoint: NamespacedName) -> None:
        """The endpoint is gone: never scale it again. The reconciler removes its workload."""
        entry = self._entries.pop(endpoint, None)
        if entry and entry.task:
            entry.task.cancel()
        self._runtime_status.forget(endpoint)

    def written(self, document: DocumentSequence) -> None:
        """Every gateway should have this document; one that does not reads the documents again."""
        if self._documents.get(document.secret) == document.sequence:
            return
        self._documents.pop(document.secret, None)
        self._documents[document.secret] = document.sequence
        deleted = [secret for secret, sequence in self._documents.items() if not sequence]
        for secret in deleted[:-DELETED_KEPT]:
            del self._documents[secret]
        self._client.publish_document(document.secret, document.sequence)

    async def run(self) -> None:
        """Until cancelled. Leaves replicas as they are."""
        async with asyncio.TaskGroup() as self._group:
            for key, entry in self._entries.items():
                self._start(key, entry)
            self._group.create_task(self._client.run())
            self._group.create_task(self._watch_workloads())
            self._group.create_task(self._settle_in_time())

    def members(self, gateways: frozenset[str]) -> None:
        self._fleet = self._fleet.with_members(gateways)
        self._ring(self._entries)

    async def _settle_in_time(self) -> None:
        await asyncio.sleep(SETTLE_SECONDS)
        self._settle()

    def _settle(self) -> None:
        """From now on a gateway that does not report is one that is disconnected."""
        if not self._settled:
            self._settled = True
            self._ring(self._entries)

    def reported(self, gateway: str, report: GatewayReport | None) -> None:
        if gateway not in self._fleet.members:
            return
        self._runtime_status.note_uses(report.used if report else {})
        self._runtime_status.note_unknown_keys(report.unknown_keys if report else {})
        before = self._fleet.members[gateway]
        after = LastReport.of(report, before) if report else None
        self._fleet = self._fleet.with_report(gateway, after)
        if not self._fleet.disconnected:
            self._settle()
        woken = self._note_wakes(report.wakes if report else ())
        came_or_went = (before is None) != (after is None)
        self._ring(self._entries if came_or_went else changed_endpoints(before, after) | woken)

    def directives(self) -> Directives:
        known = (entry.directive for entry in self._entries.values())
        return Directives(
            complete=True,
            directives=tuple(directive for directive in known if directive),
            documents=dict(self._documents),
            gateways=self._fleet.serving,
        )

    def _start(self, key: NamespacedName, entry: _Entry) -> None:
        if self._group:
            entry.task = self._group.create_task(self._run_endpoint(key, entry))

    def _ring(self, endpoints: "set[NamespacedName] | dict[NamespacedName, _Entry]") -> None:
        for key in endpoints:
            if entry := self._entries.get(key):
                entry.bell.set()

    def _note_wakes(self, wakes: tuple[WakeReport, ...]) -> set[NamespacedName]:
        """Keep the newest wake of each endpoint. Returns the endpoints that got one."""
        woken = set()
        for wake in wakes:
            entry = self._entries.get(wake.endpoint)
            if entry and (entry.last_wake is None or wake.at > entry.last_wake.at):
                entry.last_wake = wake
                woken.add(wake.endpoint)
        return woken

    async def _watch_workloads(self) -> None:
        while True:
            try:
                async for key in self._workloads.changes():
                    self._ring({key})
            except (WorkloadError, OSError) as error:
                _log.warning("cannot watch the workloads", extra={"error": str(error)})
            await asyncio.sleep(RETRY_SECONDS)

    async def _run_endpoint(self, key: NamespacedName, entry: _Entry) -> None:
        while True:
            entry.bell.clear()
            try:
                next_step_at = await self._step(key, entry)
            except WorkloadError as error:
                _log.warning("cannot scale", extra={"endpoint": str(key), "error": str(error)})
                next_step_at = self._clock() + RETRY_SECONDS
            except Exception:  # noqa: BLE001 - a defect that shows with one endpoint must not end the scaling of others
                _log.exception("cannot scale because of a defect", extra={"endpoint": str(key)})
                next_step_at = self._clock() + RETRY_SECONDS
            await _wait_for(entry.bell, next_step_at - self._clock())

    async def _step(self, key: NamespacedName, entry: _Entry) -> float:
        """Observe, decide, act. Returns when to do so again (Unix seconds)."""
        running = _running(await self._workloads.observe(key))
        now = self._clock()
        before = entry.state or initial(now, running, entry.desired)
        after = update(before, now, entry.desired, running, self._fleet)
        known = runtime(after, running, self._fleet, key, entry.last_wake, settled=self._settled)
        self._runtime_status.put(key, known)
        if running is None and entry.state is None:
            # The workload may just not have been seen yet: the replicas that appear are taken over as they are.
            return float("inf")
        entry.state = after
        self._publish_directive(key, entry, after)
        if running and running.desired != after.lifecycle.replicas:
            counts = {"from": running.desired, "to": after.lifecycle.replicas}
            _log.info("scaling", extra={"endpoint": str(key), **counts})
            await self._workloads.scale(key, after.lifecycle.replicas)
        return next_check_at(after, entry.desired)

    def _publish_directive(self, key: NamespacedName, entry: _Entry, state: EndpointScaling) -> None:
        directive = state.lifecycle.directive(key)
        if directive != entry.directive:
            entry.directive = directive
            self._client.publish(directive)


def _running(state: WorkloadState | None) -> Replicas | None:
    if state is None:
        return None
    failure = state.failure
    return Replicas(
        desired=state.desired,
        live=sum(not replica.terminating for replica in state.replicas),
        ready=sum(replica.ready and not replica.terminating for replica in state.replicas),
        failed_starts=failure.attempt if failure else 0,
        reason=failure.reason if failure else "",
        message=failure.message if failure else "",
    )


async def _wait_for(bell: asyncio.Event, seconds: float) -> None:
    """Wait until the bell rings or so many seconds have passed (infinity: no limit)."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(None if seconds == float("inf") else max(seconds, 0)):
            await bell.wait()
