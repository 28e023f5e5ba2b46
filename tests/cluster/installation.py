"""Nightlatch on a real Kubernetes, as a user has it: installed with Helm, used with kubectl, called over TLS."""

import asyncio
import base64
import contextlib
import json
import ssl
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import httpx
import psutil
import yaml

from tests.cluster.reading import Reader
from tests.embedded.raw_http import Connection, request
from tools.node import record
from tools.node.paths import State
from tools.node.volumes import host_path_claim

ROOT = Path(__file__).parents[2]
SYSTEM, GATEWAYS = "nightlatch-system", "nightlatch-gateway"
PATIENCE = 120.0


class KubectlError(AssertionError):
    """kubectl refused; the message is what it printed."""


@dataclass(frozen=True)
class Installation:
    """A cluster with the chart in it.

    `kubectl_path`, `kubeconfig`: how to reach it; `audit_log`: the API server's; `images`: of the operator, the gateway
    and the model server, as installed; `kubelet_s`: the kubelet may show a changed Secret to pods so late. By default
    it looks once a minute, with jitter, and its cache adds to that.
    """

    kubectl_path: str
    kubeconfig: str
    audit_log: Path
    model: Path
    images: tuple[str, ...] = ()
    kubelet_s: float = 120.0

    @property
    def apps_take_s(self) -> int:
        """What an overlap of keys, or of CAs, has to be so that apps see the new one in time."""
        return round(self.kubelet_s) + 30

    # --- kubectl

    def kubectl(self, *arguments: str, stdin: str | None = None) -> str:
        """Run kubectl; returns what it printed. Raises KubectlError."""
        command = [self.kubectl_path, "--kubeconfig", self.kubeconfig, *arguments]
        done = subprocess.run(command, capture_output=True, text=True, input=stdin, check=False)
        if done.returncode:
            raise KubectlError(f"kubectl {' '.join(arguments)}: {done.stderr.strip()}")
        return done.stdout

    def get(self, kind: str, name: str, namespace: str = "default") -> dict[str, Any] | None:
        """One object, or None. Raises LookupError where the API server does not know the kind."""
        return self._reader.get(kind, name, namespace)

    def objects(self, kind: str, namespace: str, **selectors: str) -> list[dict[str, Any]]:
        """All objects of a kind in a namespace. selectors: labelSelector, fieldSelector."""
        return self._reader.list(kind, namespace, **selectors)

    def may(self, account: str, verb: str, kind: str, namespace: str, name: str = "") -> bool:
        """What the API server's authorizer says of a ServiceAccount, which is given as `namespace:name`."""
        return self._reader.may(account, verb, kind, namespace, name)

    @cached_property
    def _reader(self) -> Reader:
        return Reader(self.kubeconfig)

    def apply(self, *objects: dict[str, Any]) -> None:
        """kubectl apply."""
        self.kubectl("apply", "-f", "-", stdin=yaml.safe_dump_all(objects))

    def delete(self, kind: str, name: str, namespace: str = "default", *flags: str) -> None:
        """kubectl delete, without waiting."""
        self.kubectl("delete", kind, name, "-n", namespace, "--wait=false", "--ignore-not-found", *flags)

    def namespace(self, name: str) -> str:
        """A namespace with the model's volume in it."""
        self.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
        self.apply(*host_path_claim(name, "models", self.model.parent))
        return name

    def kill(self, pod: str, namespace: str) -> None:
        """As a node that burns down: SIGKILL to all of the pod's processes, and the pod is not started again."""
        for process in self.processes(pod, namespace):
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        self.delete("pod", pod, namespace, "--grace-period=0", "--force")

    def processes(self, pod: str, namespace: str) -> list[psutil.Process]:
        """All processes of a pod."""
        found = self.get("pod", pod, namespace)
        assert found
        mark = f"pod{found['metadata']['uid']}"
        processes = [process for process in self.node_processes() if mark in _cgroup(process)]
        assert processes, f"no process of {pod}"
        return processes

    def node_processes(self) -> list[psutil.Process]:
        """Every process of the bundled node."""
        known = record.read(State(self.audit_log.parents[1]).record)
        assert known
        return psutil.Process(known.init.pid).children(recursive=True)

    # --- endpoints and callers

    def ready(self, name: str, namespace: str, timeout: float = PATIENCE) -> None:
        """kubectl wait, as a user would."""
        self.kubectl("wait", "--for=condition=Ready", f"ie/{name}", "-n", namespace, f"--timeout={timeout:.0f}s")

    def status(self, name: str, namespace: str) -> dict[str, Any]:
        """An endpoint's status."""
        return (self.get("ie", name, namespace) or {}).get("status", {})

    def state(self, name: str, namespace: str) -> str | None:
        """Asleep, Waking, Awake or Draining."""
        return self.status(name, namespace).get("state")

    def pods(self, name: str, namespace: str) -> list[dict[str, Any]]:
        """The endpoint's pods."""
        return self.objects("pods", namespace, labelSelector=f"nightlatch.dev/endpoint={name}")

    def asleep(self, name: str, namespace: str) -> bool:
        """At zero: no pod is left and the status says so."""
        return self.state(name, namespace) == "Asleep" and not self.pods(name, namespace)

    def credentials(self, secret: str, namespace: str) -> dict[str, str]:
        """A client's Secret, decoded."""
        until(lambda: self.get("secret", secret, namespace), f"Secret {namespace}/{secret}")
        found = self.get("secret", secret, namespace)
        assert found
        return {name: base64.b64decode(value).decode() for name, value in found["data"].items()}

    def caller(self, client: str, name: str, namespace: str) -> "Caller":
        """Somebody who has a client's Secret, with a key that every gateway knows."""
        self.kubectl("wait", "--for=condition=Ready", f"ic/{client}", "-n", namespace, f"--timeout={PATIENCE:.0f}s")
        held = self.credentials(f"{client}-key", namespace)
        return Caller(self.gateway, f"{name}.{namespace}.svc", name, held["api-key"], held["ca.crt"])

    def certified(self, client: str, name: str, namespace: str, of: str | None = None) -> "Caller":
        """Somebody who has the Secret with a client's certificate. `of`: the client's namespace, if it is another."""
        where = of or namespace
        self.kubectl("wait", "--for=condition=Ready", f"ic/{client}", "-n", where, f"--timeout={PATIENCE:.0f}s")
        held = self.credentials(f"{client}-certificate", where)
        certificate = held["tls.crt"], held["tls.key"]
        return Caller(self.gateway, f"{name}.{namespace}.svc", name, "", held["ca.crt"], certificate=certificate)

    @cached_property
    def gateway(self) -> str:
        """Address of the gateways' Service."""
        found = self.get("service", "nightlatch-gateway", GATEWAYS)
        assert found
        return str(found["spec"]["clusterIP"])

    def operator_pods(self) -> list[dict[str, Any]]:
        """The operators."""
        return self.objects("pods", SYSTEM, labelSelector="app.kubernetes.io/component=operator")

    def gateway_pods(self) -> list[dict[str, Any]]:
        """The gateways."""
        return self.objects("pods", GATEWAYS, labelSelector="app.kubernetes.io/component=gateway")

    def gateway_addresses(self) -> dict[str, str]:
        """The address of each gateway's pod, by its name."""
        return {pod["metadata"]["name"]: pod["status"]["podIP"] for pod in self.gateway_pods()}

    def checks(self) -> int:
        """Calls that reached Python in any gateway."""
        total = 0
        for pod in self.gateway_pods():
            metrics = httpx.get(f"http://{pod['status']['podIP']}:8080/metrics").text
            line = next(line for line in metrics.splitlines() if line.startswith("nightlatch_gateway_checks_total"))
            total += int(float(line.split()[-1]))
        return total

    # --- the audit log

    def audited(self, since: int = 0) -> list[dict[str, Any]]:
        """Requests to the API server, finished, from byte `since` of its log."""
        with self.audit_log.open("rb") as file:
            file.seek(since)
            return [json.loads(line) for line in file.read().splitlines()]

    def audit_position(self) -> int:
        """Where the log ends now."""
        return self.audit_log.stat().st_size


@dataclass(frozen=True)
class Caller:
    """Who calls an endpoint through the gateways' Service, or one of their pods.

    `key`: empty for a caller without an API key. `certificate`: chain and private key, PEM.
    """

    address: str
    host: str
    model: str
    key: str
    ca: str
    port: int = 443
    certificate: tuple[str, str] | None = None

    @property
    def context(self) -> ssl.SSLContext:
        """Trust in the CA of the client's Secret, and in nothing else."""
        context = ssl.create_default_context(cadata=self.ca)
        if self.certificate:
            with tempfile.NamedTemporaryFile() as file:
                file.write("".join(self.certificate).encode())
                file.flush()
                context.load_cert_chain(file.name)
        return context

    @property
    def headers(self) -> dict[str, str]:
        """What the caller shows besides its certificate."""
        return {"Authorization": f"Bearer {self.key}"} if self.key else {}

    def client(self, *, http2: bool = False, connections: int = 50) -> httpx.AsyncClient:
        """An HTTP client that dials the address under the endpoint's name."""
        limits = httpx.Limits(max_connections=1 if http2 else connections)
        transport = _Dialled(self.address, self.port, verify=self.context, http2=http2, limits=limits)
        base = f"https://{self.host}"
        return httpx.AsyncClient(transport=transport, base_url=base, headers=self.headers, timeout=180)

    async def embed(self, *texts: str) -> httpx.Response:
        """One call on a connection of its own."""
        async with self.client() as client:
            return await client.post("/v1/embeddings", json={"model": self.model, "input": list(texts)})

    async def connect(self) -> Connection:
        """A bare connection."""
        context = self.context
        context.set_alpn_protocols(["http/1.1"])
        return await Connection.open(self.port, self.host, context, host=self.address)

    def raw(self, key: str | None) -> bytes:
        """POST /v1/embeddings without a body, as bytes."""
        credential = [("Authorization", f"Bearer {key}")] if key else []
        return request("POST", "/v1/embeddings", self.host, headers=credential)


class _Dialled(httpx.AsyncHTTPTransport):
    """Dials one address, whatever the URL's host."""

    def __init__(self, address: str, port: int, **options: Any) -> None:
        super().__init__(**options)
        self._address, self._port = address, port

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        request.extensions["sni_hostname"] = request.url.host
        request.url = request.url.copy_with(host=self._address, port=self._port)
        return await super().handle_async_request(request)


def endpoint(name: str, namespace: str, *, idle_after: str = "3s", **spec: Any) -> dict[str, Any]:
    """An InferenceEndpoint of MiniLM on the volume `models`."""
    scaling = {"idleAfter": idle_after, **spec.pop("scaling", {})}
    body = {
        "model": {"source": {"pvc": {"claimName": "models", "path": "minilm"}}},
        "scaling": scaling,
        "access": {"apiKey": {}},
        **spec,
    }
    return _ours("InferenceEndpoint", name, namespace, body)


def client(name: str, namespace: str, *endpoints: str, permissions: tuple[str, ...] = ("infer",)) -> dict[str, Any]:
    """An InferenceClient."""
    grants = [{"name": each, "permissions": list(permissions)} for each in endpoints]
    return _ours("InferenceClient", name, namespace, {"endpoints": grants, "apiKey": {}})


def _ours(kind: str, name: str, namespace: str, spec: dict[str, Any]) -> dict[str, Any]:
    metadata = {"name": name, "namespace": namespace}
    return {"apiVersion": "nightlatch.dev/v1alpha1", "kind": kind, "metadata": metadata, "spec": spec}


def _cgroup(process: psutil.Process) -> str:
    try:
        return Path(f"/proc/{process.pid}/cgroup").read_text()
    except OSError:
        return ""


def until(condition: Callable[[], Any], what: str, timeout: float = PATIENCE) -> Any:
    """Wait until the condition gives something true, and return it."""
    deadline = time.monotonic() + timeout
    while not (found := condition()):
        assert time.monotonic() < deadline, f"{what}: not so after {timeout:.0f} s"
        time.sleep(0.1)
    return found


async def eventually(condition: Callable[[], Any], what: str, timeout: float = PATIENCE) -> Any:
    """The same, without stopping the event loop."""
    return await asyncio.to_thread(until, condition, what, timeout)
