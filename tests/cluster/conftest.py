"""Clusters for the tests: a control plane alone for the store, a whole node for the promises."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.cluster.installation import SYSTEM, Installation

ROOT = Path(__file__).parents[2]


def node(*arguments: str) -> str:
    """Run `python -m tools.node …` and return what it printed."""
    command = [sys.executable, "-m", "tools.node", *arguments]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, cwd=ROOT).stdout.strip()


@pytest.fixture(scope="session")
def control_plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Kubeconfig of an API server with our CRDs; NIGHTLATCH_TEST_KUBECONFIG names one that runs already."""
    if given := os.environ.get("NIGHTLATCH_TEST_KUBECONFIG"):
        yield given
        return
    state = tmp_path_factory.mktemp("control-plane")
    node("up", "--mode", "control-plane", "--state-dir", str(state))
    try:
        kubeconfig = node("kubeconfig", "--state-dir", str(state))
        apply = [node("tool", "kubectl"), "--kubeconfig", kubeconfig]
        subprocess.run([*apply, "apply", "-f", str(ROOT / "crds")], check=True)
        subprocess.run([*apply, "wait", "--for=condition=Established", "crd", "--all"], check=True)
        yield kubeconfig
    finally:
        node("down", "--state-dir", str(state), "--wipe")


def images(*arguments: str) -> list[str]:
    """Run `python -m tools.images …` and return the references it printed."""
    command = [sys.executable, "-m", "tools.images", *arguments]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, cwd=ROOT).stdout.split()


def install(kubeconfig: str, references: Sequence[str], *settings: str) -> None:
    """helm install or upgrade, with the images that were loaded and what else is to be set; wait until it is up."""
    command = [node("tool", "helm"), "--kubeconfig", kubeconfig, "upgrade", "--install", "nightlatch"]
    command += [
        str(ROOT / "charts" / "nightlatch"),
        "--namespace",
        SYSTEM,
        "--create-namespace",
        "--wait",
        "--timeout=5m",
    ]
    for component, reference in zip(("operator", "gateway", "modelServer"), references, strict=True):
        repository, _, tag = reference.rpartition(":")
        # As text: a tag of decimal digits alone would be a number.
        command += ["--set-string", f"{component}.image.repository={repository},{component}.image.tag={tag}"]
    for setting in settings:
        command += ["--set", setting]
    subprocess.run(command, check=True)


@pytest.fixture(scope="session")
def installation(pytestconfig: pytest.Config) -> Iterator[Installation]:
    """The chart on a whole node. NIGHTLATCH_TEST_STATE names the state directory of one that is up, to be kept.

    In a soak its kubelet shows changed Secrets as late as by default; else sooner, since tests wait for it many times.
    """
    given = os.environ.get("NIGHTLATCH_TEST_STATE")
    sync, kubelet_s = ("1m", 120.0) if given or pytestconfig.getoption("--soak") else ("10s", 30.0)
    state = Path(given or tempfile.mkdtemp(prefix="nightlatch-e2e-"))
    try:
        if not given:
            node("up", "--state-dir", str(state), "--kubelet-sync", sync)
        references = images("load", "--state-dir", str(state), "operator", "gateway", "model-server")
        kubeconfig = node("kubeconfig", "--state-dir", str(state))
        install(kubeconfig, references)
        logs = Path(node("logs", "--state-dir", str(state)))
        yield Installation(
            kubectl_path=node("tool", "kubectl"),
            kubeconfig=kubeconfig,
            audit_log=logs / "audit.log",
            model=packaged_model(),
            images=tuple(references),
            kubelet_s=kubelet_s,
        )
    finally:
        if not given:
            node("down", "--state-dir", str(state), "--wipe")
            shutil.rmtree(state, ignore_errors=True)


def packaged_model() -> Path:
    """MiniLM as `make models/minilm/model.json` leaves it."""
    model = ROOT / "models" / "minilm"
    if not (model / "model.json").exists():
        subprocess.run([sys.executable, str(ROOT / "examples" / "models" / "minilm.py"), str(model)], check=True)
    return model
