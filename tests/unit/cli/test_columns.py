"""What `get` shows."""

from nightlatch.cli import columns
from nightlatch.cli.get import without_secrets

ENDPOINT = {
    "kind": "InferenceEndpoint",
    "metadata": {"name": "minilm", "namespace": "search", "creationTimestamp": "2026-01-01T00:00:00Z"},
    "spec": {"access": {"apiKey": {}}},
    "status": {
        "url": "https://minilm.search.localhost:8443",
        "state": "Asleep",
        "replicas": 0,
        "conditions": [{"type": "Ready", "status": "True", "reason": "Asleep"}],
    },
}
NOW = 1767225600.0


def test_an_endpoint_shows_url_ready_state_replicas_reason_age():
    header, row = columns.table("InferenceEndpoint", [ENDPOINT], wide=False, namespaces=False, now=NOW + 90)
    assert header == ["NAME", "URL", "READY", "STATE", "REPLICAS", "REASON", "AGE"]
    assert row == ["minilm", "https://minilm.search.localhost:8443", "True", "Asleep", "0", "Asleep", "90s"]


def test_an_object_without_status_shows_blanks():
    bare = {key: value for key, value in ENDPOINT.items() if key != "status"}
    _, row = columns.table("InferenceEndpoint", [bare], wide=True, namespaces=True, now=NOW)
    assert row == ["search", "minilm", "", "", "", "", "", "0s", "apiKey", ""]


def test_ages_are_in_the_largest_unit():
    assert [columns.age(ENDPOINT, NOW + s) for s in (0, 119, 120, 7200, 200000)] == ["0s", "119s", "2m", "2h", "2d"]


def test_lines_are_aligned():
    assert columns.aligned([["A", "B"], ["long", "x"]]) == ["A      B", "long   x"]


def test_a_secret_is_shown_by_size_alone():
    shown = without_secrets({"kind": "Secret", "data": {"api-key": "c2VjcmV0"}})
    assert shown["data"] == {"api-key": "<6 bytes>"}
