"""Clients with keys, as a store has them."""

from datetime import UTC, datetime

from nightlatch.planning.parsed import read_client, read_endpoint
from nightlatch.planning.settings import Settings

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC).timestamp()
OLD, NEW, LATER = "aaaaaaaaaaaa", "bbbbbbbbbbbb", "cccccccccccc"


def at(seconds):
    """An RFC 3339 time so long after NOW."""
    return datetime.fromtimestamp(NOW + seconds, UTC).isoformat().replace("+00:00", "Z")


def key(key_id=OLD, state="Current", **times):
    """A key of a day ago; times in seconds after NOW."""
    dated = {name: at(seconds) for name, seconds in {"createdAt": -86_400, **times}.items()}
    return {"id": key_id, "state": state, **dated}


def condition(kind, status, reason, message, generation=1):
    return {
        "type": kind,
        "status": status,
        "reason": reason,
        "message": message,
        "observedGeneration": generation,
        "lastTransitionTime": at(-60),
    }


def raw_client(*keys, conditions=(), name="bot", namespace="search", **spec):
    return {
        "apiVersion": "nightlatch.dev/v1alpha1",
        "kind": "InferenceClient",
        "metadata": {"name": name, "namespace": namespace, "uid": "uid", "resourceVersion": "7", "generation": 1},
        "spec": {"endpoints": [{"name": "minilm"}], "apiKey": {}} | spec,
        "status": {"observedGeneration": 1, "keys": list(keys), "conditions": list(conditions)},
    }


def client(*keys, **options):
    return read_client(raw_client(*keys, **options))


def endpoint(name="minilm", namespace="search", **status):
    raw = {
        "apiVersion": "nightlatch.dev/v1alpha1",
        "kind": "InferenceEndpoint",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"model": {"source": {"path": "/m"}}, "access": {"apiKey": {}}},
        "status": status,
    }
    return read_endpoint(raw, Settings(platform="Embedded", port=8443))
