"""The workloads seam over local processes: the contract, and what only processes promise."""

import asyncio
import json
import os
import signal
import stat
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from nightlatch.api.endpoint import EnvVar, ModelSource, Runtime
from nightlatch.api.meta import NamespacedName
from nightlatch.planning.workload import Workload
from nightlatch.workloads.processes import installation
from nightlatch.workloads.processes.model_process import MODEL_SERVER
from nightlatch.workloads.processes.reader import ProcessWorkloadReader
from nightlatch.workloads.processes.workloads import ProcessWorkloads
from nightlatch.workloads.protocol import WorkloadError
from tests.contract.workloads_contract import WorkloadsContract, empty, failed, ready, until

STAND_IN = (sys.executable, str(Path(__file__).with_name("stand_in_server.py")))
SERVED, BROKEN = NamespacedName("search", "minilm"), NamespacedName("search", "broken")
PATIENCE = 60.0


class Secrets:
    """One Secret for all, which a test may change."""

    def __init__(self):
        self.data = {"tls.crt": b"certificate 1", "tls.key": b"key 1", "ca.crt": b"ca 1"}

    async def read(self, _key):
        return dict(self.data)


@pytest.fixture
def secrets():
    return Secrets()


@pytest.fixture
def root(tmp_path):
    return tmp_path / "state" / "workloads"


@pytest.fixture
async def workloads(root, secrets):
    workloads = ProcessWorkloads(root, secrets.read, program=STAND_IN)
    await workloads.reap()
    yield workloads
    await workloads.close()


@pytest.fixture
def reader(root):
    return ProcessWorkloadReader(root)


@pytest.fixture
def patience():
    return PATIENCE


@pytest.fixture
def runnable(tmp_path):
    return workload(SERVED, tmp_path / "model")


@pytest.fixture
def broken(tmp_path):
    made = workload(BROKEN, tmp_path / "broken")
    (tmp_path / "broken" / "broken").touch()
    return made


def workload(endpoint, model, **runtime):
    model.mkdir(exist_ok=True)
    return Workload(
        endpoint=endpoint,
        uid="1-2-3",
        model_name=endpoint.name,
        source=ModelSource(path=str(model)),
        digest=None,
        runtime=Runtime(**runtime),
        tls_secret="upstream",
        admit="spiffe://nightlatch.test/gateway",
    )


class TestProcessWorkloads(WorkloadsContract):
    """The contract."""


def only_process(root):
    """The model server on record, as the machine knows it."""
    (record,) = root.glob("*/*/replica-*.json")
    return psutil.Process(json.loads(record.read_bytes())["pid"])


async def wake(workloads, wanted):
    await workloads.ensure(wanted)
    await workloads.scale(wanted.endpoint, 1)
    return await until(workloads, wanted.endpoint, ready, PATIENCE)


def log_named_in(message):
    return Path(message.partition("(log: ")[2].rstrip(")")).read_text()


async def test_a_crash_is_told_with_its_cause_and_not_repaired(workloads, runnable, root):
    await wake(workloads, runnable)
    only_process(root).kill()
    state = await until(workloads, SERVED, failed, PATIENCE)
    assert state.failure.reason == "ModelServerExited"
    assert "killed by signal 9 while serving" in state.failure.message
    assert (state.desired, state.replicas) == (1, ())


async def test_a_failed_start_names_status_cause_and_log(workloads, broken):
    await workloads.ensure(broken)
    await workloads.scale(BROKEN, 1)
    message = (await until(workloads, BROKEN, failed, PATIENCE)).failure.message
    assert "exited with status 3 before it was ready: the package is refused: no model.json" in message
    assert log_named_in(message).startswith("Traceback")


async def test_a_missing_model_is_named_before_anything_starts(workloads, runnable, tmp_path):
    (tmp_path / "model").rmdir()
    await workloads.ensure(runnable)
    first = (await workloads.observe(SERVED)).failure
    assert (first.reason, first.attempt) == ("ModelNotFound", 1)
    assert str(tmp_path / "model") in first.message
    await workloads.ensure(runnable)
    assert (await workloads.observe(SERVED)).failure == first, "a resync is no new attempt"
    await workloads.scale(SERVED, 1)
    assert (await workloads.observe(SERVED)).failure.attempt == 2
    (tmp_path / "model").mkdir()
    await workloads.scale(SERVED, 1)
    assert (await until(workloads, SERVED, ready, PATIENCE)).failure is None


async def test_a_broken_new_command_leaves_the_old_replica_in_service(workloads, runnable, broken):
    before = await wake(workloads, runnable)
    await workloads.ensure(replace(runnable, source=broken.source))
    state = await until(workloads, SERVED, failed, PATIENCE)
    assert state.replicas == before.replicas
    await workloads.ensure(runnable)
    assert (await workloads.observe(SERVED)).replicas == before.replicas


async def test_a_model_server_that_ignores_its_end_is_killed(workloads, runnable, root, tmp_path):
    (tmp_path / "model" / "stubborn").touch()
    await wake(workloads, runnable)
    process = only_process(root)
    await workloads.remove(SERVED)
    assert not process.is_running()


async def test_the_state_is_private_and_the_certificate_follows_its_secret(workloads, runnable, root, secrets):
    await wake(workloads, runnable)
    secrets.data = {"tls.crt": b"certificate 2", "tls.key": b"key 2", "ca.crt": b"ca 1"}
    before = only_process(root).pid
    await workloads.ensure(runnable)
    tls = root / "search" / "minilm" / "tls"
    assert (tls / "tls.crt").read_bytes() == b"certificate 2"
    assert (tls / "tls.key").read_bytes() == b"key 2"
    assert only_process(root).pid == before, "a renewed certificate restarts nothing"
    for path in (root, *root.rglob("*")):
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600), path


async def test_a_secret_without_a_key_is_refused_by_name(workloads, runnable, secrets):
    del secrets.data["tls.key"]
    with pytest.raises(WorkloadError, match=r"upstream lacks tls\.key"):
        await workloads.ensure(runnable)


async def test_a_source_of_the_cluster_is_refused(workloads, runnable):
    with pytest.raises(WorkloadError, match=r"spec\.model\.source\.path"):
        await workloads.ensure(replace(runnable, source=ModelSource(uri="https://models.example/x")))


async def test_what_is_told_of_the_installation_is_kept_beside_what_people_ask_for(workloads, root):
    assert await workloads.tell_installation({"rollover": "none"}) == {}
    installation.annotate(root, "nightlatch.dev/rollover", "now")
    assert installation.read_told(root) == {"rollover": "none"}
    asked = {"nightlatch.dev/rollover": "now"}
    assert await workloads.tell_installation({"rollover": "under way"}) == asked
    assert (installation.read_told(root), await workloads.listed()) == ({"rollover": "under way"}, ())


async def test_the_model_server_inherits_no_secret(workloads, runnable, tmp_path, monkeypatch):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hush")
    runtime = Runtime(env=(EnvVar(name="WANTED", value="1"),))
    await wake(workloads, replace(runnable, runtime=runtime))
    (written,) = (tmp_path / "model").glob("environment-*")
    environment = json.loads(written.read_text())
    assert "AWS_SECRET_ACCESS_KEY" not in environment
    assert (environment["WANTED"], environment["PYTHONUNBUFFERED"]) == ("1", "1")


async def test_the_model_server_leads_a_session_of_its_own(workloads, runnable, root):
    await wake(workloads, runnable)
    pid = only_process(root).pid
    assert os.getsid(pid) == pid


async def test_a_successor_ends_orphans_and_nobody_else(root, secrets, runnable, tmp_path):
    owner = await asyncio.create_subprocess_exec(
        sys.executable, "-c", OWNER, str(root), str(tmp_path / "model"), *STAND_IN, env=child_environment()
    )
    reader = ProcessWorkloadReader(root)
    await until(reader, SERVED, ready, PATIENCE)
    owner.send_signal(signal.SIGKILL)
    await owner.wait()
    orphan = only_process(root)
    bystander = stand_in_elsewhere(tmp_path)
    # A record whose pid is somebody else's by now.
    record = root / "search" / "minilm" / "replica-77.json"
    record.write_text(json.dumps({"name": "x", "pid": bystander.pid, "created": 1.0, "address": None}))
    try:
        successor = ProcessWorkloads(root, secrets.read, program=STAND_IN)
        assert orphan.is_running()
        assert await successor.reap() == 1
        assert not orphan.is_running() or orphan.status() == psutil.STATUS_ZOMBIE
        assert bystander.poll() is None
        state = await successor.observe(SERVED)
        assert (state.desired, state.replicas) == (0, ())
        assert ready(await wake(successor, runnable))
        await successor.close()
    finally:
        bystander.kill()
        bystander.wait()


OWNER = """
import asyncio, sys
from pathlib import Path
from nightlatch.workloads.processes.workloads import ProcessWorkloads
from tests.contract.test_process_workloads import SERVED, Secrets, workload

async def main():
    workloads = ProcessWorkloads(Path(sys.argv[1]), Secrets().read, program=tuple(sys.argv[3:]))
    await workloads.ensure(workload(SERVED, Path(sys.argv[2])))
    await workloads.scale(SERVED, 1)
    await asyncio.Event().wait()

asyncio.run(main())
"""


def stand_in_elsewhere(directory):
    """The same program, in nobody's state directory."""
    options = ("--model-dir", directory, "--tls-cert", "x", "--termination-message", "x")
    return subprocess.Popen((*STAND_IN, *options, "--announce", directory / "announce"))


def child_environment():
    return {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}


async def test_the_real_model_server_starts_and_drains(root, tmp_path, runnable):
    from nightlatch_server.model_package.writer import write_package
    from tests.unit.model_server import tiny_model
    from tests.unit.model_server.process import CertificateAuthority

    write_package(tiny_model.write(tmp_path / "model"), name="minilm")
    authority = CertificateAuthority()
    certificate, key = authority.issue(tmp_path, "server", "spiffe://nightlatch.test/ns/search/ie/minilm")
    secrets = Secrets()
    secrets.data = {"tls.crt": certificate.read_bytes(), "tls.key": key.read_bytes(), "ca.crt": authority.pem}
    workloads = ProcessWorkloads(root, secrets.read, program=MODEL_SERVER)
    try:
        state = await wake(workloads, runnable)
        assert state.failure is None
        await workloads.scale(SERVED, 0)
        await until(workloads, SERVED, empty, PATIENCE)
        assert not failed(await workloads.observe(SERVED))
    finally:
        await workloads.close()
