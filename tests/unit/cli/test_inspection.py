"""What `inspect` shows of a client and of an endpoint."""

import json

import pytest

from nightlatch.api.client import KeyStatus
from nightlatch.api.meta import NamespacedName
from nightlatch.cli.inspection import client_facts, client_text, endpoint_facts, endpoint_text
from nightlatch.cli.key_times import last_use, next_event
from tests.unit.cli.keyed import LATER, NEW, NOW, OLD, client, condition, endpoint, key

MINILM = NamespacedName("search", "minilm")
TWO_GATEWAYS = {"members": 3, "applied": 2, "disconnected": 1}


def status(**fields):
    return KeyStatus.model_validate(key(**fields))


@pytest.mark.parametrize(
    ("keys", "event"),
    [
        ([key()], "none planned"),
        ([key(rotatesAt=5 * 86_400)], "a new key in 5d"),
        ([key(rotatesAt=-1)], "a new key, now"),
        ([key(rotatesAt=86_400 * 9, expiresAt=3600)], "expires in 60m"),
        ([key(expiresAt=-3600)], "expired 60m ago"),
        ([key(), key(NEW, "Next")], f"replaced when every gateway accepts {NEW}"),
        ([key(state="Next")], "becomes Current when every gateway accepts it"),
        ([key(state="Previous", expiresAt=90)], "refused in 90s"),
        ([key(state="Revoked", expiresAt=-90)], "refused since 90s"),
    ],
)
def test_each_key_has_its_next_event(keys, event):
    known = [KeyStatus.model_validate(each) for each in keys]
    assert next_event(known[0], known, NOW) == event


def test_the_last_use_is_told_as_coarsely_as_it_is_known():
    assert last_use(status(), NOW) == "none seen"
    assert last_use(status(lastUsedAt=-300), NOW) == "in the last 10m"
    assert last_use(status(lastUsedAt=-1800), NOW) == "30m ago"


def rotated(**options):
    said = [
        condition("CredentialsReady", "True", "Rotating", f"key {LATER} waits for gateway-1"),
        condition("Ready", "True", "Ready", "the client can call"),
    ]
    keys = [key(LATER, "Next", createdAt=-5), key(NEW, lastUsedAt=-300), key(OLD, "Revoked", expiresAt=-60)]
    return client(*keys, conditions=said, **options)


def test_the_table_of_a_client_has_keys_endpoints_and_the_gateway_that_lacks_something():
    named = {"endpoints": [{"name": "minilm", "permissions": ["infer"]}, {"name": "gone"}]}
    subject = rotated(**named)
    facts = client_facts(subject, {MINILM: endpoint(state="Asleep", gateways=TWO_GATEWAYS)}, NOW)
    text = client_text(subject, facts, NOW)
    assert "Ready (Ready): the client can call" in text
    assert "Secret bot-key, entry api-key" in text
    lines = {line.split("   ")[0]: line for line in text.splitlines()}
    assert "Next" in lines[LATER]
    assert f"replaced when every gateway accepts {LATER}" in lines[NEW]
    assert "in the last 10m" in lines[NEW]
    assert "refused since 60s" in lines[OLD]
    assert "2 of 3 have the newest configuration; 1 silent" in lines["search/minilm"]
    assert "(not found)" in lines["search/gone"]
    assert "waits for gateway-1" in lines["CredentialsReady"]


def test_json_has_the_same_facts():
    subject = rotated(apiKey={"rotateEvery": "720h", "overlap": "2h"})
    facts = json.loads(json.dumps(client_facts(subject, {MINILM: endpoint(gateways=TWO_GATEWAYS)}, NOW)))
    assert [each["state"] for each in facts["keys"]] == ["Next", "Current", "Revoked"]
    assert facts["keys"][1]["lastUsedAt"] == "2026-03-01T11:55:00Z"
    assert facts["keys"][1]["nextEvent"].startswith("replaced when")
    assert facts["overlapSeconds"] == 7200
    assert facts["endpoints"][0]["gateways"] == TWO_GATEWAYS
    assert facts["conditions"][0]["message"] == f"key {LATER} waits for gateway-1"


def test_an_endpoint_shows_the_live_keys_of_all_who_name_it():
    subject = endpoint(
        url="https://minilm.search.localhost:8443",
        state="Awake",
        gateways=TWO_GATEWAYS,
        certificates=[
            {
                "role": "server-tls",
                "serial": "0a",
                "notAfter": "2026-03-02T00:00:00Z",
                "renewAt": "2026-03-01T16:00:00Z",
            }
        ],
    )
    other = client(key("dddddddddddd"), name="other", namespace="web", endpoints=[{"name": "minilm"}])
    waits = client(key("eeeeeeeeeeee"), name="waits", suspend=True)
    clients = [waits, rotated(), other]
    facts = endpoint_facts(subject, clients, NOW)
    assert [(each["name"], len(each["keys"])) for each in facts["clients"]] == [("bot", 2), ("waits", 1)]
    text = endpoint_text(subject, facts, clients, NOW)
    assert "https://minilm.search.localhost:8443   Awake" in text
    assert NEW in text
    assert OLD not in text
    assert "dddddddddddd" not in text
    assert "none: suspended" in text
    assert "server-tls    0a       in 12h   in 4h" in text


def test_an_endpoint_that_nobody_may_call_says_so():
    assert "nobody can call it" in endpoint_text(endpoint(), endpoint_facts(endpoint(), [], NOW), [], NOW)


def test_a_client_that_the_operator_has_not_seen_says_so():
    text = client_text(client(), client_facts(client(), {}, NOW), NOW)
    assert text.startswith("not Ready: the operator has not seen it yet")
    assert "no API keys" in text
