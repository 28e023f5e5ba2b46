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


def test_the_latest_use_of_a_key_counts_and_is_told_once():
    runtime_status, told = RuntimeStatus(), []
    runtime_status.subscribe_to_uses(lambda keys: told.append(sorted(keys)))
    runtime_status.note_uses({"a": 600, "b": 1200})
    runtime_status.note_uses({"a": 1200, "b": 600})
    runtime_status.note_uses({"a": 1200})
    assert (runtime_status.last_use("a"), runtime_status.last_use("b"), runtime_status.last_use("c")) == (
        1200,
        1200,
        None,
    )
    assert told == [["a", "b"], ["a"]]
