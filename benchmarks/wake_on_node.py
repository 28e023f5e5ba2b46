"""Wakes of MiniLM on a real node, beside a floor: a trivial pod scaled from zero on the same node, in the same run.

    make cluster-up images && helm install …        (docs/how-to/install.md)
    python benchmarks/wake_on_node.py [--quick] [--state-dir DIR]

Floor: a Deployment of a static web server is scaled from 0 to 1, until its first answer. Ours: one call with a key to a
sleeping endpoint, until the embedding. Neither pulls an image. The phases are those that the gateways report.
"""

import argparse
import asyncio
import json
import sys
import time
from pathlib import Path
from typing import Any

import httpx

sys.path.insert(0, str(Path(__file__).parents[1]))

from table import markdown, percentile

from tests.cluster.conftest import node, packaged_model
from tests.cluster.installation import Caller, Installation, client, endpoint, until

NAMESPACE = "bench"
RUNS, QUICK_RUNS = 20, 3
PHASES = ("demand", "start", "probe", "eds", "release")
HELLO = "nightlatch.test/hello:1"


def installed(state_dir: str | None) -> Installation:
    """The chart on the bundled node that is up."""
    flags = ["--state-dir", state_dir] if state_dir else []
    archive = node("hello-image")
    node("load-image", *flags, archive)
    return Installation(
        kubectl_path=node("tool", "kubectl"),
        kubeconfig=node("kubeconfig", *flags),
        audit_log=Path(node("logs", *flags)) / "audit.log",
        model=packaged_model(),
    )


def trivial() -> dict[str, Any]:
    """A Deployment of one static binary, at zero."""
    labels = {"app": "trivial"}
    container = {"name": "hello", "image": HELLO, "imagePullPolicy": "Never"}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "trivial", "namespace": NAMESPACE},
        "spec": {
            "replicas": 0,
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {"terminationGracePeriodSeconds": 0, "containers": [container]},
            },
        },
    }


def floor(on: Installation) -> float:
    """Milliseconds from `kubectl scale` to the first answer of the trivial pod."""
    started = time.monotonic()
    on.kubectl("scale", "deployment/trivial", "-n", NAMESPACE, "--replicas=1")
    while not answers(on):
        time.sleep(0.02)
    took = (time.monotonic() - started) * 1000
    on.kubectl("scale", "deployment/trivial", "-n", NAMESPACE, "--replicas=0")
    until(lambda: not on.objects("pods", NAMESPACE, labelSelector="app=trivial"), "the trivial pod to go")
    return took


def answers(on: Installation) -> bool:
    """Whether the trivial pod serves."""
    pods = on.objects("pods", NAMESPACE, labelSelector="app=trivial")
    address = pods[0]["status"].get("podIP") if pods else None
    if not address:
        return False
    try:
        return httpx.get(f"http://{address}:8080/", timeout=1).is_success
    except httpx.HTTPError:
        return False


async def wake(on: Installation, caller: Caller) -> dict[str, float]:
    """Milliseconds of one wake: the caller's own, and by phase."""
    started = time.monotonic()
    answer = await caller.embed("The cat sleeps on the sofa.")
    took = (time.monotonic() - started) * 1000
    if answer.status_code != 200:
        raise SystemExit(f"a wake failed: {answer.status_code} {answer.text}")
    phases = until(lambda: on.status("minilm", NAMESPACE).get("lastWake"), "the wake's report")["phases"]
    until(lambda: on.asleep("minilm", NAMESPACE), "asleep again")
    return {"in all": took, **{phase: float(phases.get(phase, 0)) for phase in PHASES}}


async def measure(on: Installation, runs: int) -> str:
    """The table."""
    on.namespace(NAMESPACE)
    on.apply(trivial(), endpoint("minilm", NAMESPACE, idle_after="1s"), client("bot", NAMESPACE, "minilm"))
    on.ready("minilm", NAMESPACE)
    caller = on.caller("bot", "minilm", NAMESPACE)
    floors, wakes = [], []
    for index in range(runs):
        floors.append(await asyncio.to_thread(floor, on))
        wakes.append(await wake(on, caller))
        print(f"{index + 1}/{runs}: floor {floors[-1]:.0f} ms, wake {json.dumps(wakes[-1])}", file=sys.stderr)
    on.kubectl("delete", "namespace", NAMESPACE, "--wait=false")
    base = percentile(floors, 50)
    rows = [row("floor: a trivial pod, to its first answer", floors, base)]
    rows += [row(f"wake: {phase}", [each[phase] for each in wakes], base) for phase in (*PHASES, "in all")]
    return markdown(("ms", "p50", "p95", "p50 vs floor"), rows)


def row(name: str, values: list[float], base: float) -> tuple[str, str, str, str]:
    """One line."""
    return (
        name,
        f"{percentile(values, 50):.0f}",
        f"{percentile(values, 95):.0f}",
        f"{percentile(values, 50) / base:.2f}",
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="three runs")
    parser.add_argument("--state-dir", help="of the bundled node, where it is not the default")
    arguments = parser.parse_args()
    print(asyncio.run(measure(installed(arguments.state_dir), QUICK_RUNS if arguments.quick else RUNS)))


if __name__ == "__main__":
    main()
