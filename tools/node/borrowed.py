"""Clusters that are not the bundled node: a kind cluster with a fixed name, and the current kubectl context.

kind is untested, because no container engine runs where the bundled node is developed. `current` is tested with the
bundled node itself as the current context.
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
    """Create a kind cluster named `nightlatch`, and write its kubeconfig only to our state directory."""
    if not shutil.which("docker") or subprocess.run(["docker", "info"], check=False, capture_output=True).returncode:
        raise NodeError("CLUSTER=kind needs a Docker engine that answers `docker info`")
    kind = built(KIND, progress)
    if (
        KIND_NAME
        in subprocess.run([kind, "get", "clusters"], check=True, capture_output=True, text=True).stdout.split()
    ):
        raise NodeError(
            f"A kind cluster {KIND_NAME!r} exists that we did not create: run `kind delete cluster --name {KIND_NAME}`"
        )
    _begin(state, Record("kind"))
    progress.step(
        f"kind creates a cluster (kind chooses the version of Kubernetes; the bundled node has {KUBERNETES_VERSION})"
    )
    _run([str(kind), "create", "cluster", "--name", KIND_NAME, "--kubeconfig", str(state.kubeconfig), "--wait", "180s"])


def up_current(state: State, progress: Progress) -> None:
    """Use the current context. Its credentials are copied, so that switching the context later changes nothing."""
    kubectl = str(built(HYPERKUBE, progress).with_name("kubectl"))
    context = _output([kubectl, "config", "current-context"])
    content = _output([kubectl, "config", "view", "--minify", "--flatten"])
    _begin(state, Record("current"))
    state.kubeconfig.touch(mode=0o600)
    state.kubeconfig.write_text(content, encoding="utf-8")
    progress.step(f"Using the current context, {context.strip()}")


def down(state: State, known: Record, progress: Progress) -> None:
    """Delete the kind cluster that `up_kind` made; leave the cluster of a borrowed context unchanged."""
    if known.cluster == "kind":
        _run([str(built(KIND, progress)), "delete", "cluster", "--name", KIND_NAME])
    state.kubeconfig.unlink(missing_ok=True)
    state.record.unlink()


def load_image(known: Record, path: Path, progress: Progress) -> None:
    """Load an image archive into kind. Raises NodeError for another cluster, which needs a registry."""
    if known.cluster != "kind":
        raise NodeError(
            "This cluster takes images only from a registry: push them, and name the registry in the chart's values"
        )
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
