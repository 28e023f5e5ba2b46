"""Starts and stops the bundled node from outside: process 1 runs in its own namespaces."""

import datetime as dt
import secrets
import shutil
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import IO

from tools.node import record
from tools.node.artifacts.go_build import built
from tools.node.artifacts.image_archive import binary_archive
from tools.node.artifacts.programs import HYPERKUBE, PAUSE
from tools.node.bundled import cgroups, kubeconfig, network, requirements
from tools.node.bundled.certs import write_all
from tools.node.bundled.components import CNI_PLUGINS, PAUSE_IMAGE, Layout, write_configuration
from tools.node.bundled.inside import READY, Order
from tools.node.bundled.network import AddressPlan
from tools.node.errors import NodeError
from tools.node.paths import HIDDEN, REPOSITORY, State, is_hidden
from tools.node.processes import ProcessIdentity, identify, is_running, kill
from tools.node.progress import Progress
from tools.node.record import Record

CONTROL_PLANE, ALL = "control-plane", "all"
KILL_TIMEOUT_S = 30.0
UNSHARE = ("unshare", "--mount", "--propagation", "slave", "--net", "--pid", "--ipc", "--fork", "--kill-child")


def up(state: State, mode: str, progress: Progress, *, install: bool, kubelet_sync: str = "1m") -> None:
    """Start a fresh cluster and return when it is ready. Removes first what a killed `up` left behind.

    If the cluster cannot start, everything is undone. Raises NodeError.
    """
    requirements.ensure(runs_pods=mode == ALL, install=install)
    _refuse_hidden(state)
    _clear_leftovers(state, progress)
    programs = built(HYPERKUBE, progress).parent
    pause = binary_archive(PAUSE_IMAGE, built(PAUSE, progress))
    for directory in (state.logs, state.configuration):
        shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir(parents=True)
    (state.configuration / "pause.oci.tar").write_bytes(pause)
    process = _start_init(state)
    try:
        _give_order(state, mode, programs, process, kubelet_sync)
        _follow(process, progress)
    except BaseException:
        process.kill()
        process.wait()
        if state.record.exists():
            down(state, wipe=False)
        raise
    progress.step(f"Cluster is up: export KUBECONFIG={state.kubeconfig}")


def down(state: State, *, wipe: bool) -> bool:
    """Stop the cluster and undo every change; False if there was none. Logs stay unless `wipe`."""
    known = record.read(state.record)
    if known:
        for process in known.processes:
            kill(process, KILL_TIMEOUT_S)
        _wait_for_link_to_go(known)
        if known.cgroup:
            cgroups.remove(known.cgroup, known.controllers)
        for directory in (state.var, state.certificates, state.configuration, state.sysctls):
            shutil.rmtree(directory, ignore_errors=True)
        state.kubeconfig.unlink(missing_ok=True)
        state.record.unlink()
    if wipe:
        shutil.rmtree(state.root, ignore_errors=True)
    return known is not None


def enter(known: Record, *command: str) -> list[str]:
    """Return the command line that runs `command` in the node's mount, network and pid namespaces."""
    if not is_running(known.init):
        raise NodeError("The node is not running: see its logs, then run `down` and `up`")
    return ["nsenter", "--target", str(known.init.pid), "--mount", "--net", "--pid", "--", *command]


def load_image(known: Record, path: Path) -> None:
    """Import an OCI or Docker image archive into the node's containerd."""
    command = enter(known, "ctr", "--namespace", "k8s.io", "images", "import", "-")
    with path.open("rb") as tar:
        done = subprocess.run(command, check=False, stdin=tar, capture_output=True, text=True)
    if done.returncode:
        raise NodeError(f"containerd refused {path}: {done.stderr.strip()}")


def _refuse_hidden(state: State) -> None:
    if is_hidden(state.root):
        below = ", ".join(map(str, HIDDEN))
        raise NodeError(f"The node has its own {below}: choose a --state-dir elsewhere than {state.root}")


def _clear_leftovers(state: State, progress: Progress) -> None:
    known = record.read(state.record)
    if known and any(map(is_running, known.processes)):
        raise NodeError(f"A cluster is up in {state.root}: run `down` first")
    if known:
        progress.step("Removing what an earlier cluster left behind")
        down(state, wipe=False)


def _start_init(state: State) -> subprocess.Popen[str]:
    """Start process 1. It waits for its order, and ends if we end before we send it."""
    with (state.logs / "init.log").open("w", encoding="utf-8") as log:
        return subprocess.Popen(
            [*UNSHARE, sys.executable, "-m", "tools.node.bundled.inside"],
            cwd=REPOSITORY,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            start_new_session=True,
        )


def _give_order(state: State, mode: str, programs: Path, process: subprocess.Popen[str], kubelet_sync: str) -> None:
    """Link the node to the host, write down what `down` must know, prepare the files, and send the order."""
    identities = _identities(process)
    plan = network.connect(identities[0].pid)
    known = _record(mode, plan, identities)
    record.write(state.record, known)
    if known.cgroup:
        cgroups.create(known.cgroup, known.controllers)
    layout = replace(_layout(state, plan, programs, known.cgroup), kubelet_sync=kubelet_sync)
    write_configuration(layout)
    _write_credentials(state, plan)
    _send(process, _order(layout, runs_pods=mode == ALL))


def _identities(process: subprocess.Popen[str]) -> list[ProcessIdentity]:
    """Return process 1 and its parent, `unshare`."""
    first = _output(process).readline().strip()
    found = [identify(int(first)) if first.isdigit() else None, identify(process.pid)]
    if None in found:
        raise NodeError("Could not start a process in new namespaces, which needs CAP_SYS_ADMIN: see init.log")
    return [identity for identity in found if identity]


def _record(mode: str, plan: AddressPlan, identities: list[ProcessIdentity]) -> Record:
    known = Record("node", mode, identities, plan.name, network.link_index(plan.name) or 0, plan.server)
    if mode == CONTROL_PLANE:
        return known
    return Record(
        **vars(known) | {"cgroup": f"nightlatch-{secrets.token_hex(4)}", "controllers": cgroups.missing_controllers()}
    )


def _layout(state: State, plan: AddressPlan, programs: Path, cgroup: str) -> Layout:
    plugins = requirements.find_cni_plugins() or CNI_PLUGINS[0]
    return Layout(state, plan, programs, cgroup, plugins, _snapshotter(state.root))


def _snapshotter(directory: Path) -> str:
    """Return containerd's snapshotter for this file system: overlayfs does not work on another overlay."""
    stat = subprocess.run(["stat", "-f", "-c", "%T", str(directory)], check=True, capture_output=True, text=True)
    return "native" if stat.stdout.strip() == "overlayfs" else "overlayfs"


def _write_credentials(state: State, plan: AddressPlan) -> None:
    clients = write_all(state.certificates, plan, dt.datetime.now(dt.UTC))
    ca = (state.certificates / "ca.crt").read_bytes()
    for name, issued in clients.items():
        document = kubeconfig.document(name, plan.server, ca, issued.certificate_pem, issued.key_pem)
        kubeconfig.write(state.certificates / f"{name}.kubeconfig", document)
        if name == "admin":
            kubeconfig.write(state.kubeconfig, document)


def _order(layout: Layout, *, runs_pods: bool) -> Order:
    return Order(
        state=str(layout.state.root),
        slot=layout.plan.slot,
        programs=str(layout.programs),
        cgroup=layout.cgroup,
        cni_plugins=str(layout.cni_plugins),
        snapshotter=layout.snapshotter,
        runs_pods=runs_pods,
    )


def _send(process: subprocess.Popen[str], order: Order) -> None:
    assert process.stdin is not None
    process.stdin.write(order.to_line())
    process.stdin.close()


def _follow(process: subprocess.Popen[str], progress: Progress) -> None:
    """Show process 1's progress until it is ready."""
    lines: list[str] = []
    for line in _output(process):
        if line.strip() == READY:
            return
        progress.step(line.rstrip())
        lines.append(line)
    raise NodeError("The node did not start: its last lines are above, and they name its logs")


def _output(process: subprocess.Popen[str]) -> IO[str]:
    assert process.stdout is not None
    return process.stdout


def _wait_for_link_to_go(known: Record) -> None:
    """Wait for the kernel, which removes the link a moment after the last process in the namespace ended."""
    deadline = time.monotonic() + 15
    while known.link_index and network.link_index(known.link) == known.link_index:
        if time.monotonic() > deadline:
            raise NodeError(f"Link {known.link} is still there: a process of yours is still in the node's network")
        time.sleep(0.02)
