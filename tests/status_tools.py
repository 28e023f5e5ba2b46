"""What GitOps tools make of statuses: the library of kstatus, and the Lua for Argo CD that our documentation gives."""

import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "how-to" / "gitops.md"
# Seconds that the operator may take to see a new spec.
PROMISE = 1.0


@dataclass(frozen=True)
class Version:
    """An object as it was at a time, in monotonic seconds."""

    at: float
    object: dict[str, Any]

    @property
    def generation(self) -> int:
        return self.object["metadata"]["generation"]

    @property
    def observed(self) -> int:
        return self.object["status"]["observedGeneration"]

    @property
    def ready(self) -> dict[str, Any] | None:
        conditions = self.object["status"]["conditions"]
        return next((each for each in conditions if each["type"] == "Ready"), None)


@dataclass(frozen=True)
class Judgement:
    """What kstatus and Argo CD say of one version."""

    kstatus: str
    argo: str


def argo_lua() -> str:
    """The health check as somebody copies it from the page."""
    (block,) = re.findall(r"^```yaml\n(.*?)^```$", PAGE.read_text(), re.DOTALL | re.MULTILINE)
    customizations = yaml.safe_load(yaml.safe_load(block)["data"]["resource.customizations"])
    (health,) = customizations.values()
    lua: str = health["health.lua"]
    return lua


def judge(objects: Sequence[dict[str, Any]]) -> list[Judgement]:
    """Run both over the objects."""
    command = [sys.executable, "-m", "tools.node", "tool", "health"]
    tool = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, cwd=ROOT).stdout.strip()
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        script.write(argo_lua())
        script.flush()
        given = "".join(json.dumps(obj) for obj in objects)
        done = subprocess.run([tool, script.name], check=True, input=given, stdout=subprocess.PIPE, text=True)
    said = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(said) == len(objects)
    return [Judgement(each["kstatus"]["status"], each["argo"]["status"]) for each in said]


def check_history(history: Sequence[Version]) -> float:
    """Every version since the endpoint was Ready first: settled, or not seen yet, and that for less than a second.

    Returns the longest time for which an edit was not seen.
    """
    first = next(n for n, version in enumerate(history) if version.ready and version.ready["status"] == "True")
    since = history[first:]
    unseen_at: float | None = None
    longest = 0.0
    for version, said in zip(since, judge([version.object for version in since]), strict=True):
        told = json.dumps(version.object["status"], indent=1)
        assert version.ready is not None, told
        assert version.ready["status"] == "True", told
        if version.observed < version.generation:
            assert said == Judgement("InProgress", "Progressing"), told
            unseen_at = unseen_at or version.at
            continue
        assert said == Judgement("Current", "Healthy"), told
        longest = max(longest, version.at - unseen_at if unseen_at else 0.0)
        unseen_at = None
    assert unseen_at is None, "the newest spec was never seen"
    assert longest <= PROMISE
    return longest
