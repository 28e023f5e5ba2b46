"""The cause of a failed start is named from what the platform says of it."""

import pytest

from nightlatch.workloads.kubernetes.pod_state import cause, replica


def pod(*, conditions=(), containers=(), deleting=False, ip="10.0.0.7") -> dict:
    metadata = {"name": "minilm-1", "namespace": "search", "uid": "u1", "creationTimestamp": "2026-01-01T00:00:00Z"}
    if deleting:
        metadata["deletionTimestamp"] = "2026-01-01T00:01:00Z"
    return {
        "metadata": metadata,
        "status": {"podIP": ip, "conditions": list(conditions), "containerStatuses": list(containers)},
    }


def container(state: dict, last: dict | None = None) -> dict:
    return {"name": "model-server", "image": "server:1", "state": state, "lastState": last or {}}


UNSCHEDULABLE = {"type": "PodScheduled", "status": "False", "message": "0/1 nodes: insufficient nvidia.com/gpu"}
NO_CLAIM = {"type": "PodScheduled", "status": "False", "message": 'persistentvolumeclaim "models" not found'}
READY = {"type": "Ready", "status": "True"}
EXIT = {"exitCode": 2, "reason": "Error", "message": "loading\ndigest mismatch\n", "finishedAt": "2026-01-01T00:00:09Z"}
QUOTA = {
    "status": {
        "conditions": [
            {"type": "ReplicaFailure", "status": "True", "message": "pods is forbidden: exceeded quota: pods"},
        ]
    }
}


@pytest.mark.parametrize(
    ("found", "reason", "says"),
    [
        pytest.param(pod(conditions=[UNSCHEDULABLE]), "Unschedulable", "nvidia.com/gpu", id="no room"),
        pytest.param(pod(conditions=[NO_CLAIM]), "VolumeMissing", "models", id="no claim"),
        pytest.param(
            pod(containers=[container({"waiting": {"reason": "ImagePullBackOff", "message": "not found"}})]),
            "ImagePullFailed",
            "server:1: not found",
            id="no image",
        ),
        pytest.param(
            pod(containers=[container({"waiting": {"reason": "CreateContainerConfigError", "message": 'secret "x"'}})]),
            "ContainerNotCreated",
            'secret "x"',
            id="no secret",
        ),
        pytest.param(
            pod(containers=[container({"waiting": {"reason": "CrashLoopBackOff"}}, {"terminated": EXIT})]),
            "ModelServerExited",
            "exit code 2 (Error): digest mismatch",
            id="crash loop",
        ),
        pytest.param(
            pod(containers=[container({"terminated": EXIT})]), "ModelServerExited", "digest mismatch", id="first crash"
        ),
    ],
)
def test_a_pod_that_does_not_start_names_its_cause(found, reason, says):
    named = cause([found], deployment=None)
    assert named is not None
    assert named.reason == reason
    assert says in named.message


def test_a_pod_that_may_not_be_created_names_the_quota():
    named = cause([], QUOTA)
    assert named is not None
    assert named.reason == "QuotaExceeded"


@pytest.mark.parametrize(
    "found",
    [
        pytest.param(pod(conditions=[READY]), id="ready"),
        pytest.param(pod(conditions=[UNSCHEDULABLE], deleting=True), id="on its way out"),
        pytest.param(
            pod(containers=[container({"running": {}}, {"terminated": EXIT})]), id="running again after a crash"
        ),
        pytest.param(pod(containers=[container({"waiting": {"reason": "ContainerCreating"}})]), id="just starting"),
    ],
)
def test_a_pod_without_trouble_names_none(found):
    assert cause([found], deployment=None) is None


def test_two_crashes_are_two_occurrences():
    later = {**EXIT, "finishedAt": "2026-01-01T00:00:29Z"}
    first = cause([pod(containers=[container({"terminated": EXIT})])], None)
    second = cause([pod(containers=[container({"terminated": later})])], None)
    assert first.occurrence != second.occurrence


def test_a_replica_has_an_address_as_soon_as_its_pod_has_one():
    assert replica(pod(ip=None)).address is None
    found = replica(pod(conditions=[READY], deleting=True))
    assert found.address == ("10.0.0.7", 8443)
    assert found.ready
    assert found.terminating
