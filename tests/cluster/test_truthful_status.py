"""Truthful status: Ready while asleep, about this generation; a failed wake is named in seconds to all who ask."""

import re
import time
from collections.abc import Iterator

import pytest

from tests.cluster.conftest import install
from tests.cluster.installation import Installation, client, endpoint, eventually, until

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]

SECONDS = 30.0


def conditions(installation: Installation, name: str, namespace: str) -> dict[str, dict]:
    return {item["type"]: item for item in installation.status(name, namespace).get("conditions", [])}


def refusal(installation: Installation, name: str, namespace: str, kind: str) -> dict | None:
    """The condition, once it is False."""
    found = conditions(installation, name, namespace).get(kind)
    return found if found and found["status"] == "False" else None


def test_a_sleeping_endpoint_is_ready_and_shows_its_columns(installation: Installation):
    namespace = installation.namespace("status")
    installation.apply(endpoint("one", namespace), client("bot", namespace, "one"))
    installation.ready("one", namespace)
    printed = installation.kubectl("get", "ie", "one", "-n", namespace, "-o", "wide")
    header, row = printed.splitlines()
    assert header.split() == ["NAME", "URL", "READY", "STATE", "REPLICAS", "REASON", "AGE", "ACCESS", "CERTEXPIRY"]
    assert f"https://one.{namespace}.svc" in row
    assert "True" in row
    assert "Asleep" in row
    assert re.search(r"apiKey +20[0-9-]+T[0-9:]+Z$", row.rstrip())


def test_conditions_are_about_this_generation(installation: Installation):
    namespace = installation.namespace("status")
    installation.apply(endpoint("two", namespace))
    installation.ready("two", namespace)
    installation.apply(endpoint("two", namespace, requestTimeout="30s"))
    generation = installation.get("ie", "two", namespace)["metadata"]["generation"]
    assert generation == 2

    def observed() -> set[int]:
        status = installation.status("two", namespace)
        return {each["observedGeneration"] for each in (status, *status["conditions"])}

    # Until the edit is served, Ready is about the spec before, and says so.
    until(lambda: observed() == {2}, "every condition is about generation 2")


def test_what_is_not_there_yet_is_named(installation: Installation):
    namespace = installation.namespace("status")
    installation.apply(endpoint("three", namespace, scaling={"idle": "Standby"}))
    accepted = until(lambda: refusal(installation, "three", namespace, "Accepted"), "Accepted=False")
    assert accepted["reason"] == "NotYetSupported"
    assert "spec.scaling.idle" in accepted["message"]


def no_room(name: str, namespace: str) -> dict:
    gpu = {"nvidia.com/gpu": "1"}
    return endpoint(name, namespace, runtime={"resources": {"requests": gpu, "limits": gpu}})


def no_claim(name: str, namespace: str) -> dict:
    made = endpoint(name, namespace)
    made["spec"]["model"]["source"]["pvc"]["claimName"] = "missing"
    return made


def wrong_digest(name: str, namespace: str) -> dict:
    made = endpoint(name, namespace)
    made["spec"]["model"]["digest"] = "sha256:" + "0" * 64
    return made


QUOTA = {"apiVersion": "v1", "kind": "ResourceQuota", "spec": {"hard": {"pods": "0"}}}
FAILURES = {
    "no room": ("Unschedulable", no_room),
    "no volume": ("VolumeMissing", no_claim),
    "a crash": ("ModelServerExited", wrong_digest),
    "a quota": ("QuotaExceeded", endpoint),
}


@pytest.mark.parametrize("failure", FAILURES)
async def test_a_failed_wake_is_named_to_the_caller_and_in_the_status(installation: Installation, failure: str):
    reason, made = FAILURES[failure]
    namespace = installation.namespace(f"fails-{failure.replace(' ', '-')}")
    if failure == "a quota":
        installation.apply({**QUOTA, "metadata": {"name": "none", "namespace": namespace}})
    await told_why(installation, namespace, made("one", namespace), reason)


@pytest.fixture
def absent_image(installation: Installation) -> Iterator[str]:
    """The chart as somebody upgraded it with a tag that no registry has."""
    absent = f"{installation.images[2].rpartition(':')[0]}:absent"
    try:
        install(installation.kubeconfig, (*installation.images[:2], absent))
        yield absent
    finally:
        install(installation.kubeconfig, installation.images)


async def test_an_image_that_cannot_be_pulled_is_named(installation: Installation, absent_image: str):
    namespace = installation.namespace("fails-image")
    available = await told_why(installation, namespace, endpoint("one", namespace), "ImagePullFailed")
    assert absent_image in available["message"]


async def told_why(installation: Installation, namespace: str, made: dict, reason: str) -> dict:
    """The caller who wakes it is told, and so are the status and an event; returns the condition."""
    installation.apply(made, client("bot", namespace, "one"))
    installation.ready("one", namespace)
    caller = installation.caller("bot", "one", namespace)

    started = time.monotonic()
    answer = await caller.embed("hello")

    assert answer.status_code == 503, answer.text
    assert time.monotonic() - started < SECONDS
    assert reason in answer.text
    assert int(answer.headers["retry-after"]) > 0
    available = await eventually(
        lambda: refusal(installation, "one", namespace, "WorkloadAvailable"), "WorkloadAvailable=False"
    )
    assert available["reason"] == reason
    assert available["message"] not in answer.text, "the owner alone reads the message"
    events = installation.objects("events", namespace, fieldSelector=f"reason={reason}")
    assert events, f"no event {reason}"
    return available
