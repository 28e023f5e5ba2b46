"""The quickstart, as the README has it: install, apply, wait, call, asleep again."""

import json

import pytest

from tests.cluster.installation import ROOT, Installation, client, endpoint, eventually

pytestmark = pytest.mark.cluster


async def test_the_quickstart_wakes_a_real_pod_and_sleeps_again(installation: Installation):
    installation.namespace("default")
    installation.kubectl("apply", "-f", str(ROOT / "examples" / "quickstart.yaml"))
    installation.ready("minilm", "default")
    assert installation.asleep("minilm", "default")

    caller = installation.caller("search-bot", "minilm", "default")
    answer = await caller.embed("The cat sleeps on the sofa.")

    assert answer.status_code == 200, answer.text
    assert len(answer.json()["data"][0]["embedding"]) == 384
    assert "wake" in answer.headers["server-timing"]
    assert len(installation.pods("minilm", "default")) == 1
    # idleAfter is a minute there.
    await eventually(lambda: installation.asleep("minilm", "default"), "asleep again", timeout=180)
    seen = installation.status("minilm", "default")
    assert {item["type"]: item["status"] for item in seen["conditions"]}["Ready"] == "True", json.dumps(seen)


async def test_a_caller_in_the_cluster_needs_only_the_secret_and_dns(installation: Installation):
    """A pod that mounts the client's Secret calls the endpoint by its Service name."""
    namespace = installation.namespace("inside")
    installation.apply(endpoint("minilm", namespace), client("bot", namespace, "minilm"))
    installation.ready("minilm", namespace)
    installation.credentials("bot-key", namespace)
    installation.apply(caller_pod(namespace, installation.images[0]))
    await eventually(lambda: phase(installation, namespace) in {"Succeeded", "Failed"}, "the caller to end")
    printed = installation.kubectl("logs", "caller", "-n", namespace)
    assert phase(installation, namespace) == "Succeeded", printed
    assert "384 numbers" in printed


def phase(installation: Installation, namespace: str) -> str:
    found = installation.get("pod", "caller", namespace)
    return found["status"]["phase"] if found else ""


CALL = """
import json, pathlib, ssl, urllib.request
held = pathlib.Path("/credentials")
body = json.dumps({"model": "minilm", "input": "The cat sleeps."}).encode()
headers = {"Authorization": "Bearer " + (held / "api-key").read_text(), "Content-Type": "application/json"}
url = (held / "url").read_text().strip() + "/v1/embeddings"
trust = ssl.create_default_context(cafile=str(held / "ca.crt"))
answer = urllib.request.urlopen(urllib.request.Request(url, body, headers), context=trust, timeout=120)
print(len(json.load(answer)["data"][0]["embedding"]), "numbers from", url)
"""


def caller_pod(namespace: str, image: str) -> dict:
    container = {
        "name": "caller",
        "image": image,
        "command": ["python", "-c", CALL],
        "volumeMounts": [{"name": "credentials", "mountPath": "/credentials"}],
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "caller", "namespace": namespace},
        "spec": {
            "restartPolicy": "Never",
            "automountServiceAccountToken": False,
            "containers": [container],
            "volumes": [{"name": "credentials", "secret": {"secretName": "bot-key", "defaultMode": 0o444}}],
        },
    }
