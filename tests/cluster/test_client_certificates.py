"""A client's certificate, from the manifest to the answer: issued, mounted, shown, refused elsewhere, revoked.

And where the keys of the CA can be read.
"""

import base64
import hashlib
import json
import ssl
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from nightlatch.api import names
from nightlatch.kube.client import connect
from tests.cluster.installation import (
    GATEWAYS,
    SYSTEM,
    Caller,
    Installation,
    client,
    endpoint,
    eventually,
    until,
)
from tests.cluster.refusals import BOT, BOUND_S, PORT, World, Write, deleted, slowest, suspended
from tests.cluster.under_load import mounted

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]

SEARCH, TRAINING, REVOKED = "certified-search", "certified-training", "certified-revoked"
MTLS: dict[str, Any] = {"access": {"mtls": {}}}
OPERATOR, GATEWAY = f"{SYSTEM}:nightlatch-operator", f"{GATEWAYS}:nightlatch-gateway"
# A program in a pod that knows nothing but the mounted Secret.
PROGRAM = """
import json, pathlib, ssl, urllib.request
files = pathlib.Path("/etc/nightlatch/bot")
context = ssl.create_default_context(cafile=files / "ca.crt")
context.load_cert_chain(files / "tls.crt", files / "tls.key")
body = json.dumps({"model": "one", "input": "A cat sleeps."}).encode()
url, headers = (files / "url").read_text() + "/v1/embeddings", {"Content-Type": "application/json"}
asked = urllib.request.Request(url, body, headers)
with urllib.request.urlopen(asked, context=context, timeout=120) as answer:
    print(len(json.load(answer)["data"][0]["embedding"]))
"""


def certified(name: str, namespace: str, *endpoints: str, **spec: Any) -> dict[str, Any]:
    """An InferenceClient with a certificate and no key."""
    found = client(name, namespace, *endpoints, permissions=("infer", "metadata"))
    del found["spec"]["apiKey"]
    found["spec"] |= {"certificate": {}, **spec}
    return found


@pytest.fixture(scope="module")
def search(installation: Installation) -> Iterator[Installation]:
    """An endpoint with a client of its own in each of two namespaces."""
    for namespace in (SEARCH, TRAINING):
        installation.namespace(namespace)
        installation.apply(endpoint("one", namespace, idle_after="10m", **MTLS), certified("bot", namespace, "one"))
    for namespace in (SEARCH, TRAINING):
        installation.ready("one", namespace)
    yield installation
    installation.delete("pod", "reader", SEARCH)
    for namespace in (SEARCH, TRAINING):
        installation.delete("ic", "bot", namespace)
        installation.delete("ie", "one", namespace)


def by_gateway(installation: Installation, caller: Caller) -> list[Caller]:
    """The same caller, of each gateway alone."""
    return [replace(caller, address=address, port=PORT) for address in installation.gateway_addresses().values()]


async def asked(caller: Caller) -> int:
    """The status of a call for metadata."""
    async with caller.client() as http:
        return (await http.get("/v2/models/one")).status_code


async def test_a_certificate_is_issued_into_a_secret_and_lets_its_client_in_through_both_gateways(
    search: Installation,
) -> None:
    caller = search.certified("bot", "one", SEARCH)
    secret = search.get("secret", "bot-certificate", SEARCH)
    assert secret
    assert secret["type"] == "kubernetes.io/tls"
    assert set(secret["data"]) == {"tls.crt", "tls.key", "ca.crt", "url", "endpoints.json"}
    callers = by_gateway(search, caller)
    assert len(callers) == 2
    assert [(await each.embed("A cat sleeps.")).status_code for each in callers] == [200, 200]
    nobody = [await asked(replace(each, certificate=None)) for each in callers]
    assert nobody == [401, 401]


def test_a_pod_that_mounts_the_secret_calls_by_the_url_in_it(search: Installation) -> None:
    search.certified("bot", "one", SEARCH)
    mounted(search, SEARCH, {"bot": "bot-certificate"})
    printed = search.kubectl("exec", "reader", "-n", SEARCH, "--", "python", "-c", PROGRAM)
    assert printed.strip() == "384"


async def test_a_client_of_one_namespace_is_refused_at_an_endpoint_of_another_that_does_not_name_it(
    search: Installation,
) -> None:
    """Both are called `bot`, and both certificates are of the same CA."""
    here, there = (search.certified("bot", "one", TRAINING, of) for of in (SEARCH, TRAINING))
    until(lambda: search.asleep("one", TRAINING), "nobody has called there yet")
    for each in by_gateway(search, here):
        assert await asked(each) == 401
        assert (await each.embed("A cat sleeps.")).status_code == 401
    assert search.asleep("one", TRAINING), "a refused call woke the endpoint"
    for each in by_gateway(search, there):
        assert (await each.embed("A cat sleeps.")).status_code == 200


async def test_a_renewal_brings_another_key_and_the_certificate_before_stays_good(search: Installation) -> None:
    old = search.certified("bot", "one", SEARCH)
    search.kubectl("annotate", "--overwrite", "ic/bot", "-n", SEARCH, f"{names.ANNOTATION_RENEW}=now")
    await eventually(lambda: search.certified("bot", "one", SEARCH).certificate != old.certificate, "a renewal")
    new = search.certified("bot", "one", SEARCH)
    assert old.certificate
    assert new.certificate
    assert new.certificate[1] != old.certificate[1]
    for each in (*by_gateway(search, old), *by_gateway(search, new)):
        assert await asked(each) == 200


# --- revocation


@pytest.fixture(scope="module")
async def world(installation: Installation) -> AsyncIterator[World]:
    namespace = installation.namespace(REVOKED)
    endpoints = [f"e{number}" for number in range(4)]
    held = endpoint("held", namespace, idle_after="1s", **MTLS)
    installation.apply(*(endpoint(name, namespace, **MTLS) for name in endpoints), held)
    gateways = installation.gateway_addresses()
    assert len(gateways) == 2
    for name in (*endpoints, "held"):
        installation.ready(name, namespace)
    async with await connect(installation.kubeconfig) as api:
        yield World(installation, api, gateways, namespace, endpoints, "held", shows="certificate")
    for name in (*endpoints, "held"):
        installation.delete("ie", name, namespace)
    installation.delete("ic", BOT, namespace)


async def certificate_revoked(world: World, caller: Caller) -> None:
    """By its digest, as `sha256sum` prints it. The client itself stays in good standing."""
    assert caller.certificate
    der = ssl.PEM_cert_to_DER_cert(caller.certificate[0].partition("-----END")[0] + "-----END CERTIFICATE-----")
    await world.patch({"certificate": {"revokedDigests": [hashlib.sha256(der).hexdigest()]}})


@pytest.mark.parametrize("write", [certificate_revoked, suspended, deleted], ids=lambda each: each.__name__)
async def test_a_certificate_that_ends_is_refused_by_every_gateway_within_a_second_on_open_connections(
    world: World, write: Write, times: Callable[..., int]
) -> None:
    """After a revoked digest, the next round begins with the certificate that was issued in its place."""
    assert await slowest(world, write, times(2, soak=50)) <= BOUND_S


# --- where the keys of the CA are

CA_SECRETS = (
    names.ROOT_CA_SECRET,
    names.ISSUING_CA_SECRET,
    names.SECOND_ROOT_CA_SECRET,
    names.SECOND_ISSUING_CA_SECRET,
    names.TRUST_SECRET,
)


def may(installation: Installation, account: str, verb: str, resource: str) -> bool:
    """In the operator's namespace. resource: a kind, or a kind and a name."""
    kind, _, name = resource.partition("/")
    return installation.may(account, verb, kind, SYSTEM, name)


def accounts(installation: Installation) -> list[str]:
    """Every ServiceAccount but those of Kubernetes' own controllers, as NAMESPACE:NAME."""
    found = json.loads(installation.kubectl("get", "serviceaccounts", "-A", "-o", "json"))["items"]
    keys = [(each["metadata"]["namespace"], each["metadata"]["name"]) for each in found]
    return [":".join(key) for key in keys if not key[0].startswith("kube-")]


def test_the_operator_alone_can_read_the_keys_of_the_ca(search: Installation) -> None:
    everybody = accounts(search)
    assert {OPERATOR, GATEWAY, f"{SEARCH}:one-model-server", f"{SEARCH}:default"} <= set(everybody)
    resources = [f"secret/{name}" for name in CA_SECRETS]
    asked = [("get", resource) for resource in resources] + [("list", "secrets"), ("watch", "secrets")]
    readers = {account for account in everybody for verb, resource in asked if may(search, account, verb, resource)}
    assert readers == {OPERATOR}
    assert all(may(search, OPERATOR, verb, resource) for verb, resource in asked)


def test_no_other_secret_has_a_key_of_the_ca(search: Installation) -> None:
    secrets = json.loads(search.kubectl("get", "secrets", "-A", "-o", "json"))["items"]
    cas = [each for each in secrets if each["metadata"].get("labels", {}).get(names.LABEL_ROLE) == names.ROLE_CA]
    assert {each["metadata"]["namespace"] for each in cas} == {SYSTEM}
    keys = {base64.b64decode(each["data"]["tls.key"]) for each in cas if "tls.key" in each["data"]}
    assert len(keys) == 2, "a root and what it signed"
    for each in secrets:
        values = [base64.b64decode(value) for value in (each.get("data") or {}).values()]
        assert each in cas or not [key for key in keys for value in values if key in value]


def test_the_operator_may_write_what_it_tells_of_its_cas_and_the_ledger_and_nobody_else_may(
    search: Installation,
) -> None:
    told = search.get("configmap", names.INSTALLATION_CONFIG_MAP, SYSTEM)
    ledger = search.get("secret", names.TRUST_SECRET, SYSTEM)
    assert told
    assert ledger
    assert "Active since" in told["data"]["generations"]
    (active,) = [
        each
        for each in json.loads(base64.b64decode(ledger["data"]["ledger.json"]))["generations"]
        if each["state"] == "Active"
    ]
    assert active["keyId"] in told["data"]["generations"]
    others = [each for each in accounts(search) if each != OPERATOR]
    for resource in (f"configmap/{names.INSTALLATION_CONFIG_MAP}", f"secret/{names.TRUST_SECRET}"):
        writes = [(account, verb) for account in others for verb in ("update", "patch", "delete")]
        assert [each for each in writes if may(search, *each, resource)] == []


def test_the_api_server_has_refused_the_operator_nothing_in_its_own_namespace(search: Installation) -> None:
    """What the chart grants is enough: the audit log has every request of the operator."""
    user = f"system:serviceaccount:{OPERATOR}"
    asked = [
        each
        for each in search.audited()
        if each["user"]["username"] == user and (each.get("objectRef") or {}).get("namespace") == SYSTEM
    ]
    written = {(each["verb"], each["objectRef"].get("name")) for each in asked}
    assert ("patch", names.INSTALLATION_CONFIG_MAP) in written
    assert {"create", "update"} & {each["verb"] for each in asked if each["objectRef"]["resource"] == "secrets"}
    assert [each["requestURI"] for each in asked if each.get("responseStatus", {}).get("code") == 403] == []
