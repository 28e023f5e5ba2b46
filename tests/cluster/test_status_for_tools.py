"""kubectl wait, kstatus and Argo CD see no unhealthy moment: in wakes, sleeps, edits and a change of leader."""

import asyncio
import contextlib
import hashlib
import json
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime

import pytest

from tests.cluster.installation import SYSTEM, Installation, client, endpoint, eventually, until
from tests.status_tools import Version, check_history, judge

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]


@contextlib.contextmanager
def recorded(installation: Installation, name: str, namespace: str) -> Iterator[list[Version]]:
    """Every version of an endpoint, as a watch of kubectl shows them."""
    command = [installation.kubectl_path, "--kubeconfig", installation.kubeconfig, "get", "ie", "-n", namespace]
    command += ["--field-selector", f"metadata.name={name}", "--watch", "-o", "json"]
    history: list[Version] = []
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:

        def read() -> None:
            assert process.stdout is not None
            text = ""
            for line in process.stdout:
                text += line
                if line == "}\n":
                    history.append(Version(time.monotonic(), json.loads(text)))
                    text = ""

        reader = threading.Thread(target=read, daemon=True)
        reader.start()
        try:
            yield history
        finally:
            process.kill()
            reader.join()


def ready_at(history: list[Version], generation: int) -> bool:
    newest = history[-1] if history else None
    ready = newest.ready if newest else None
    return bool(newest and ready and ready["observedGeneration"] == newest.generation == generation)


async def test_wakes_sleeps_and_edits_are_never_a_failure(installation: Installation, times: Callable[..., int]):
    namespace = installation.namespace("tools-cycles")
    with recorded(installation, "one", namespace) as history:
        installation.apply(endpoint("one", namespace, idle_after="1s"), client("bot", namespace, "one"))
        installation.ready("one", namespace)
        caller = installation.caller("bot", "one", namespace)
        statuses = []
        for cycle in range(times(2, soak=20)):
            statuses.append((await caller.embed("wake")).status_code)
            installation.apply(endpoint("one", namespace, idle_after="1s", requestTimeout=f"{30 + cycle}s"))
            generation = 2 + cycle
            await eventually(lambda wanted=generation: ready_at(history, wanted), "the edit")
            statuses.append((await caller.embed("again")).status_code)
            await eventually(lambda: installation.asleep("one", namespace), "asleep")
    assert set(statuses) == {200}
    states = {version.object["status"].get("state") for version in history}
    assert states >= {"Asleep", "Waking", "Awake", "Draining"}
    print(f"an edit was not seen for {check_history(history):.2f} s at most, over {len(history)} versions")

    newest = installation.status("one", namespace)
    members = len(installation.gateway_pods())
    assert newest["gateways"] == {"members": members, "applied": members, "disconnected": 0}
    manifest = (installation.model / "model.json").read_bytes()
    assert newest["model"]["digest"] == f"sha256:{hashlib.sha256(manifest).hexdigest()}"
    assert newest["model"]["signature"]["inputs"] == json.loads(manifest)["inputs"]


def test_a_new_object_is_in_progress_before_anybody_has_looked_at_it(installation: Installation):
    namespace = installation.namespace("tools-new")
    with recorded(installation, "one", namespace) as history:
        installation.apply(endpoint("one", namespace))
        until(lambda: ready_at(history, 1), "Ready")
    first = history[0].object
    assert first["status"] == {"observedGeneration": 0, "conditions": [], "certificates": []}
    said = judge([first])[0]
    assert (said.kstatus, said.argo) == ("InProgress", "Progressing")


def test_kubectl_wait_returns_once_every_gateway_has_applied_an_edit(installation: Installation):
    namespace = installation.namespace("tools-wait")
    installation.apply(endpoint("one", namespace))
    installation.ready("one", namespace)
    jsonpath = '{.status.conditions[?(@.type=="Ready")].observedGeneration}'
    with recorded(installation, "one", namespace) as history:
        for generation in (2, 3, 4, 5):
            installation.apply(endpoint("one", namespace, requestTimeout=f"{30 + generation}s"))
            if generation % 2:
                installation.ready("one", namespace)
            else:
                installation.kubectl(
                    *("wait", "ie/one", "-n", namespace, f"--for=jsonpath={jsonpath}={generation}", "--timeout=60s")
                )
            found = installation.status("one", namespace)
            assert found["gateways"]["applied"] == found["gateways"]["members"] > 0
            assert {each["observedGeneration"] for each in found["conditions"]} == {generation}
    check_history(history)
    earlier = [
        version for version in history if version.ready and version.ready["observedGeneration"] < version.observed
    ]
    assert earlier, "Ready was never about the generation before"


async def test_a_change_of_leader_is_no_failure(installation: Installation):
    namespace = installation.namespace("tools-leader")
    installation.apply(endpoint("one", namespace, idle_after="10m"), client("bot", namespace, "one"))
    installation.ready("one", namespace)
    assert (await installation.caller("bot", "one", namespace).embed("wake")).status_code == 200
    await eventually(lambda: installation.state("one", namespace) == "Awake", "awake")
    lease = installation.get("lease", "nightlatch-operator", SYSTEM)
    assert lease
    dead = lease["spec"]["holderIdentity"]
    with recorded(installation, "one", namespace) as history:
        installation.kill(dead, SYSTEM)
        await eventually(lambda: holder(installation) not in {"", dead}, "a new leader")
        installation.apply(endpoint("one", namespace, idle_after="10m", requestTimeout="30s"))
        await eventually(lambda: ready_at(history, 2), "the edit, by the new leader")
        await asyncio.sleep(6)
    for version in history:
        assert version.ready, version
        assert version.ready["status"] == "True", version
        assert version.object["status"]["state"] == "Awake", version


def holder(installation: Installation) -> str:
    found = installation.get("lease", "nightlatch-operator", SYSTEM)
    return (found or {}).get("spec", {}).get("holderIdentity") or ""


def test_the_column_shows_when_the_server_certificate_ends(installation: Installation):
    namespace = installation.namespace("tools-column")
    installation.apply(endpoint("one", namespace, tls={"duration": "2h", "renewBefore": "1h"}))
    installation.ready("one", namespace)
    ends = {each["role"]: each["notAfter"] for each in installation.status("one", namespace)["certificates"]}
    printed = installation.kubectl("get", "ie", "one", "-n", namespace, "-o", "wide")
    header, row = (line.split() for line in printed.splitlines())
    assert row[header.index("CERTEXPIRY")] == ends["server-tls"]
    assert datetime.fromisoformat(ends["server-tls"]) > datetime.now(UTC)
    assert ends["server-tls"] < ends["upstream-tls"]


def test_nothing_scales_an_endpoint_but_nightlatch(installation: Installation):
    namespace = installation.namespace("tools-scale")
    installation.apply(endpoint("one", namespace))
    installation.ready("one", namespace)
    assert "selector" not in installation.status("one", namespace)
    with pytest.raises(AssertionError, match=r"could not find the requested resource|NotFound"):
        installation.kubectl("scale", "ie/one", "-n", namespace, "--replicas=1")
