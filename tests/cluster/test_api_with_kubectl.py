"""The API as tools see it: kubectl explains it, the largest objects fit, two writers keep out of each other's way, and
types generated from the API server's own OpenAPI lose nothing."""

import json
import subprocess
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from nightlatch.api.crd.generate import RESOURCES, Resource, schema_of
from nightlatch.api.meta import API_VERSION, INFERENCE_CLIENT, OUR_KINDS, TOKEN_ISSUER, RawObject
from nightlatch.store.admission.schema import admitted
from tests.cluster.conftest import node
from tests.cluster.installation import until
from tests.contract.largest import largest
from tests.schemas.manifests import manifests
from tests.schemas.openapi_client import Client, client_of

pytestmark = pytest.mark.cluster

Kubectl = Callable[..., str]
OPENAPI = f"openapi/v3/apis/{API_VERSION}"
GITOPS = ("--server-side", "--field-manager=gitops")
CLI = ("--server-side", "--field-manager=nightlatch-cli")


@pytest.fixture(scope="module")
def kubectl(control_plane: str, tmp_path_factory: pytest.TempPathFactory) -> Kubectl:
    """Run kubectl; returns what it printed. It remembers nothing of an API server that had the same address before."""
    cache = f"--cache-dir={tmp_path_factory.mktemp('kubectl')}"
    command = [node("tool", "kubectl"), "--kubeconfig", control_plane, cache]

    def run(*arguments: str, stdin: RawObject | None = None) -> str:
        text = json.dumps(stdin) if stdin else None
        done = subprocess.run([*command, *arguments], capture_output=True, text=True, input=text, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def published() -> bool:
        groups = json.loads(run("get", "--raw", "/openapi/v3"))["paths"]
        known = run("get", "--raw", f"/{OPENAPI}") if OPENAPI.removeprefix("openapi/v3/") in groups else ""
        discovered = _short_names(run)
        return all(f'"{each.kind.kind}"' in known and each.short_name in discovered for each in RESOURCES)

    until(published, "OpenAPI of our kinds")
    return run


def _short_names(run: Kubectl) -> set[str]:
    """The short names of our kinds that discovery has."""
    listed = json.loads(run("get", "--raw", f"/apis/{API_VERSION}"))["resources"]
    return {short for each in listed for short in each.get("shortNames", ())}


# --- kubectl explain


def objects(schema: dict[str, Any], path: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every part of a schema that has fields. kubectl goes into lists and maps by the name of the list."""
    if "properties" in schema:
        yield path, schema
    for name, child in schema.get("properties", {}).items():
        yield from objects(child, f"{path}.{name}")
    for word in ("items", "additionalProperties"):
        if isinstance(schema.get(word), dict):
            yield from objects(schema[word], path)


@pytest.mark.parametrize("resource", RESOURCES, ids=lambda resource: resource.kind.kind)
def test_kubectl_explains_every_field(kubectl: Kubectl, resource: Resource) -> None:
    recursive = kubectl("explain", resource.short_name, "--recursive")
    for part in ("spec", "status"):
        for path, schema in objects(schema_of(resource.kind)["properties"][part], f"{resource.short_name}.{part}"):
            explained = kubectl("explain", path)
            assert "<empty>" not in explained
            assert "<no description>" not in explained
            for name in schema["properties"]:
                assert f"\n  {name}\t" in explained
                assert f"  {name}\t" in recursive


# --- the largest objects


@pytest.mark.parametrize("kind", OUR_KINDS, ids=lambda kind: kind.kind)
def test_the_largest_object_can_be_applied_and_edited(kubectl: Kubectl, kind: Any) -> None:
    manifest = largest(kind, "default")
    kubectl("apply", "--server-side", "-f", "-", stdin=manifest)
    found = json.loads(kubectl("get", kind.plural, "largest", "-o", "json"))
    assert found["spec"] == admitted(manifest)["spec"]
    kubectl("label", kind.plural, "largest", "edited=yes")
    kubectl("delete", kind.plural, "largest")


# --- two writers


def grant(name: str) -> RawObject:
    return {"name": name, "namespace": "search", "permissions": ["infer"]}


def declared(*endpoints: str, revoked: tuple[str, ...] = ()) -> RawObject:
    """What a GitOps tool has in its repository."""
    key = {"rotateEvery": "720h"} | ({"revokedKeyIds": list(revoked)} if revoked else {})
    return client({"endpoints": [grant(name) for name in endpoints], "apiKey": key})


def client(spec: RawObject) -> RawObject:
    return {
        "apiVersion": API_VERSION,
        "kind": INFERENCE_CLIENT.kind,
        "metadata": {"name": "two-writers", "namespace": "default"},
        "spec": spec,
    }


@pytest.fixture
def live(kubectl: Kubectl) -> Iterator[Callable[[], tuple[list[str], list[str]]]]:
    """The endpoints and the revoked keys of the client that both write."""

    def read() -> tuple[list[str], list[str]]:
        spec = json.loads(kubectl("get", "ic", "two-writers", "-o", "json"))["spec"]
        return [each["name"] for each in spec["endpoints"]], sorted(spec["apiKey"].get("revokedKeyIds", []))

    yield read
    kubectl("delete", "ic", "two-writers")


def revoke(kubectl: Kubectl, *ids: str) -> None:
    """As a tool does that owns the ids which it wrote, and nothing else."""
    kubectl("apply", *CLI, "-f", "-", stdin=client({"apiKey": {"revokedKeyIds": list(ids)}}))


def test_neither_gitops_nor_a_revocation_undoes_the_other(kubectl: Kubectl, live) -> None:
    old, first, second = "aaaaaaaaaaaa", "bbbbbbbbbbbb", "cccccccccccc"
    kubectl("apply", *GITOPS, "-f", "-", stdin=declared("one", revoked=(old,)))
    revoke(kubectl, first)
    assert live() == (["one"], [old, first])

    kubectl("apply", *GITOPS, "-f", "-", stdin=declared("one", revoked=(old,)))
    assert live() == (["one"], [old, first])
    kubectl("apply", *GITOPS, "--force-conflicts", "-f", "-", stdin=declared("one", "two", revoked=(old,)))
    assert live() == (["one", "two"], [old, first])

    revoke(kubectl, first, second)
    assert live() == (["one", "two"], [old, first, second])
    # Each removes what it alone wrote.
    kubectl("apply", *GITOPS, "-f", "-", stdin=declared("two"))
    assert live() == (["two"], [first, second])
    revoke(kubectl, second)
    assert live() == (["two"], [second])


def test_a_client_side_apply_keeps_revoked_ids_that_its_manifest_does_not_list(kubectl: Kubectl, live) -> None:
    kubectl("apply", "-f", "-", stdin=declared("one"))
    revoke(kubectl, "bbbbbbbbbbbb")
    kubectl("apply", "-f", "-", stdin=declared("one", "two"))
    assert live() == (["one", "two"], ["bbbbbbbbbbbb"])


def test_a_key_that_gitops_takes_away_stays_while_somebody_else_owns_its_revocations(kubectl: Kubectl, live) -> None:
    """As docs/how-to/gitops.md says; `suspend` takes it away."""
    kubectl("apply", *GITOPS, "-f", "-", stdin=declared("one"))
    revoke(kubectl, "bbbbbbbbbbbb")
    without = client({"endpoints": [grant("one")], "certificate": {}, "suspend": True})
    kubectl("apply", *GITOPS, "-f", "-", stdin=without)
    assert live() == (["one"], ["bbbbbbbbbbbb"])
    assert json.loads(kubectl("get", "ic", "two-writers", "-o", "json"))["spec"]["suspend"] is True


def test_two_writers_of_the_same_id_both_keep_it(kubectl: Kubectl, live) -> None:
    both = "bbbbbbbbbbbb"
    kubectl("apply", *GITOPS, "-f", "-", stdin=declared("one", revoked=(both,)))
    revoke(kubectl, both)
    kubectl("apply", *GITOPS, "-f", "-", stdin=declared("one"))
    assert live() == (["one"], [both])


def test_two_writers_can_grant_different_endpoints(kubectl: Kubectl, live) -> None:
    kubectl("apply", *GITOPS, "-f", "-", stdin=declared("one"))
    kubectl("apply", *CLI, "-f", "-", stdin=client({"endpoints": [grant("two")]}))
    kubectl("apply", *GITOPS, "-f", "-", stdin=declared("three"))
    assert sorted(live()[0]) == ["three", "two"]


def test_an_entry_without_its_namespace_has_the_same_owner_before_and_after(kubectl: Kubectl, live) -> None:
    """The API server fills in the namespace, which is a part of the key that the lists merge by."""
    own = {"name": "one", "permissions": ["infer"]}
    kubectl("apply", *GITOPS, "-f", "-", stdin=client({"endpoints": [own], "apiKey": {}}))
    kubectl("apply", *CLI, "-f", "-", stdin=client({"endpoints": [grant("one"), {**own, "name": "two"}]}))
    assert sorted(live()[0]) == ["one", "one", "two"]
    kubectl("apply", *GITOPS, "-f", "-", stdin=client({"endpoints": [{**own, "name": "three"}], "apiKey": {}}))
    assert sorted(live()[0]) == ["one", "three", "two"]


def test_two_writers_of_the_tokens_that_an_issuer_denies(kubectl: Kubectl) -> None:
    def issuer(spec: RawObject) -> RawObject:
        named = {"name": "two-writers", "namespace": "default"}
        return {"apiVersion": API_VERSION, "kind": TOKEN_ISSUER.kind, "metadata": named, "spec": spec}

    def apply(manager: tuple[str, ...], spec: RawObject) -> RawObject:
        text = kubectl("apply", *manager, "-f", "-", "-o", "json", stdin=issuer(spec))
        denied: RawObject = json.loads(text)["spec"]["denied"]
        return {
            name: sorted(each["sub"] if isinstance(each, dict) else each for each in denied[name]) for name in denied
        }

    before = {"sub": "a", "time": "2030-01-01T00:00:00Z"}
    git = {"issuer": "https://id.example", "audiences": ["m"], "keys": {"discovery": True}}
    apply(GITOPS, {**git, "denied": {"sid": ["git"], "issuedBefore": [before]}})
    everybody = {"time": "2030-01-01T00:00:00Z"}
    denied = apply(CLI, {"denied": {"sid": ["stolen"], "jti": ["x"], "issuedBefore": [everybody]}})
    assert denied == {"sid": ["git", "stolen"], "jti": ["x"], "issuedBefore": ["", "a"]}
    denied = apply(GITOPS, {**git, "denied": {"sid": ["other"]}})
    assert denied == {"sid": ["other", "stolen"], "jti": ["x"], "issuedBefore": [""]}
    kubectl("delete", TOKEN_ISSUER.plural, "two-writers")


# --- clients generated from OpenAPI


@pytest.fixture(scope="module")
def generated(kubectl: Kubectl, tmp_path_factory: pytest.TempPathFactory) -> Client:
    document = json.loads(kubectl("get", "--raw", f"/{OPENAPI}"))
    names = {kind.kind: f"DevNightlatchV1alpha1{kind.kind}" for kind in OUR_KINDS}
    return client_of(document, tmp_path_factory.mktemp("client"), names)


@pytest.mark.parametrize("manifest", [each for each in manifests() if each.ours], ids=lambda each: each.place)
def test_what_the_docs_show_is_taken_and_comes_back_whole(kubectl: Kubectl, generated: Client, manifest: Any) -> None:
    obj = {**manifest.object, "metadata": {**manifest.object["metadata"], "namespace": "default"}}
    stored = json.loads(kubectl("create", "--validate=strict", "-o", "json", "-f", "-", stdin=obj))
    kubectl("delete", stored["kind"], stored["metadata"]["name"])
    assert generated(stored) == stored


@pytest.mark.parametrize("kind", OUR_KINDS, ids=lambda kind: kind.kind)
def test_the_largest_object_comes_back_whole(kubectl: Kubectl, generated: Client, kind: Any) -> None:
    stored = json.loads(kubectl("create", "-o", "json", "-f", "-", stdin=largest(kind, "default")))
    kubectl("delete", kind.plural, "largest")
    assert generated(stored) == stored
