"""The health check for Argo CD in the documentation, over what our conditions can say."""

import re

import pytest

from nightlatch.api.conditions import Reason
from tests.status_tools import argo_lua, judge

# What passes by itself, but whose explanation does not say "wait".
PASSING = {Reason.CONFIGURATION_PENDING, Reason.NO_GATEWAY, Reason.ENDPOINT_NOT_FOUND}


def named() -> set[str]:
    return set(re.findall(r"(\w+) = true", argo_lua()))


def test_what_passes_by_itself_is_progress_and_nothing_else_is():
    assert named() == {reason.value for reason in Reason if "wait" in reason.explanation or reason in PASSING}


def an_object(status: str, reason: str, *, observed: int = 2) -> dict:
    condition = {"type": "Ready", "status": status, "reason": reason, "message": "", "observedGeneration": observed}
    return {
        "apiVersion": "nightlatch.dev/v1alpha1",
        "kind": "InferenceEndpoint",
        "metadata": {"name": "one", "namespace": "default", "generation": 2},
        "status": {"observedGeneration": observed, "conditions": [condition]},
    }


NEW = {**an_object("True", "Ready"), "status": {"observedGeneration": 0, "conditions": []}}
CASES = {
    "a new object": (NEW, "InProgress", "Progressing"),
    "ready": (an_object("True", "Ready"), "Current", "Healthy"),
    "a spec that is not seen yet": (an_object("True", "Ready", observed=1), "InProgress", "Progressing"),
    "not served yet": (an_object("False", "GatewayBehind"), "InProgress", "Progressing"),
    "nothing known": (an_object("Unknown", "NoGateway"), "InProgress", "Progressing"),
    "a failed start": (an_object("False", "ImagePullFailed"), "InProgress", "Degraded"),
    "a refused spec": (an_object("False", "NotYetSupported"), "InProgress", "Degraded"),
    "a suspended client": (an_object("False", "Suspended"), "InProgress", "Suspended"),
}


@pytest.fixture(scope="module")
def judged():
    return dict(zip(CASES, judge([obj for obj, _, _ in CASES.values()]), strict=True))


@pytest.mark.parametrize("case", CASES)
def test_kstatus_and_argo_cd_say(judged, case):
    assert (judged[case].kstatus, judged[case].argo) == CASES[case][1:]
