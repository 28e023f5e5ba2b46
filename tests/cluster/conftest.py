"""Clusters for the tests: a control plane alone for the store, a whole node for the promises."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def node(*arguments: str) -> str:
    """Run `python -m tests.cluster.node …` and return what it printed."""
    command = [sys.executable, "-m", "tests.cluster.node", *arguments]
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
