"""Reads replicas, and why a start failed, from pods and their Deployment. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from nightlatch.api.conditions import Reason
from nightlatch.planning.objects.cluster import SERVING_PORT
from nightlatch.workloads.protocol import Replica

Pod = Mapping[str, Any]

_IMAGE = {"ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "RegistryUnavailable"}
_CONFIGURATION = {"CreateContainerConfigError", "CreateContainerError", "RunContainerError"}


@dataclass(frozen=True, slots=True)
class Cause:
    """Why a start failed. `occurrence` tells two failures with the same reason apart."""

    reason: Reason
    message: str
    occurrence: str


def replica(pod: Pod) -> Replica:
    """One pod as a replica."""
    ip = pod.get("status", {}).get("podIP")
    return Replica(
        name=pod["metadata"]["name"],
        address=(ip, SERVING_PORT) if ip else None,
        ready=_condition(pod, "Ready").get("status") == "True",
        terminating="deletionTimestamp" in pod["metadata"],
    )


def cause(pods: Sequence[Pod], deployment: Mapping[str, Any] | None) -> Cause | None:
    """The first failure found: of a pod that is not ready or, without pods, of the Deployment (quota, admission)."""
    starting = [pod for pod in pods if not _is_settled(pod)]
    if not starting:
        return _refused(deployment) if deployment and not pods else None
    return next((found for pod in starting if (found := _pod_cause(pod))), None)


def _is_settled(pod: Pod) -> bool:
    return "deletionTimestamp" in pod["metadata"] or _condition(pod, "Ready").get("status") == "True"


def _refused(deployment: Mapping[str, Any]) -> Cause | None:
    """The API server refused to create the pod."""
    failure = _condition(deployment, "ReplicaFailure")
    if failure.get("status") != "True":
        return None
    message = failure.get("message", "")
    reason = Reason.QUOTA_EXCEEDED if "exceeded quota" in message else Reason.POD_REFUSED
    return Cause(reason, message, failure.get("lastUpdateTime", ""))


def _pod_cause(pod: Pod) -> Cause | None:
    return _unschedulable(pod) or _container_cause(pod)


def _unschedulable(pod: Pod) -> Cause | None:
    scheduled = _condition(pod, "PodScheduled")
    if scheduled.get("status") != "False":
        return None
    message = scheduled.get("message", "")
    claim_missing = "persistentvolumeclaim" in message and "not found" in message
    reason = Reason.VOLUME_MISSING if claim_missing else Reason.UNSCHEDULABLE
    return Cause(reason, message, pod["metadata"]["uid"])


def _container_cause(pod: Pod) -> Cause | None:
    for status in pod.get("status", {}).get("containerStatuses", ()):
        waiting = status.get("state", {}).get("waiting") or {}
        reason, message = waiting.get("reason", ""), waiting.get("message", "")
        if reason in _IMAGE:
            return Cause(Reason.IMAGE_PULL_FAILED, f"{status['image']}: {message or reason}", pod["metadata"]["uid"])
        if reason in _CONFIGURATION:
            return Cause(Reason.CONTAINER_NOT_CREATED, message or reason, pod["metadata"]["uid"])
        if ended := _crash(status):
            occurrence = f"{pod['metadata']['uid']}/{ended.get('finishedAt', '')}"
            return Cause(Reason.MODEL_SERVER_EXITED, _exit_message(ended), occurrence)
    return None


def _crash(status: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The newest exit of a container that is not running now."""
    now = status.get("state", {}).get("terminated")
    before = status.get("lastState", {}).get("terminated")
    running = "running" in status.get("state", {})
    return now or (before if before and not running else None)


def _exit_message(ended: Mapping[str, Any]) -> str:
    lines = [line for line in (ended.get("message") or "").strip().splitlines() if line.strip()]
    detail = f": {lines[-1].strip()[:500]}" if lines else ""
    return f"the model server ended with exit code {ended.get('exitCode')} ({ended.get('reason', 'Error')}){detail}"


def _condition(obj: Mapping[str, Any], kind: str) -> Mapping[str, Any]:
    conditions = obj.get("status", {}).get("conditions", ())
    return next((item for item in conditions if item.get("type") == kind), {})
