"""Pods call with the tokens of their ServiceAccounts: no key is handed out, and no other token wakes anything."""

import base64
import json
import time

import pytest
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from tests.attack.tokens import Signer
from tests.cluster.installation import Caller, Installation, endpoint, eventually, until
from tools.node.paths import State

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]

NAMESPACE, ELSEWHERE = "tokens", "tokens-elsewhere"
AUDIENCE = "minilm"
CLUSTER = "https://kubernetes.default.svc.cluster.local"
ACCESS = {
    "jwt": {"issuers": [{"name": "cluster"}]},
    "rules": [
        {"permissions": ["infer"], "when": {"claims": {"sub": [f"system:serviceaccount:{NAMESPACE}:bot"]}}},
        {"permissions": ["metadata"], "when": {"claims": {"kubernetes.io.namespace": [NAMESPACE]}}},
    ],
}
MODEL = "/v2/models/minilm"


def account(name: str, namespace: str = NAMESPACE) -> dict:
    return {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name, "namespace": namespace}}


def issuer(**spec) -> dict:
    spec = {"audiences": [AUDIENCE], "keys": {"kubernetes": {}}, "maxLifetime": "1h", "clockSkew": "0s", **spec}
    metadata = {"name": "cluster", "namespace": NAMESPACE}
    return {"apiVersion": "nightlatch.dev/v1alpha1", "kind": "TokenIssuer", "metadata": metadata, "spec": spec}


@pytest.fixture(scope="module")
def served(installation: Installation):
    """An endpoint that takes the cluster's tokens, and three ServiceAccounts. It is gone afterwards."""
    for namespace in (NAMESPACE, ELSEWHERE):
        installation.namespace(namespace)
    installation.apply(account("bot"), account("other"), account("bot", ELSEWHERE), issuer())
    installation.apply(endpoint("minilm", NAMESPACE, access=ACCESS))
    installation.kubectl("wait", "--for=condition=Ready", "ti/cluster", "-n", NAMESPACE, "--timeout=60s")
    installation.ready("minilm", NAMESPACE)
    yield installation
    installation.delete("ie", "minilm", NAMESPACE)
    installation.delete("ti", "cluster", NAMESPACE)


def token(installation: Installation, name: str, namespace: str = NAMESPACE, *flags: str) -> str:
    flags = flags or (f"--audience={AUDIENCE}",)
    return installation.kubectl("create", "token", name, "-n", namespace, *flags).strip()


def claims(presented: str) -> dict:
    return json.loads(base64.urlsafe_b64decode(presented.split(".")[1] + "=="))


def kid(presented: str) -> str:
    head, _, _ = presented.partition(".")
    return json.loads(base64.urlsafe_b64decode(head + "=="))["kid"]


def signed(installation: Installation, like: str, **changes: int) -> str:
    """A token as the API server would have signed it at another time: it makes none for less than ten minutes."""
    key = State(installation.audit_log.parents[1]).certificates / "service-account.key"
    signer = Signer("ES256", kid(like))
    signer.key = load_pem_private_key(key.read_bytes(), None)
    return signer.sign({**claims(like), **changes})


def caller(installation: Installation, presented: str) -> Caller:
    found = until(lambda: installation.get("configmap", "nightlatch-ca", NAMESPACE), "the CA")
    return Caller(installation.gateway, f"minilm.{NAMESPACE}.svc", "minilm", presented, found["data"]["ca.crt"])


async def status(installation: Installation, presented: str, path: str = "") -> int:
    """Of a call that may wake the endpoint, or of a GET at this path."""
    calling = caller(installation, presented)
    if not path:
        return (await calling.embed("hello")).status_code
    async with calling.client() as client:
        return (await client.get(path)).status_code


def test_the_issuer_is_the_cluster_as_it_calls_itself_and_its_keys_are_in_use(served: Installation):
    found = (served.get("ti", "cluster", NAMESPACE) or {})["status"]
    assert found["issuer"] == CLUSTER
    assert kid(token(served, "bot")) in [each["kid"] for each in found["keys"]]


async def test_tokens_for_others_of_others_and_expired_ones_are_refused_and_wake_nothing(served: Installation):
    await eventually(lambda: served.asleep("minilm", NAMESPACE), "asleep")
    too_long = token(served, "bot", NAMESPACE, f"--audience={AUDIENCE}", "--duration=2h")
    good = token(served, "bot")
    head, payload, signature = good.split(".")
    now = int(time.time())
    changed = json.dumps({**claims(good), "exp": now + 3000}).encode()
    refused = {
        "for the API server": token(served, "bot", NAMESPACE, f"--audience={CLUSTER}"),
        "for another endpoint": token(served, "bot", NAMESPACE, "--audience=minilm2"),
        "valid for longer than maxLifetime": too_long,
        "expired": signed(served, good, iat=now - 700, nbf=now - 700, exp=now - 1),
        "changed": f"{head}.{base64.urlsafe_b64encode(changed).rstrip(b'=').decode()}.{signature}",
        "without a signature": f"{head}.{payload}.",
    }
    for what, presented in refused.items():
        assert await status(served, presented) == 401, what
    for what, presented in {
        "another ServiceAccount": token(served, "other"),
        "one of that name elsewhere": token(served, "bot", ELSEWHERE),
    }.items():
        assert await status(served, presented) == 403, what
    assert served.asleep("minilm", NAMESPACE)
    assert await status(served, token(served, "other"), MODEL) == 200, "its namespace may read metadata"
    assert await status(served, token(served, "bot", ELSEWHERE), MODEL) == 403
    assert await status(served, signed(served, good, exp=now + 600)) == 200, "the twin of the expired one"
    assert await status(served, good) == 200


async def test_a_token_of_a_deleted_account_is_refused_within_a_second_once_it_is_denied(served: Installation):
    served.apply(account("leaver"))
    rules = [{"permissions": ["metadata"]}]
    served.apply(endpoint("minilm", NAMESPACE, access={**ACCESS, "rules": [*ACCESS["rules"], *rules]}))
    left = token(served, "leaver")

    async def is_let_in() -> bool:
        return await status(served, left, MODEL) == 200

    deadline = time.monotonic() + 60
    while not await is_let_in():
        assert time.monotonic() < deadline
    served.delete("serviceaccount", "leaver", NAMESPACE)
    until(lambda: served.get("serviceaccount", "leaver", NAMESPACE) is None, "the account to go")
    # What the docs say: the gates verify the signature, and nobody asks the API server about each call.
    assert await is_let_in()
    served.apply(issuer(denied={"sub": [f"system:serviceaccount:{NAMESPACE}:leaver"]}))
    denied = time.monotonic()
    while await is_let_in():
        assert time.monotonic() < denied + 5.0
    assert await status(served, token(served, "bot"), MODEL) == 200


async def test_a_pod_calls_with_the_token_that_the_kubelet_projects(served: Installation):
    served.apply(caller_pod(served.images[0]))
    await eventually(lambda: phase(served) in {"Succeeded", "Failed"}, "the caller to end")
    printed = served.kubectl("logs", "caller", "-n", NAMESPACE)
    assert phase(served) == "Succeeded", printed
    assert "384 numbers" in printed


def phase(installation: Installation) -> str:
    found = installation.get("pod", "caller", NAMESPACE)
    return found["status"]["phase"] if found else ""


CALL = """
import json, pathlib, ssl, urllib.request
token = pathlib.Path("/credentials/token").read_text()
body = json.dumps({"model": "minilm", "input": "The cat sleeps."}).encode()
headers = {"Authorization": "Bearer " + token, "Content-Type": "application/json"}
trust = ssl.create_default_context(cafile="/credentials/ca.crt")
request = urllib.request.Request("https://minilm.tokens.svc/v1/embeddings", body, headers)
answer = urllib.request.urlopen(request, context=trust, timeout=120)
print(len(json.load(answer)["data"][0]["embedding"]), "numbers")
"""


def caller_pod(image: str) -> dict:
    projected = {
        "sources": [
            {"serviceAccountToken": {"audience": AUDIENCE, "expirationSeconds": 600, "path": "token"}},
            {"configMap": {"name": "nightlatch-ca"}},
        ],
        "defaultMode": 0o444,
    }
    container = {
        "name": "caller",
        "image": image,
        "command": ["python", "-c", CALL],
        "volumeMounts": [{"name": "credentials", "mountPath": "/credentials"}],
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "caller", "namespace": NAMESPACE},
        "spec": {
            "restartPolicy": "Never",
            "serviceAccountName": "bot",
            "automountServiceAccountToken": False,
            "containers": [container],
            "volumes": [{"name": "credentials", "projected": projected}],
        },
    }
