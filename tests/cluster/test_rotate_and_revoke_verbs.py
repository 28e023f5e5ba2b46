"""`nightlatch rotate`, `revoke` and `inspect` on a cluster, with a kubeconfig, beside a GitOps writer and kubectl."""

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cluster.installation import Installation, client, endpoint, until

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]

ROOT = Path(__file__).parents[2]
GITOPS = ("apply", "--server-side", "--field-manager=gitops", "-f", "-")


def verb(installation: Installation, *arguments: str, status: int = 0) -> str:
    """Run `nightlatch …` on the cluster; returns what it printed."""
    command = [sys.executable, "-m", "nightlatch", *arguments, "--kubeconfig", installation.kubeconfig]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "operator")}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment, timeout=180)
    assert done.returncode == status, done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout if status == 0 else done.stderr


def declared(namespace: str, *revoked: str) -> str:
    """The client as a GitOps tool applies it."""
    found = client("bot", namespace, "one")
    found["spec"]["apiKey"] = {"revokedKeyIds": list(revoked)} if revoked else {}
    return json.dumps(found)


def keys(installation: Installation, namespace: str) -> list[tuple[str, str]]:
    """Id and state of each key."""
    found = installation.get("ic", "bot", namespace) or {}
    return [(key["id"], key["state"]) for key in found["status"].get("keys", [])]


def revoked(installation: Installation, namespace: str) -> list[str]:
    """What the spec revokes."""
    found = installation.get("ic", "bot", namespace)
    assert found
    return sorted(found["spec"]["apiKey"].get("revokedKeyIds", []))


@pytest.fixture(scope="module")
def namespace(installation: Installation) -> str:
    made = installation.namespace("verbs")
    installation.apply(endpoint("one", made, idle_after="10m"))
    installation.kubectl(*GITOPS, stdin=declared(made))
    installation.ready("one", made)
    installation.caller("bot", "one", made)
    return made


async def test_a_key_rotates_and_the_old_one_is_refused_when_revoke_returns(installation: Installation, namespace: str):
    before = installation.caller("bot", "one", namespace)
    old = before.key.split("_")[1]
    printed = await asyncio.to_thread(verb, installation, "rotate", "ic/bot", "-n", namespace, "--wait")
    (new, _), *_ = keys(installation, namespace)
    assert f"{new} is Current" in printed
    assert (await before.embed("the old key works during the overlap")).status_code == 200
    assert (await installation.caller("bot", "one", namespace).embed("and so does the new one")).status_code == 200
    printed = await asyncio.to_thread(verb, installation, "revoke", "ic/bot", "-n", namespace, "--key", old, "--wait")
    assert f"every gateway refuses {old}" in printed
    assert (await before.embed("no more")).status_code == 401
    assert (await installation.caller("bot", "one", namespace).embed("it goes on")).status_code == 200


def test_neither_gitops_nor_a_revocation_undoes_the_other_and_two_revocations_add_up(
    installation: Installation, namespace: str
):
    earlier = revoked(installation, namespace)
    (first, _), *_ = keys(installation, namespace)
    verb(installation, "revoke", "ic/bot", "-n", namespace, "--key", first)
    until(lambda: keys(installation, namespace)[0][0] != first, "a successor")
    (second, _), *_ = keys(installation, namespace)
    installation.kubectl(*GITOPS, stdin=declared(namespace, second))
    assert revoked(installation, namespace) == sorted([*earlier, first, second])
    until(lambda: keys(installation, namespace)[0][0] != second, "a successor")
    (third, _), *_ = keys(installation, namespace)
    verb(installation, "revoke", "ic/bot", "-n", namespace, "--key", third, "--wait")
    installation.kubectl(*GITOPS, stdin=declared(namespace))
    assert revoked(installation, namespace) == sorted([*earlier, first, third])


def test_inspect_tells_what_kubectl_tells_and_no_key(installation: Installation, namespace: str):
    key = installation.caller("bot", "one", namespace).key
    facts = json.loads(verb(installation, "inspect", "ic/bot", "-n", namespace, "-o", "json"))
    assert [(each["id"], each["state"]) for each in facts["keys"]] == keys(installation, namespace)
    members = len(installation.gateway_pods())
    table = verb(installation, "inspect", "ic/bot", "-n", namespace)
    assert f"{members} of {members} have the newest configuration" in table
    of_endpoint = verb(installation, "inspect", "ie/one", "-n", namespace)
    assert f"{namespace}/bot" in of_endpoint
    assert key.split("_")[2] not in f"{facts}{table}{of_endpoint}"


def test_a_typo_and_an_unknown_id_write_nothing(installation: Installation, namespace: str):
    before = installation.get("ic", "bot", namespace)
    assert before
    assert "did you mean ic/bot?" in verb(installation, "rotate", "ic/bott", "-n", namespace, status=1)
    said = verb(installation, "revoke", "ic/bot", "-n", namespace, "--key", "TYPOTYPOTYPO", status=1)
    assert "nothing was revoked" in said
    after = installation.get("ic", "bot", namespace)
    assert after
    assert after["metadata"]["generation"] == before["metadata"]["generation"]
    assert "nightlatch.dev/rotate" not in set(after["metadata"].get("annotations", {})) - set(
        before["metadata"].get("annotations", {})
    )


def test_the_annotation_by_plain_kubectl_does_the_same(installation: Installation, namespace: str):
    for previous in [key for key, state in keys(installation, namespace) if state == "Previous"]:
        # A rotation would wait for the end of the overlap.
        verb(installation, "revoke", "ic/bot", "-n", namespace, "--key", previous, "--wait")
    before = {key for key, _ in keys(installation, namespace)}
    installation.kubectl("annotate", "--overwrite", "ic/bot", "-n", namespace, "nightlatch.dev/rotate=by-kubectl")
    until(
        lambda: any(state == "Current" and key not in before for key, state in keys(installation, namespace)),
        "a new Current key",
    )
