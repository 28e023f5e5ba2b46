"""RuntimeStatus calls its listeners after a change, and only then."""

from nightlatch.api.meta import NamespacedName
from nightlatch.controller.autoscaling.runtime_status import REMEMBERED_S, RuntimeStatus
from nightlatch.controller.controller import Controller
from nightlatch.scaling.runtime import UNKNOWN_RUNTIME, EndpointRuntime
from nightlatch.store.files.store import FilesStore
from tests.unit.controller.test_index import BOT, key_secret, stored
from tests.unit.controller.test_index import KEY as API_KEY
from tests.unit.controller.world import CLIENT, ENDPOINT, SETTINGS, RememberedWorkloads, client_object

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


def test_what_the_status_has_for_long_is_forgotten_and_not_told_again():
    runtime_status, told = RuntimeStatus(), []
    runtime_status.note_uses({"old": 600})
    runtime_status.subscribe_to_uses(lambda keys: told.append(sorted(keys)))
    for _ in range(2):
        runtime_status.note_uses({"old": 600, "new": 600 + REMEMBERED_S})
    assert (runtime_status.last_use("old"), runtime_status.last_use("new")) == (None, 600 + REMEMBERED_S)
    assert told == [["new"]]


def test_uses_that_become_known_within_a_minute_are_one_write(tmp_path):
    runtime_status, clock = RuntimeStatus(), Clock()
    controller = Controller(
        FilesStore(tmp_path), RememberedWorkloads(), SETTINGS, None, runtime_status, monotonic=lambda: clock.now
    )
    controller.index.put(stored(client_object(CLIENT, ENDPOINT)))
    controller.index.put(key_secret())
    for use in (600, 1200, 1800):
        runtime_status.note_uses({API_KEY.key_id: use})
        assert controller.queue.take() is None
        clock.now += 25
    assert controller.queue.take() == BOT
    assert controller.queue.take() is None


class Clock:
    now = 0.0
