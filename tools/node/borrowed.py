"""Clusters that others run: kind, made and removed by us under one fixed name, and the current context.

kind is untested where the bundled node is developed: no container engine answers there. `current` is tried with the
bundled node itself as the present context.
"""

import shutil
import subprocess
from pathlib import Path

from tools.node import record
from tools.node.artifacts.go_build import built
from tools.node.artifacts.programs import HYPERKUBE, KIND, KUBERNETES_VERSION
from tools.node.errors import NodeError
from tools.node.paths import State
from tools.node.progress import Progress
from tools.node.record import Record

KIND_NAME = "nightlatch"


def up_kind(state: State, progress: Progress) -> None:
    """Create a kind cluster named `nightlatch`, its kubeconfig in our state directory and nowhere else."""
    if not shutil.which("docker") or subprocess.run(["docker", "info"], check=False, capture_output=True).returncode:
        raise NodeError("CLUSTER=kind needs a Docker engine that answers `docker info`")
    kind = built(KIND, progress)
    if (
        KIND_NAME
        in subprocess.run([kind, "get", "clusters"], check=True, capture_output=True, text=True).stdout.split()
    ):
        raise NodeError(
            f"A kind cluster {KIND_NAME!r} that is not ours exists: `kind delete cluster --name {KIND_NAME}`"
        )
    _begin(state, Record("kind"))
    progress.step(
        f"kind creates a cluster (Kubernetes of kind's own choice; the bundled node has {KUBERNETES_VERSION})"
    )
    _run([str(kind), "create", "cluster", "--name", KIND_NAME, "--kubeconfig", str(state.kubeconfig), "--wait", "180s"])


def up_current(state: State, progress: Progress) -> None:
    """Use the present context: its credentials are copied, so that a later switch of context changes nothing."""
    kubectl = str(built(HYPERKUBE, progress).with_name("kubectl"))
    context = _output([kubectl, "config", "current-context"])
    content = _output([kubectl, "config", "view", "--minify", "--flatten"])
    _begin(state, Record("current"))
    state.kubeconfig.touch(mode=0o600)
    state.kubeconfig.write_text(content, encoding="utf-8")
    progress.step(f"Using the present context, {context.strip()}")


def down(state: State, known: Record, progress: Progress) -> None:
    """Delete the kind cluster that `up_kind` made; leave a borrowed context's cluster as it is."""
    if known.cluster == "kind":
        _run([str(built(KIND, progress)), "delete", "cluster", "--name", KIND_NAME])
    state.kubeconfig.unlink(missing_ok=True)
    state.record.unlink()


def load_image(known: Record, path: Path, progress: Progress) -> None:
    """Load an image archive into kind; a borrowed cluster needs a registry of its own."""
    if known.cluster != "kind":
        raise NodeError("Images reach a borrowed cluster by a registry: push there and name it in the chart's values")
    _run([str(built(KIND, progress)), "load", "image-archive", "--name", KIND_NAME, str(path)])


def _begin(state: State, known: Record) -> None:
    if record.read(state.record):
        raise NodeError(f"A cluster is up in {state.root}: run `down` first")
    state.root.mkdir(parents=True, exist_ok=True)
    record.write(state.record, known)


def _run(command: list[str]) -> None:
    if subprocess.run(command, check=False).returncode:
        raise NodeError(f"`{' '.join(command[:3])}` failed; its output is above")


def _output(command: list[str]) -> str:
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode:
        raise NodeError(f"`{' '.join(command[1:])}` failed: {done.stderr.strip()}")
    return done.stdout
