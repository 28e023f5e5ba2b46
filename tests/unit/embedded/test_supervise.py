"""Children are kept alive, all of them end with us, and orphans are told from strangers."""

import asyncio
import json
import subprocess
import sys

import psutil

from nightlatch.embedded.supervise import Child, Supervisor, next_delay, reap, recorded, write_record

SLEEPER = (sys.executable, "-c", "import time; time.sleep(600)")


async def until(condition):
    while not condition():
        await asyncio.sleep(0.01)


async def test_a_killed_child_comes_back_and_it_is_said(tmp_path):
    said = []
    supervisor = Supervisor(tmp_path, said.append)
    supervisor.start(Child("one", SLEEPER, tmp_path / "log"))
    await until(lambda: supervisor.pid("one"))
    first = supervisor.pid("one")
    psutil.Process(first).kill()
    await until(lambda: supervisor.pid("one") not in (None, first))
    assert "one was killed by SIGKILL" in said[0]
    await supervisor.stop()


async def test_stop_ends_a_child_that_ignores_sigterm_and_its_children(tmp_path):
    stubborn = (
        "import signal, subprocess, sys, time; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
        ""
        "p = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)']); print(p.pid, flush=True);"
        "time.sleep(600)"
    )
    log = tmp_path / "log"
    supervisor = Supervisor(tmp_path, lambda _: None)
    supervisor.start(Child("one", (sys.executable, "-c", stubborn), log))
    await until(lambda: log.exists() and log.read_text().strip())
    pids = [supervisor.pid("one"), int(log.read_text())]
    await supervisor.stop(grace_s=0.2)
    await until(lambda: not any(alive(pid) for pid in pids))


def alive(pid):
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_an_orphan_is_ended_and_named(tmp_path):
    orphan = subprocess.Popen(SLEEPER, start_new_session=True)
    write_record(tmp_path / "envoy-0.json", orphan.pid)
    assert reap(tmp_path) == ("envoy-0",)
    assert not psutil.pid_exists(orphan.pid)
    orphan.wait()
    assert list(tmp_path.iterdir()) == []


def test_a_stranger_with_the_same_process_id_is_left_alone(tmp_path):
    stranger = subprocess.Popen(SLEEPER, start_new_session=True)
    record = {"pid": stranger.pid, "started": psutil.Process(stranger.pid).create_time() - 60}
    (tmp_path / "envoy-0.json").write_text(json.dumps(record))
    assert recorded(tmp_path / "envoy-0.json") is None
    assert reap(tmp_path) == ()
    assert stranger.poll() is None
    stranger.kill()
    stranger.wait()


def test_restarts_slow_down_and_a_steady_child_starts_over():
    delays = [0.0]
    for _ in range(10):
        delays.append(next_delay(delays[-1], ran_s=0.1))
    assert delays[1:5] == [0.1, 0.2, 0.4, 0.8]
    assert delays[-1] == 10.0
    assert next_delay(10.0, ran_s=60) == 0.1
