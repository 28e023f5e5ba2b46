"""The promises of every implementation of the workloads seam. A subclass gives the fixtures of its platform.

The tests wait for conditions, at most `patience` seconds: a platform that pulls images may need minutes.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import replace

import pytest

from nightlatch.api.endpoint import EnvVar
from nightlatch.api.meta import NamespacedName
from nightlatch.planning.workload import Workload
from nightlatch.workloads.protocol import WorkloadError, WorkloadReader, Workloads, WorkloadState


async def until(
    reader: WorkloadReader, key: NamespacedName, holds: Callable[[WorkloadState | None], bool], patience: float
) -> WorkloadState | None:
    """The first state that fulfils the condition. It is observed again only when `changes` yields the endpoint."""
    seen: list[WorkloadState | None] = []
    try:
        async with asyncio.timeout(patience):
            async with contextlib.aclosing(reader.changes()) as changes:
                seen.append(await reader.observe(key))
                while not holds(seen[-1]):
                    while await anext(changes) != key:
                        pass
                    seen.append(await reader.observe(key))
    except TimeoutError:
        pytest.fail(f"never came: last states of {key}: {seen[-3:]}")
    return seen[-1]


def ready(state: WorkloadState | None) -> bool:
    return state is not None and any(r.ready and not r.terminating for r in state.replicas)


def failed(state: WorkloadState | None) -> bool:
    return state is not None and state.failure is not None


def empty(state: WorkloadState | None) -> bool:
    return state is not None and not state.replicas


def nothing(state: WorkloadState | None) -> bool:
    """Like `empty`, for a reader that sees only replicas and cannot tell an empty workload from none."""
    return state is None or not state.replicas


async def until_refused(address: tuple[str, int], patience: float) -> None:
    """Wait until nothing accepts connections there. If the address itself is gone, connecting times out instead."""
    async with asyncio.timeout(patience):
        while True:
            try:
                async with asyncio.timeout(1.0):
                    _, writer = await asyncio.open_connection(*address)
            except OSError:
                return
            writer.close()
            await asyncio.sleep(0.05)


class WorkloadsContract:
    """A subclass gives these fixtures: workloads, reader (of the same platform), runnable, broken, patience."""

    @pytest.fixture
    async def served(self, workloads: Workloads, runnable: Workload) -> AsyncIterator[NamespacedName]:
        """The endpoint of the runnable workload, which is ensured."""
        await workloads.ensure(runnable)
        yield runnable.endpoint
        await workloads.remove(runnable.endpoint)

    async def test_an_endpoint_without_workload_is_none(self, workloads, reader):
        nobody = NamespacedName("nobody", "there")
        assert await workloads.observe(nobody) is None
        assert await reader.observe(nobody) is None
        assert nobody not in await workloads.listed()

    async def test_a_new_workload_runs_nothing(self, workloads, served):
        assert await workloads.observe(served) == WorkloadState(desired=0)
        assert served in await workloads.listed()

    async def test_scaling_what_is_not_there_is_an_error(self, workloads):
        with pytest.raises(WorkloadError):
            await workloads.scale(NamespacedName("nobody", "there"), 1)

    async def test_one_replica_becomes_ready_at_an_address_that_accepts(self, workloads, served, patience):
        await workloads.scale(served, 1)
        state = await until(workloads, served, ready, patience)
        assert state.desired == 1
        assert state.failure is None
        (replica,) = state.replicas
        _, writer = await asyncio.open_connection(*replica.address)
        writer.close()

    async def test_the_address_is_known_before_it_is_ready(self, workloads, served, patience):
        await workloads.scale(served, 1)
        early = await until(workloads, served, lambda s: any(r.address for r in s.replicas), patience)
        assert len(early.replicas) == 1

    async def test_a_reader_elsewhere_sees_the_same(self, workloads, reader, served, patience):
        await workloads.scale(served, 1)
        there = await until(reader, served, ready, patience)
        assert await workloads.observe(served) == there
        await workloads.scale(served, 0)
        await until(reader, served, nothing, patience)

    async def test_ensuring_again_changes_nothing(self, workloads, served, runnable, patience):
        await workloads.scale(served, 1)
        before = await until(workloads, served, ready, patience)
        await workloads.ensure(runnable)
        assert await workloads.observe(served) == before

    async def test_a_replica_told_to_go_is_terminating_before_it_is_gone(self, workloads, served, patience):
        await workloads.scale(served, 1)
        await until(workloads, served, ready, patience)
        await workloads.scale(served, 0)
        state = await until(workloads, served, lambda s: not ready(s), patience)
        assert state.desired == 0
        assert all(replica.terminating for replica in state.replicas)
        await until(workloads, served, empty, patience)

    async def test_it_wakes_again_under_another_name(self, workloads, served, patience):
        names = []
        for _ in range(2):
            await workloads.scale(served, 1)
            state = await until(workloads, served, ready, patience)
            names.append(state.replicas[-1].name)
            await workloads.scale(served, 0)
            await until(workloads, served, empty, patience)
        assert len(set(names)) == 2

    async def test_changes_begin_with_every_endpoint(self, workloads, reader, served, patience):
        await self._named_by(workloads, served, patience)
        await workloads.scale(served, 1)
        await until(reader, served, ready, patience)
        await self._named_by(reader, served, patience)

    async def _named_by(self, reader: WorkloadReader, key: NamespacedName, patience: float) -> None:
        async with asyncio.timeout(patience), contextlib.aclosing(reader.changes()) as changes:
            while await anext(changes) != key:
                pass

    async def test_a_changed_workload_rolls_without_a_gap(self, workloads, served, runnable, patience):
        await workloads.scale(served, 1)
        old = (await until(workloads, served, ready, patience)).replicas[0].name
        gaps = []

        def rolled(state):
            serving = [r.name for r in state.replicas if r.ready and not r.terminating]
            if not serving:
                gaps.append(state)
            return serving != [] and old not in serving

        runtime = runnable.runtime.model_copy(update={"env": (EnvVar(name="ROLLED", value="yes"),)})
        await workloads.ensure(replace(runnable, runtime=runtime))
        await until(workloads, served, rolled, patience)
        assert gaps == []

    async def test_a_failed_start_says_why_and_each_one_counts(self, workloads, broken, patience):
        await workloads.ensure(broken)
        attempts = []
        for _ in range(2):
            await workloads.scale(broken.endpoint, 1)
            seen = attempts[-1] if attempts else 0
            state = await until(
                workloads, broken.endpoint, lambda s, seen=seen: failed(s) and s.failure.attempt > seen, patience
            )
            assert not ready(state)
            assert state.failure.reason.isalnum()
            assert state.failure.message
            attempts.append(state.failure.attempt)
            await workloads.scale(broken.endpoint, 0)
            await until(workloads, broken.endpoint, empty, patience)
        assert attempts == sorted(set(attempts))
        await workloads.remove(broken.endpoint)

    async def test_removing_takes_everything_and_may_be_repeated(self, workloads, reader, runnable, patience):
        await workloads.ensure(runnable)
        await workloads.scale(runnable.endpoint, 1)
        address = (await until(workloads, runnable.endpoint, ready, patience)).replicas[0].address
        for _ in range(2):
            await workloads.remove(runnable.endpoint)
        for each in (workloads, reader):
            await until(each, runnable.endpoint, lambda s: s is None, patience)
        assert runnable.endpoint not in await workloads.listed()
        await until_refused(address, patience)
