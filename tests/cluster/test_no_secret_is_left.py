"""No key and no digest of one is in any log, object, metric, process list or page of Envoy's in the cluster.

This file runs last (tests/conftest.py), so that it also finds what the other tests left: of every client that is there.
Keys lie in the Secrets of their clients; digests lie in route documents, which are Secrets in the gateways' namespace.
"""

import asyncio
import base64
import contextlib
import json
import secrets
from collections.abc import Iterator

import httpx
import psutil
import pytest

from nightlatch.api_keys import MalformedKeyError, mint, parse
from tests.attack.traces import found_in, traces
from tests.attack.up_world import CLIENTS, KEY_ROWS
from tests.attack.wire import Wire
from tests.attack.world import keys_from
from tests.cluster.installation import GATEWAYS, Installation, KubectlError, client, endpoint, eventually

pytestmark = pytest.mark.cluster

NAMESPACE = "traces"
_ADMIN = """
import http.client, socket
for page in ("/config_dump?include_eds", "/init_dump", "/stats/prometheus", "/clusters", "/listeners"):
    connection = http.client.HTTPConnection("envoy")
    connection.sock = socket.socket(socket.AF_UNIX)
    connection.sock.connect("/run/nightlatch/admin.sock")
    connection.request("GET", page)
    print(page, connection.getresponse().read().decode())
"""


class Traced:
    """The installation, and the keys that clients of any namespace had when we looked."""

    def __init__(self, installation: Installation) -> None:
        self.cluster = installation
        self.keys: set[str] = set()

    def note_keys(self) -> None:
        for secret in json.loads(self.cluster.kubectl("get", "secrets", "-A", "-o", "json"))["items"]:
            for entry in ("api-key", "next-api-key"):
                text = base64.b64decode(secret.get("data", {}).get(entry, "")).decode("ascii", "replace")
                with contextlib.suppress(MalformedKeyError):
                    parse(text)
                    self.keys.add(text)

    def places(self) -> Iterator[tuple[str, bytes]]:
        """Where something could be found, and all that is there."""
        yield from self._objects()
        yield from self._logs()
        yield from self._processes()
        for pod in self.cluster.gateway_pods():
            name = pod["metadata"]["name"]
            told = self.cluster.kubectl("exec", "-n", GATEWAYS, name, "-c", "envoy", "--", "python", "-c", _ADMIN)
            assert "request to path /config_dump?include_eds not allowed" in told
            yield f"Envoy of {name}", told.encode()
        for pod in (*self.cluster.gateway_pods(), *self.cluster.operator_pods()):
            metrics = httpx.get(f"http://{pod['status']['podIP']}:8080/metrics")
            assert metrics.status_code == 200
            assert b"nightlatch_" in metrics.content
            yield f"metrics of {pod['metadata']['name']}", metrics.content

    def _objects(self) -> Iterator[tuple[str, bytes]]:
        """Every object of every kind, of Secrets all but the data; Events, annotations and status are among it."""
        kinds = self.cluster.kubectl("api-resources", "--verbs=list", "-o", "name").split()
        assert {"events", "secrets", "inferenceclients.nightlatch.dev"} <= set(kinds)
        for kind in kinds:
            if kind.endswith(".metrics.k8s.io"):
                continue
            listed = self.cluster.kubectl("get", kind, "-A", "-o", "json", "--show-managed-fields")
            for each in json.loads(listed)["items"]:
                if kind == "secrets":
                    each.pop("data", None)
                name = f"{kind} {each['metadata'].get('namespace', '')}/{each['metadata']['name']}"
                yield name, json.dumps(each).encode()

    def _logs(self) -> Iterator[tuple[str, bytes]]:
        """What every container said, and the files of the node: the API server's audit log, the kubelet's log."""
        for pod in json.loads(self.cluster.kubectl("get", "pods", "-A", "-o", "json"))["items"]:
            name, namespace = pod["metadata"]["name"], pod["metadata"]["namespace"]
            try:
                said = self.cluster.kubectl("logs", "-n", namespace, name, "--all-containers", "--tail=-1")
            except KubectlError:
                # A container that never started has said nothing.
                assert pod["status"]["phase"] != "Running", name
                continue
            yield f"log of {name}", said.encode()
        for path in self.cluster.audit_log.parent.rglob("*"):
            if path.is_file():
                yield str(path), path.read_bytes()

    def _processes(self) -> Iterator[tuple[str, bytes]]:
        """What `ps` shows of every process, environment included."""
        for process in psutil.process_iter():
            try:
                told = [*process.cmdline(), *(f"{name}={value}" for name, value in process.environ().items())]
            except psutil.Error:
                continue
            yield f"process {process.pid}", "\n".join(told).encode()

    def found(self, *keys: str) -> dict[str, list[str]]:
        """What of the keys is where."""
        return {place: found for place, content in self.places() if (found := found_in(content, keys))}


@pytest.fixture(scope="module")
async def lived(installation: Installation) -> Traced:
    """Clients got keys, an endpoint woke and refused, a key was rotated, a grant removed, a client deleted."""
    namespace = installation.namespace(NAMESPACE)
    for name in ("one", "two"):
        installation.apply(endpoint(name, namespace), client(f"{name}-bot", namespace, name))
    for name, permissions in CLIENTS.items():
        installation.apply(client(f"one-{name}", namespace, "one", permissions=tuple(permissions)))
    for name in ("one", "two"):
        installation.ready(name, namespace)
    bot = installation.caller("one-bot", "one", namespace)
    keys = {"bot": bot.key, "stranger": installation.caller("two-bot", "two", namespace).key}
    keys |= {name: installation.caller(f"one-{name}", "one", namespace).key for name in CLIENTS}
    traced = Traced(installation)
    traced.note_keys()
    hosts = {"host": bot.host, "other_host": f"two.{namespace}.svc", "nobody_host": f"nobody.{namespace}.svc"}
    wire = Wire(443, {**keys, **keys_from(bot.key), **hosts, "model": "one"}, bot.address)
    assert (await bot.embed("A cat sleeps.")).status_code == 200
    for row in KEY_ROWS:
        for protocol in row.over:
            await asyncio.to_thread(wire.send, row.call, protocol)
    installation.kubectl("annotate", "ic", "--all", "-n", namespace, "nightlatch.dev/rotate=1")
    await eventually(lambda: rotated(installation), "every client of ours has a new key")
    traced.note_keys()
    installation.apply(client("one-reader", namespace, "two", permissions=("metadata",)))
    installation.delete("ic", "one-writer", namespace)
    installation.delete("ie", "two", namespace)
    written = KEY_ROWS[0].call.with_(("x-api-key", "{writer}"))
    await eventually(lambda: wire.send(written, "http1").status == 401, "a deleted client is refused")
    traced.note_keys()
    # Envoy writes its log within a second.
    await asyncio.sleep(2)
    return traced


def rotated(cluster: Installation) -> bool:
    """Whether each client has a key that is Previous: the overlap is a day."""
    keys = [each.get("status", {}).get("keys", []) for each in cluster.objects("ic", NAMESPACE)]
    return all(any(key["state"] == "Previous" for key in each) for each in keys)


async def test_nothing_of_any_key_is_left_anywhere(lived: Traced):
    # The first and the second key of each client of ours.
    assert len(lived.keys) >= 2 * (2 + len(CLIENTS))
    assert await asyncio.to_thread(lived.found, *lived.keys) == {}


async def test_what_is_planted_is_found(lived: Traced):
    """In an annotation, an Event, a status, a log and a process list, each in another form."""
    cluster, key = lived.cluster, mint(secrets.token_bytes).text
    forms = {what: form.decode() for what, form in traces(key).items() if what != "the digest as bytes"}
    cluster.kubectl("annotate", "ie/one", "-n", NAMESPACE, f"example.com/planted={forms['the digest in base64url']}")
    metadata = {"name": "planted", "namespace": NAMESPACE}
    involved = {"kind": "InferenceEndpoint", "name": "one", "namespace": NAMESPACE}
    message = f"{forms['the digest in hex']} {forms['its secret part']}"
    event = {"apiVersion": "v1", "kind": "Event", "metadata": metadata, "involvedObject": involved, "message": message}
    cluster.apply({**event, "type": "Normal", "reason": "Planted"})
    # Nobody but us writes the status of a namespace that stays.
    condition = {"type": "Planted", "status": "True", "reason": "Planted", "message": forms["the digest in base64"]}
    patch = json.dumps({"status": {"conditions": [condition]}})
    cluster.kubectl("patch", "namespace", NAMESPACE, "--subresource=status", "--type=merge", "-p", patch)
    shell = f"echo {forms['the key in base64, 0 bytes into it']}; exec sleep 600"
    container = {
        "name": "planted",
        "image": cluster.images[0],
        "imagePullPolicy": "Never",
        "command": ["sh", "-c", shell],
        "env": [{"name": "PLANTED", "value": key}],
    }
    cluster.apply({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {"containers": [container]}})
    await eventually(lambda: cluster.get("pod", "planted", NAMESPACE)["status"]["phase"] == "Running", "it runs")
    await eventually(lambda: cluster.kubectl("logs", "-n", NAMESPACE, "planted").strip(), "it said it")
    found = await asyncio.to_thread(lived.found, key)
    cluster.delete("pod", "planted", NAMESPACE, "--grace-period=0")

    def what(place: str) -> set[str]:
        return {each.rpartition(" of ")[0] for name, all_ in found.items() if name.startswith(place) for each in all_}

    assert "the digest in base64url" in what(f"inferenceendpoints.nightlatch.dev {NAMESPACE}/one")
    assert {"the digest in hex", "its secret part"} <= what("events ")
    assert "the digest in base64" in what(f"namespaces /{NAMESPACE}")
    assert "the key in base64, 0 bytes into it" in what("log of planted")
    assert "the key" in what("process ")
