"""The chart rendered by the real Helm, which is built once from the Go module proxy and kept in the user's cache."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

CHART = Path(__file__).parents[2] / "charts" / "nightlatch"
NAMESPACE = "nightlatch-system"


def tool(name: str) -> str:
    """Path of a pinned tool."""
    command = [sys.executable, "-m", "tools.node", "tool", name]
    return subprocess.run(command, check=True, capture_output=True, text=True, cwd=CHART.parents[1]).stdout.strip()


@pytest.fixture(scope="session")
def helm() -> str:
    return tool("helm")


@pytest.fixture(scope="session")
def render(helm) -> Callable[..., list[dict[str, Any]]]:
    """`render("a.b=c", …)` gives the chart's objects with those values set."""

    def rendered(*settings: str) -> list[dict[str, Any]]:
        flags = [flag for setting in settings for flag in ("--set", setting)]
        command = [helm, "template", "nightlatch", str(CHART), "--namespace", NAMESPACE, *flags]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        return [obj for obj in yaml.safe_load_all(done.stdout) if obj]

    return rendered
