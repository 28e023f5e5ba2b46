"""The wake board tells of changes, and only of changes."""

from nightlatch.api.meta import NamespacedName
from nightlatch.controller.autoscaling.runtime_status import RuntimeStatus
from nightlatch.scaling.runtime import UNKNOWN_RUNTIME, EndpointRuntime

KEY = NamespacedName("search", "minilm")


def test_a_change_is_told_once():
    reported = []
    runtime_status = RuntimeStatus()
    runtime_status.subscribe(reported.append)
    runtime_status.put(KEY, EndpointRuntime(state="Waking", desired=1))
    runtime_status.put(KEY, EndpointRuntime(state="Waking", desired=1))
    assert reported == [KEY]
    assert runtime_status.get(KEY).state == "Waking"


def test_an_endpoint_nobody_looked_at_is_unseen():
    runtime_status = RuntimeStatus()
    runtime_status.put(KEY, EndpointRuntime(state="Awake"))
    runtime_status.forget(KEY)
    assert runtime_status.get(KEY) is UNKNOWN_RUNTIME
