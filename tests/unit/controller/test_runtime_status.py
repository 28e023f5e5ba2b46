"""RuntimeStatus calls its listeners after a change, and only then."""

from nightlatch.api.meta import NamespacedName
from nightlatch.controller.autoscaling.runtime_status import RuntimeStatus
from nightlatch.scaling.runtime import UNKNOWN_RUNTIME, EndpointRuntime

KEY = NamespacedName("search", "minilm")


def test_a_change_is_told_once():
    reported = []
    runtime_status = RuntimeStatus()
    runtime_status.subscribe(reported.append)
    also = []
    runtime_status.subscribe(also.append)
    runtime_status.put(KEY, EndpointRuntime(state="Waking", desired=1))
    runtime_status.put(KEY, EndpointRuntime(state="Waking", desired=1))
    assert reported == also == [KEY]
    assert runtime_status.get(KEY).state == "Waking"


def test_an_endpoint_that_was_never_seen_is_unknown():
    runtime_status = RuntimeStatus()
    runtime_status.put(KEY, EndpointRuntime(state="Awake"))
    runtime_status.forget(KEY)
    assert runtime_status.get(KEY) is UNKNOWN_RUNTIME
