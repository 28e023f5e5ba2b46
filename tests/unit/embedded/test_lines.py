"""Which changes of an endpoint's status the console shows, and how."""

from nightlatch.api.meta import NamespacedName
from nightlatch.embedded.console.lines import EndpointView, condition_lines, status_lines, view

KEY = NamespacedName("default", "minilm")


def endpoint(*, state="Asleep", ready="True", wake=None, conditions=(), generation=1):
    ready_condition = {"type": "Ready", "status": ready, "reason": "R", "message": "", "observedGeneration": 1}
    status = {
        "state": state,
        "url": "https://minilm.default.localhost:8443",
        "conditions": [ready_condition, *conditions],
    }
    return {"metadata": {"generation": generation}, "status": status | ({"lastWake": wake} if wake else {})}


def texts(before, after):
    return [line.text for line in status_lines(KEY, before, after)]


def test_ready_is_told_once_with_the_url():
    first = view(endpoint())
    assert "default/minilm is Ready at https://minilm.default.localhost:8443" in texts(EndpointView(), first)
    assert texts(first, first) == []


def test_a_wake_is_told_with_its_phases():
    before = view(endpoint(state="Waking"))
    after = view(endpoint(state="Awake", wake={"at": "t", "duration": "2.1s", "phases": {"start": 2000, "probe": 50}}))
    assert texts(before, after) == [
        "default/minilm Waking → Awake",
        "default/minilm woke in 2.1 s (start 2000 ms, probe 50 ms)",
    ]


def test_the_last_wake_of_an_earlier_run_is_no_news():
    after = view(endpoint(wake={"at": "t", "duration": "2.1s"}))
    assert not any("woke" in text for text in texts(EndpointView(), after))


def test_a_false_condition_is_told_with_its_message():
    failure = {"type": "Accepted", "status": "False", "reason": "NotYetSupported", "message": "remove spec.access.jwt"}
    seen = view(endpoint(conditions=[failure]))
    [line] = condition_lines(KEY, (), seen.false_conditions)
    assert condition_lines(KEY, seen.false_conditions, seen.false_conditions) == []
    assert line.level == "bad"
    assert "remove spec.access.jwt" in line.text


def test_conditions_about_an_older_generation_are_not_told():
    assert view(endpoint(generation=2)).ready is None
