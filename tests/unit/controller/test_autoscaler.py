"""The leader end to end: real report streams over mTLS, real processes; only the hold behind the stream is scripted."""

import asyncio
import contextlib
import sys
from pathlib import Path

import pytest

from nightlatch.api.endpoint import Access, EndpointSpec, Model, ModelSource, Runtime, Scaling
from nightlatch.api.meta import NamespacedName, ObjectMeta
from nightlatch.controller.autoscaling import autoscaler
from nightlatch.controller.autoscaling.autoscaler import Autoscaler
from nightlatch.controller.autoscaling.runtime_status import RuntimeStatus
from nightlatch.embedded.gateway_directory import FileGatewayDirectory
from nightlatch.planning.plan import DocumentSequence
from nightlatch.planning.workload import Workload
from nightlatch.scaling.endpoint_scaling import DesiredScaling
from nightlatch.wire.report import WakeReport
from nightlatch.workloads.processes.workloads import ProcessWorkloads
from tests.unit.controller.stand_in_gateway import Pki, StandInGateway

STAND_IN = (sys.executable, str(Path(__file__).parents[2] / "contract" / "stand_in_server.py"))
KEY = NamespacedName("search", "minilm")
PATIENCE = 30


def anything(_directive):
    return True


async def read_secret(_key):
    return {"tls.crt": b"x", "tls.key": b"x", "ca.crt": b"x"}


def desired(path, idle_after="1h", generation=1, uid="1", **scaling):
    return DesiredScaling.of(
        ObjectMeta(name=KEY.name, namespace=KEY.namespace, generation=generation, uid=uid),
        EndpointSpec(
            model=Model(source=ModelSource(path=str(path))),
            scaling=Scaling(idle_after=idle_after, **scaling),
            access=Access(),
        ),
    )


class House:
    """Gateways, workloads, runtime status and autoscaler of one test."""

    def __init__(self, tmp_path, gateways=1):
        self.pki = Pki()
        self.model = tmp_path / "model"
        self.model.mkdir()
        announcements = {f"gateway-{n}": tmp_path / "gateways" / str(n) / "announce.json" for n in range(gateways)}
        self.gateways = [StandInGateway(name, KEY, self.pki, path) for name, path in announcements.items()]
        for path in announcements.values():
            path.parent.mkdir(parents=True)
        self.workloads = ProcessWorkloads(tmp_path / "workloads", read_secret, program=STAND_IN)
        self.directory = FileGatewayDirectory(announcements)
        self.changed = asyncio.Event()
        self.runtime_status = RuntimeStatus()
        self.runtime_status.subscribe(lambda _key: self.changed.set())
        self.autoscaler = self.new_leader()

    def new_leader(self):
        async def material():
            return self.pki.operator

        return Autoscaler(
            workloads=self.workloads, runtime_status=self.runtime_status, directory=self.directory, material=material
        )

    async def ensure(self):
        await self.workloads.ensure(
            Workload(
                endpoint=KEY,
                uid="1",
                model_name=KEY.name,
                source=ModelSource(path=str(self.model)),
                digest=None,
                runtime=Runtime(),
                tls_secret="tls",
                admit="spiffe://nightlatch.test/gateway",
            )
        )

    async def until(self, holds):
        """The endpoint's runtime, once the condition holds of it."""
        try:
            async with asyncio.timeout(PATIENCE):
                while not holds(self.runtime_status.get(KEY)):
                    self.changed.clear()
                    await self.changed.wait()
        except TimeoutError:
            pytest.fail(f"never came; status {self.runtime_status.get(KEY)}, gateways {self.gateways[0].says}")
        return self.runtime_status.get(KEY)

    @contextlib.asynccontextmanager
    async def led(self, leader=None):
        task = asyncio.create_task((leader or self.autoscaler).run())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait({task})


@pytest.fixture
async def house(tmp_path):
    house = House(tmp_path)
    async with lived_in(house):
        yield house


@pytest.fixture
async def house_of_two(tmp_path):
    house = House(tmp_path, gateways=2)
    async with lived_in(house):
        yield house


@contextlib.asynccontextmanager
async def lived_in(house):
    await house.ensure()
    for gateway in house.gateways:
        await gateway.start()
    async with house.led():
        yield
    for gateway in house.gateways:
        await gateway.stop()
    await house.workloads.close()


async def wake(house):
    house.gateways[0].say(held=1, phase="Waking")
    await house.until(lambda r: r.state == "Awake")
    for gateway in house.gateways:
        gateway.say(held=0, phase="Warm", issued=1)


async def test_a_new_leader_is_settled_once_every_gateway_has_reported(tmp_path, monkeypatch):
    monkeypatch.setattr(autoscaler, "SETTLE_SECONDS", 600)
    house = House(tmp_path, gateways=2)
    late = house.gateways.pop()
    async with lived_in(house):
        house.autoscaler.declare(desired(house.model))
        assert not (await house.until(lambda r: r.applied)).settled
        await late.start()
        await house.until(lambda r: r.settled and len(r.applied) == 2)
        await late.stop()
        await house.until(lambda r: r.settled and r.disconnected == (late.name,))


async def test_a_gateway_that_never_reports_is_disconnected_after_a_while(tmp_path, monkeypatch):
    monkeypatch.setattr(autoscaler, "SETTLE_SECONDS", 0.2)
    house = House(tmp_path, gateways=2)
    silent = house.gateways.pop()
    async with lived_in(house):
        house.autoscaler.declare(desired(house.model))
        await house.until(lambda r: r.settled and r.disconnected == (silent.name,))


async def test_without_demand_nothing_starts(house):
    house.autoscaler.declare(desired(house.model))
    assert (await house.gateways[0].until(anything)).state == "Asleep"
    runtime = await house.until(lambda r: r.applied == {"gateway-0": 1})
    assert (runtime.state, runtime.desired, runtime.disconnected) == ("Asleep", 0, ())


async def test_a_held_call_starts_one_replica_and_gateways_hear_of_it(house):
    house.autoscaler.declare(desired(house.model))
    await house.gateways[0].until(lambda d: d.state == "Asleep")
    house.gateways[0].say(held=3, phase="Waking")
    await house.gateways[0].until(lambda d: d.state == "Waking")
    runtime = await house.until(lambda r: r.state == "Awake")
    assert (runtime.desired, runtime.replicas, runtime.failure) == (1, 1, None)


async def test_the_minimum_is_started_without_demand(house):
    house.autoscaler.declare(desired(house.model, min_replicas=1))
    await house.until(lambda r: r.replicas == 1)


async def test_an_idle_endpoint_goes_to_zero_by_the_drain_protocol(house_of_two):
    house = house_of_two
    house.autoscaler.declare(desired(house.model, idle_after="300ms"))
    await wake(house)
    await house.until(lambda r: r.state == "Asleep" and r.replicas == 0)
    for gateway in house.gateways:
        states = [d.state for d in gateway.directives]
        drain = next(d for d in gateway.directives if d.state == "Draining")
        asleep = next(d for d in gateway.directives[states.index("Draining") :] if d.state == "Asleep")
        assert asleep.epoch == drain.epoch


async def test_a_silent_gateway_keeps_the_endpoint_awake_until_it_is_back(house_of_two):
    house = house_of_two
    house.autoscaler.declare(desired(house.model, idle_after="300ms"))
    house.gateways[1].obedient = False
    await wake(house)
    await house.gateways[1].until(lambda d: d.state == "Draining")
    await house.gateways[1].stop()
    runtime = await house.until(lambda r: r.disconnected == ("gateway-1",))
    assert (runtime.state, runtime.desired) == ("Draining", 1)
    house.gateways[1].obedient = True
    await house.gateways[1].start()
    await house.until(lambda r: r.state == "Asleep" and not r.disconnected)


async def test_a_held_call_during_the_drain_aborts_it(house):
    house.autoscaler.declare(desired(house.model, idle_after="300ms"))
    await wake(house)
    house.gateways[0].obedient = False
    drain = await house.gateways[0].until(lambda d: d.state == "Draining")
    house.gateways[0].say(phase="Warm", held=1, refused_epoch=drain.epoch)
    again = await house.gateways[0].until(lambda d: d.state == "Awake" and d.epoch > drain.epoch)
    assert again.epoch == drain.epoch + 1
    assert (await house.workloads.observe(KEY)).desired == 1


async def test_a_failed_start_is_told_to_gateways_and_tried_again(house):
    (house.model / "broken").touch()
    house.autoscaler.declare(desired(house.model))
    house.gateways[0].say(held=1, phase="Waking")
    reported = await house.gateways[0].until(lambda d: d.failure is not None)
    assert reported.failure.reason == "ModelServerExited"
    assert house.runtime_status.get(KEY).failure == reported.failure
    (house.model / "broken").unlink()
    runtime = await house.until(lambda r: r.state == "Awake")
    assert runtime.failure is None


async def test_a_new_leader_adopts_the_replica_and_waits_a_whole_window(house):
    house.autoscaler.declare(desired(house.model))
    await wake(house)
    before = await house.workloads.observe(KEY)
    epoch = house.gateways[0].newest.epoch
    successor = house.new_leader()
    successor.declare(desired(house.model))
    house.gateways[0].directives.clear()
    async with house.led(successor):
        adopted = await house.gateways[0].until(anything)
        assert adopted.state == "Awake"
        assert adopted.epoch >= epoch
        assert await house.workloads.observe(KEY) == before


async def test_a_finished_wake_and_a_refused_document_reach_the_runtime_status(house):
    house.autoscaler.declare(desired(house.model))
    wake_report = WakeReport(KEY, at=5.0, phases={"start": 12.0})
    house.gateways[0].wakes = (wake_report,)
    house.gateways[0].say(nacked="route: no such cluster")
    runtime = await house.until(lambda r: r.last_wake is not None and r.nacks)
    assert runtime.last_wake == wake_report
    assert runtime.nacks == {"gateway-0": "route: no such cluster"}


async def test_a_forgotten_endpoint_is_nobodys_business(house):
    house.autoscaler.declare(desired(house.model))
    await house.gateways[0].until(lambda d: d.state == "Asleep")
    house.autoscaler.forget(KEY)
    assert house.autoscaler.directives().directives == ()


async def test_an_endpoint_made_again_under_its_name_starts_afresh(house):
    house.autoscaler.declare(desired(house.model))
    house.gateways[0].wakes = (WakeReport(KEY, at=5.0, phases={"start": 12.0}),)
    house.gateways[0].say()
    await house.until(lambda r: r.last_wake is not None)
    house.gateways[0].wakes = ()
    house.autoscaler.declare(desired(house.model, uid="2"))
    await house.until(lambda r: r.applied and r.last_wake is None)


async def test_a_peer_of_another_ca_is_not_believed(tmp_path):
    house = House(tmp_path)
    house.gateways[0]._pki = Pki()
    house.autoscaler.declare(desired(house.model))
    async with lived_in(house):
        runtime = await house.until(lambda r: r.disconnected == ("gateway-0",))
        assert runtime.applied == {}
        await asyncio.sleep(0.3)
        assert house.gateways[0].directives == []


async def test_a_renewed_certificate_is_used_at_the_next_dial(house):
    house.autoscaler.declare(desired(house.model))
    await house.gateways[0].until(anything)
    house.pki.operator = house.pki.issue("spiffe://nightlatch.test/somebody-else", "client")
    await house.gateways[0].stop()
    house.gateways[0].directives.clear()
    await house.gateways[0].start()
    await house.until(lambda r: r.disconnected == ("gateway-0",))
    await asyncio.sleep(0.5)
    assert house.gateways[0].directives == [], "only the operator's identity is admitted"
    house.pki.operator = house.pki.issue("spiffe://nightlatch.test/operator", "client")
    await house.gateways[0].until(lambda d: d.state == "Asleep")


async def told(gateway, condition):
    """The sequences of documents as they came, once the condition holds of them."""
    async with asyncio.timeout(PATIENCE):
        while not condition(gateway.documents):
            await asyncio.sleep(0.01)
    return gateway.documents


async def test_the_newest_sequences_go_down_as_a_whole_and_then_as_they_change(house):
    gateway = house.gateways[0]
    house.autoscaler.written(DocumentSequence("route.search.a", 7))
    house.autoscaler.written(DocumentSequence("route.search.b", 8))
    await told(gateway, lambda seen: any("route.search.b" in documents for _, documents in seen))
    house.autoscaler.written(DocumentSequence("route.search.a", 9))
    seen = await told(gateway, lambda seen: (False, {"route.search.a": 9}) in seen)
    count = len(seen)
    house.autoscaler.written(DocumentSequence("route.search.a", 9))
    house.autoscaler.written(DocumentSequence("route.search.b", 0))
    seen = await told(gateway, lambda seen: len(seen) > count)
    assert seen[count] == (False, {"route.search.b": 0})
    await gateway.stop()
    gateway.documents.clear()
    await gateway.start()
    seen = await told(gateway, lambda seen: seen)
    assert seen[0] == (True, {"route.search.a": 9, "route.search.b": 0})


async def test_a_gateway_of_the_first_format_is_led_like_any_other(house):
    house.gateways[0].reads = 1
    house.autoscaler.written(DocumentSequence("route.search.minilm", 7))
    house.autoscaler.declare(desired(house.model))
    await house.until(lambda r: r.formats == {"gateway-0": 1})
    await wake(house)
    assert all(not documents for _, documents in house.gateways[0].documents)


async def test_a_gateway_of_the_next_format_is_led_like_any_other(house):
    house.gateways[0].reads = 3
    house.autoscaler.declare(desired(house.model))
    await house.until(lambda r: r.formats == {"gateway-0": 3})
    await wake(house)


async def test_a_gateway_that_is_silent_reads_nobody_knows_what(house_of_two):
    await house_of_two.gateways[1].stop()
    house_of_two.autoscaler.declare(desired(house_of_two.model))
    await house_of_two.until(lambda r: r.formats == {"gateway-0": 2, "gateway-1": None})
