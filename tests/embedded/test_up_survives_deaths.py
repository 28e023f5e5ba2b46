"""Processes die; what was warm stays warm, keys stay keys, and nobody is left behind."""

import asyncio
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import psutil
import pytest

from tests.embedded.command import nightlatch
from tests.embedded.running import ENVIRONMENT, manifest


@pytest.fixture(scope="module")
def up(lasting, tiny):
    return lasting(manifest("one", model=tiny, idle_after="10m"))


@pytest.fixture
async def warm(up):
    """An endpoint that is awake and stays so; an `up` that the test before ended runs again."""
    if up.process.poll() is not None:
        up.start()
    await up.started()
    await up.ready("one")
    connection = await up.connect("one")
    assert (await connection.send(up.embedding("one", up.key("one-bot")))).status == 200
    await up.until("Awake", lambda: _state_is(up, "Awake"))
    return up


async def _state_is(up, state):
    return (await up.view("one")).state == state


async def _other_process(up, name, pid):
    try:
        return up.child(name).pid != pid
    except psutil.NoSuchProcess:
        return False


async def test_a_gatekeeper_killed_under_load_costs_no_call_and_nothing_turns_cold(warm):
    """Envoy goes on by itself; the new gatekeeper finds the endpoint warm."""
    statuses: list[int] = []
    enough = asyncio.Event()

    async def load():
        connection = await warm.connect("one")
        while not enough.is_set():
            statuses.append((await connection.send(warm.embedding("one", warm.key("one-bot")))).status)

    callers = [asyncio.create_task(load()) for _ in range(4)]
    server = [child.pid for child in warm.children() if "nightlatch_server" in " ".join(child.cmdline())]
    gatekeeper = warm.child("gatekeeper-0")
    gatekeeper.kill()
    await warm.until("another gatekeeper", lambda: _other_process(warm, "gatekeeper-0", gatekeeper.pid))
    await warm.until("the gatekeeper's counters", lambda: _counts(warm))
    before = len(statuses)
    await warm.until("200 more calls", lambda: len(statuses) > before + 200)
    enough.set()
    await asyncio.gather(*callers)
    assert set(statuses) == {200}
    assert warm.probe.checks() == 0
    assert [c.pid for c in warm.children() if "nightlatch_server" in " ".join(c.cmdline())] == server
    assert (await warm.view("one")).state == "Awake"


async def _counts(up):
    try:
        return up.probe.checks() is not None
    except (OSError, ValueError):
        return False


async def test_envoy_killed_comes_back_with_the_same_routes(warm):
    envoy = warm.child("envoy-0")
    envoy.kill()
    await warm.until("another Envoy", lambda: _other_process(warm, "envoy-0", envoy.pid))
    await warm.until("an answer", lambda: _answers(warm), timeout_s=20)
    assert "envoy-0 was killed by SIGKILL" in warm.printed
    connection = await warm.connect("one")
    assert (await connection.send(warm.embedding("one", None))).status == 401
    assert (await warm.view("one")).state == "Awake"


async def _answers(up):
    try:
        connection = await up.connect("one")
        return (await connection.send(up.embedding("one", up.key("one-bot")))).status == 200
    except (OSError, asyncio.IncompleteReadError):
        return False


async def test_after_sigkill_the_next_start_ends_the_orphans_and_keeps_the_keys(warm):
    key = warm.key("one-bot")
    orphans = warm.children()
    warm.kill()
    assert any(orphan.is_running() for orphan in orphans)

    warm.start()
    await warm.until("the second start", lambda: "which an earlier `nightlatch up` left behind" in warm.printed)
    await warm.ready("one")
    await warm.until("an answer", lambda: _answers(warm))

    assert warm.key("one-bot") == key
    running = {child.pid for child in warm.children()}
    left = [orphan for orphan in orphans if orphan.is_running() and orphan.status() != "zombie"]
    assert {orphan.pid for orphan in left} <= running


async def test_a_second_up_on_the_same_state_directory_is_refused(warm):
    second = nightlatch("up", warm.manifest, "--state-dir", warm.state, "--port", "0")
    assert second.returncode == 1
    assert f"already running on {warm.state} (process {warm.process.pid})" in second.stderr
    assert (await warm.view("one")).state == "Awake"


async def test_a_port_in_use_is_refused_before_anything_starts(warm, tmp_path):
    second = nightlatch("up", warm.manifest, "--state-dir", tmp_path / "state", "--port", warm.ports[0])
    assert second.returncode == 1
    assert f"error: port {warm.ports[0]} on 127.0.0.1 is in use" in second.stderr
    assert "--port" in second.stderr
    assert not list((tmp_path / "state" / "processes").iterdir())


@pytest.fixture
def public():
    """A directory whose path anybody may go, and short enough for a Unix socket below it."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory)
        path.chmod(0o755)
        yield path


def test_a_state_directory_without_permission_is_a_clear_error(public, tiny):
    """Root may do everything, so a root steps down, once all is imported."""
    (public / "app.yaml").write_text(manifest("one", model=tiny))
    locked = public / "locked"
    locked.mkdir(mode=0o500)
    program = (
        "import os, sys, nightlatch.cli.up; from nightlatch.cli import main\n"
        "if os.geteuid() == 0: os.seteuid(65534)\n"
        "main(sys.argv[1:])"
    )
    arguments = ["up", public / "app.yaml", "--state-dir", locked / "state", "--port", "0"]
    ended = subprocess.run(
        [sys.executable, "-c", program, *map(str, arguments)],
        capture_output=True,
        text=True,
        env=ENVIRONMENT,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 1
    assert f"error: cannot use {locked / 'state'} as the state directory: Permission denied" in ended.stderr
    assert "--state-dir" in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_ctrl_c_ends_every_child_and_exits_with_0(warm, number):
    children = warm.children()
    assert len(children) >= 3
    warm.process.send_signal(number)
    assert await asyncio.to_thread(warm.process.wait, 30) == 0
    assert not [child for child in children if child.is_running() and child.status() != "zombie"]
    assert "Traceback" not in warm.printed
