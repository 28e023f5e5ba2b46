"""An endpoint, a client and a PKI to plan with. Everything is a value; `dataclasses.replace` makes the variations."""

from dataclasses import replace
from datetime import UTC, datetime

from nightlatch import api_keys, pki
from nightlatch.api import names
from nightlatch.api.meta import NamespacedName
from nightlatch.controller.apply import secret_object
from nightlatch.pki import LeafRequest
from nightlatch.planning.client.key_secret import ledger_data
from nightlatch.planning.client.ledger import Ledger, LedgerKey
from nightlatch.planning.endpoint.certificates import server_leaf, upstream_leaf
from nightlatch.planning.endpoint.plan import owner_of
from nightlatch.planning.inputs import CAView, ClientView, KeyCoverage, LiveKey, Observed, ObservedClient
from nightlatch.planning.parsed import read_client, read_endpoint
from nightlatch.planning.plan import OwnedSecret, Owner
from nightlatch.planning.secrets import view_secret
from nightlatch.planning.settings import Settings

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
SETTINGS = Settings(platform="Embedded", port=8443)
ISSUING = pki.new_issuing(pki.new_root(now=NOW), now=NOW)
ISSUING_CA = CAView(ISSUING.key_id, ISSUING.trust_pem)
KEY = api_keys.mint(lambda size: b"k" * size)
# What is in a client's Secret besides its keys.
PUBLIC = {
    "url": b"https://minilm.search.localhost:8443",
    "endpoints.json": b'{\n  "search/minilm": {\n    "url": "https://minilm.search.localhost:8443"\n  }\n}\n',
    "ca.crt": ISSUING.trust_pem,
}


def endpoint(*, name="minilm", namespace="search", uid="uid-e", generation=1, created="2026-01-01T00:00:00Z", **spec):
    base = {"model": {"source": {"path": "/m"}}, "access": {"apiKey": {}}}
    return read_endpoint(_raw("InferenceEndpoint", name, namespace, uid, generation, created, base | spec), SETTINGS)


def client(
    *,
    name="bot",
    namespace="search",
    uid="uid-c",
    endpoints=({"name": "minilm"},),
    labels=None,
    annotations=(),
    **spec,
):
    """labels: of its namespace."""
    base = {"endpoints": list(endpoints), "apiKey": {}}
    raw = _raw("InferenceClient", name, namespace, uid, 1, "2026-01-01T00:00:00Z", base | spec)
    raw["metadata"]["annotations"] = dict(annotations)
    return read_client(raw, labels or {}, SETTINGS)


def _raw(kind, name, namespace, uid, generation, created, spec):
    return {
        "apiVersion": "nightlatch.dev/v1alpha1",
        "kind": kind,
        "metadata": {
            "name": name,
            "namespace": namespace,
            "uid": uid,
            "generation": generation,
            "creationTimestamp": created,
        },
        "spec": spec,
    }


def held(subject=None, key=KEY):
    """A client with a live key."""
    parsed = api_keys.parse(key.text)
    return ClientView(subject or client(), (LiveKey(parsed.key_id, parsed.sha256),))


def found(target: OwnedSecret, data, *, version="1", uid="uid-s", annotations=()):
    """A Secret as it is read back after it was applied."""
    raw = secret_object(target, data)
    raw["metadata"]["annotations"].update(annotations)
    raw["metadata"] |= {"uid": uid, "resourceVersion": version, "creationTimestamp": "2026-01-01T00:00:00Z"}
    return view_secret(raw)


def foreign(key: NamespacedName):
    return view_secret(
        {"metadata": {"name": key.name, "namespace": key.namespace, "uid": "x", "resourceVersion": "1"}, "data": {}}
    )


def leaf_secret(wanted, *, now=NOW, request: LeafRequest | None = None, owner: Owner | None = None):
    target = OwnedSecret(wanted.key, wanted.role, owner or wanted.owner, "kubernetes.io/tls")
    return found(target, pki.issue_leaf(ISSUING, request or wanted.request, now=now).secret_data())


def issued(subject, *, now=NOW, **changes) -> Observed:
    """Observed, with the issuing CA and both leaves there."""
    owner = owner_of(subject)
    observed = Observed(
        settings=SETTINGS,
        issuing_ca=ISSUING_CA,
        server_tls=leaf_secret(server_leaf(SETTINGS, subject.key, owner, subject.spec.tls), now=now),
        upstream_tls=leaf_secret(upstream_leaf(SETTINGS, subject.key, owner), now=now),
    )
    return replace(observed, **changes)


def ledger_key(key=KEY, state="Current", *, created=NOW, ends=None):
    text = key.text if state in ("Next", "Current") else ""
    sha256 = "" if state == "Revoked" else api_keys.digest(key.text)
    return LedgerKey(key.key_id, sha256, state, int(created.timestamp()), ends and int(ends.timestamp()), text)


def key_secret(subject, *, data=None, name=None, role=names.ROLE_API_KEY, keys=(), request="", annotations=()):
    """The client's Secret with these keys in its ledger, or with this data."""
    owner = Owner(subject.ref, subject.metadata.uid, "nightlatch.dev/v1alpha1")
    target = OwnedSecret(NamespacedName(subject.key.namespace, name or names.api_key(subject.key)), role, owner)
    ledger = ledger_data(Ledger(tuple(keys or (ledger_key(),)), request))
    entries = {entry: value for entry, value in (PUBLIC | ledger).items() if value is not None}
    return found(target, entries if data is None else data, annotations=annotations)


def observed_client(**changes) -> ObservedClient:
    """The endpoint exists, and every gateway accepts KEY."""
    observed = ObservedClient(
        SETTINGS,
        ISSUING_CA,
        endpoints={NamespacedName("search", "minilm"): endpoint()},
        coverage={KEY.key_id: KeyCoverage()},
    )
    return replace(observed, **changes)
