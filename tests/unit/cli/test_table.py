"""What `get` shows."""

import pytest

from nightlatch.api.crd.columns import COLUMNS, Column
from nightlatch.api.meta import INFERENCE_CLIENT, INFERENCE_ENDPOINT, SECRET
from nightlatch.cli.get import without_secrets
from nightlatch.cli.table import age, aligned, cell, table

ENDPOINT = {
    "kind": "InferenceEndpoint",
    "metadata": {"name": "minilm", "namespace": "search", "creationTimestamp": "2026-01-01T00:00:00Z"},
    "spec": {"access": {"apiKey": {}}},
    "status": {
        "url": "https://minilm.search.localhost:8443",
        "state": "Asleep",
        "replicas": 0,
        "access": "apiKey",
        "conditions": [
            {"type": "Accepted", "status": "True", "reason": "Accepted"},
            {"type": "Ready", "status": "True", "reason": "Asleep"},
        ],
        "certificates": [
            {"role": "upstream-tls", "notAfter": "2026-01-01T12:00:00Z"},
            {"role": "server-tls", "notAfter": "2026-01-02T00:00:00Z"},
        ],
    },
}
CLIENT = {
    "kind": "InferenceClient",
    "metadata": {"name": "bot", "namespace": "search", "creationTimestamp": "2026-01-01T00:00:00Z"},
    "spec": {"suspend": False},
    "status": {"certificate": {"notAfter": "2026-01-02T00:00:00Z"}},
}
NOW = 1767225600.0


def test_an_endpoint_shows_url_ready_state_replicas_reason_age():
    header, row = table(INFERENCE_ENDPOINT, [ENDPOINT], wide=False, namespaces=False, now=NOW + 90)
    assert header == ["NAME", "URL", "READY", "STATE", "REPLICAS", "REASON", "AGE"]
    assert row == ["minilm", "https://minilm.search.localhost:8443", "True", "Asleep", "0", "Asleep", "90s"]


def test_the_wide_table_shows_when_the_server_certificate_ends():
    header, row = table(INFERENCE_ENDPOINT, [ENDPOINT], wide=True, namespaces=False, now=NOW)
    assert header[-2:] == ["ACCESS", "CERTEXPIRY"]
    assert row[-2:] == ["apiKey", "2026-01-02T00:00:00Z"]


def test_a_client_shows_its_columns():
    header, row = table(INFERENCE_CLIENT, [CLIENT], wide=True, namespaces=False, now=NOW)
    assert header == ["NAME", "READY", "REASON", "SUSPEND", "AGE", "CERTEXPIRY"]
    assert row == ["bot", "", "", "false", "0s", "2026-01-02T00:00:00Z"]


def test_a_secret_shows_how_many_values_it_has():
    secret = {**CLIENT, "kind": "Secret", "type": "Opaque", "data": {"a": "YQ==", "b": "Yg=="}}
    header, row = table(SECRET, [secret], wide=False, namespaces=False, now=NOW)
    assert header == ["NAME", "TYPE", "DATA", "AGE"]
    assert row == ["bot", "Opaque", "2", "0s"]


def test_an_object_without_status_shows_blanks():
    bare = {key: value for key, value in ENDPOINT.items() if key != "status"}
    _, row = table(INFERENCE_ENDPOINT, [bare], wide=True, namespaces=True, now=NOW)
    assert row == ["search", "minilm", "", "", "", "", "", "0s", "", ""]


@pytest.mark.parametrize("column", [column for columns in COLUMNS.values() for column in columns])
def test_every_column_has_a_path_that_can_be_evaluated(column):
    assert cell(column, {}, NOW) == ""


def test_a_path_that_cannot_be_evaluated_is_an_error_not_a_blank():
    with pytest.raises(ValueError, match=r"cannot evaluate the column path \.spec\.endpoints\[\*\]"):
        cell(Column("Endpoints", "string", ".spec.endpoints[*].name"), {}, NOW)


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0, "0s"),
        (119, "119s"),
        (120, "2m"),
        (330, "5m30s"),
        (7200, "120m"),
        (3 * 3600 + 60, "3h1m"),
        (47 * 3600, "47h"),
        (200000, "2d7h"),
        (12 * 86400, "12d"),
        (800 * 86400, "2y70d"),
        (9 * 365 * 86400, "9y"),
        (-5, "0s"),
    ],
)
def test_ages_are_as_kubectl_shows_them(seconds, shown):
    assert age(seconds) == shown


def test_lines_are_aligned():
    assert aligned([["A", "B"], ["long", "x"]]) == ["A      B", "long   x"]


def test_a_secret_is_shown_by_size_alone():
    shown = without_secrets({"kind": "Secret", "data": {"api-key": "c2VjcmV0"}})
    assert shown["data"] == {"api-key": "<6 bytes>"}
