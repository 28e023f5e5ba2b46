"""Keys rotate under steady load on two gateways, a gateway and an operator restart meanwhile, and no call fails.

The client reads its key before each call from its Secret as a pod has it mounted, so the kubelet decides when it sees a
new one. No call is repeated. What failed is counted at the client, and what was answered at the model server, too.
"""

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.cluster.installation import GATEWAYS, SYSTEM, Caller, Installation, client, endpoint, eventually, until
from tests.embedded.raw_http import Connection, request

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]

NAMESPACE = "rotation"
# Calls a second, and on how many connections: each of them calls ten times a second, or five times.
METADATA_RPS, METADATA_CONNECTIONS = 300, 30
EMBEDDING_RPS, EMBEDDING_CONNECTIONS = 10, 2
# The kubelet may show a new key so late: its syncFrequency is a minute, with jitter, and its cache adds to that.
KUBELET_S = 120.0
OVERLAP_S = 150
# At which rotations of four a gateway restarts in the middle, and at which an operator does.
GATEWAY_AT, OPERATOR_AT, EVERY = {0, 1}, {0, 2}, 4
# So many calls may gateways make to the model server in the time of a rotation.
GATEWAYS_OWN_CALLS = 20


@dataclass
class Mounted:
    """The client's Secret in a pod that does nothing else; `shown`: when each key was first read, in Unix seconds."""

    path: Path
    shown: dict[str, float] = field(default_factory=dict)

    def key(self) -> str:
        found = self.path.read_text().strip()
        self.shown.setdefault(found, time.time())
        return found


@dataclass
class Load:
    """Steady calls until the block ends. `failed`: what was wrong with each call that was not answered 200."""

    caller: Caller
    mounted: Mounted
    answered: Counter[str] = field(default_factory=Counter)
    failed: Counter[str] = field(default_factory=Counter)
    took: float = 0.0
    _stop: bool = False

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        started = time.monotonic()
        async with asyncio.TaskGroup() as group:
            for number in range(METADATA_CONNECTIONS):
                pause = METADATA_CONNECTIONS / METADATA_RPS
                group.create_task(self._call("metadata", self._metadata, pause, number / METADATA_CONNECTIONS))
            for number in range(EMBEDDING_CONNECTIONS):
                pause = EMBEDDING_CONNECTIONS / EMBEDDING_RPS
                group.create_task(self._call("embeddings", self._embedding, pause, number / EMBEDDING_CONNECTIONS))
            try:
                yield
            finally:
                self._stop = True
        self.took = time.monotonic() - started

    async def _call(self, what: str, raw: Callable[[str], bytes], pause: float, offset: float) -> None:
        """On one connection, for as long as the gateway keeps it."""
        connection: Connection | None = None
        due = time.monotonic() + offset * pause
        while not self._stop:
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            due = max(due + pause, time.monotonic())
            key = self.mounted.key()
            try:
                connection = connection or await self.caller.connect()
                reply = await connection.send(raw(key))
            except (OSError, asyncio.IncompleteReadError) as error:
                self.failed[f"{what}: {type(error).__name__}"] += 1
                connection = None
                continue
            if reply.status == 200:
                self.answered[what] += 1
            else:
                self.failed[f"{what}: {reply.status} {reply.body[:200]!r}"] += 1
            if reply.headers.get("connection", "").lower() == "close":
                await connection.close()
                connection = None
        if connection:
            await connection.close()

    def _metadata(self, key: str) -> bytes:
        return request("GET", f"/v2/models/{self.caller.model}", self.caller.host, headers=[_bearer(key)])

    def _embedding(self, key: str) -> bytes:
        body = {"model": self.caller.model, "input": ["A cat sleeps."]}
        return request("POST", "/v1/embeddings", self.caller.host, body, [_bearer(key)])


def _bearer(key: str) -> tuple[str, str]:
    return "Authorization", f"Bearer {key}"


@pytest.fixture
def stage(installation: Installation) -> Iterator[tuple[Installation, Load]]:
    """An endpoint that stays awake, a client of it, and a pod that has the client's Secret mounted."""
    namespace = installation.namespace(NAMESPACE)
    bot = client("bot", namespace, "one", permissions=("infer", "metadata"))
    bot["spec"]["apiKey"] = {"overlap": f"{OVERLAP_S}s"}
    installation.apply(endpoint("one", namespace, scaling={"minReplicas": 1}), bot)
    installation.ready("one", namespace)
    until(lambda: _is_awake(installation, namespace), "the endpoint is awake")
    caller = installation.caller("bot", "one", namespace)
    mounted = Mounted(_mounted_file(installation, namespace))
    yield installation, Load(caller, mounted)
    for kind, name in (("pod", "reader"), ("ic", "bot"), ("ie", "one")):
        installation.delete(kind, name, namespace)


def _is_awake(installation: Installation, namespace: str) -> bool:
    """Its one pod is ready."""
    conditions = [each["status"]["conditions"] for each in installation.pods("one", namespace)]
    return [("Ready", "True") in [(c["type"], c["status"]) for c in each] for each in conditions] == [True]


def _mounted_file(installation: Installation, namespace: str) -> Path:
    """`api-key` as the processes of a pod see it that has the Secret mounted."""
    container = {
        "name": "reader",
        "image": installation.images[0],
        "imagePullPolicy": "Never",
        "command": ["python", "-c", "import signal; signal.pause()"],
        "volumeMounts": [{"name": "key", "mountPath": "/etc/nightlatch"}],
    }
    volumes = [{"name": "key", "secret": {"secretName": "bot-key"}}]
    metadata = {"name": "reader", "namespace": namespace}
    spec = {"containers": [container], "volumes": volumes, "terminationGracePeriodSeconds": 0}
    installation.apply({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec})
    installation.kubectl("wait", "--for=condition=Ready", "pod/reader", "-n", namespace, "--timeout=120s")
    found = installation.processes("reader", namespace)
    (process,) = [each for each in found if "signal.pause()" in " ".join(each.cmdline())]
    return Path(f"/proc/{process.pid}/root/etc/nightlatch/api-key")


def keys(installation: Installation) -> dict[str, str]:
    """The id of the key in each state; of Revoked ones the newest."""
    status = (installation.get("ic", "bot", NAMESPACE) or {}).get("status", {})
    return {each["state"]: each["id"] for each in reversed(status.get("keys", []))}


def promoted_at(installation: Installation) -> float:
    """When the newest key became Current, in Unix seconds: the end of the key before, less the overlap."""
    status = (installation.get("ic", "bot", NAMESPACE) or {}).get("status", {})
    (previous,) = [each for each in status["keys"] if each["state"] == "Previous"]
    return datetime.fromisoformat(previous["expiresAt"]).timestamp() - OVERLAP_S


def served(installation: Installation) -> int:
    """Answers 200 that the model server counted."""
    (pod,) = installation.pods("one", NAMESPACE)
    metrics = httpx.get(f"http://{pod['status']['podIP']}:{_admin_port(pod)}/metrics").text
    samples = [each for family in text_string_to_metric_families(metrics) for each in family.samples]
    counted = [each for each in samples if each.name.endswith("requests_total") and each.labels.get("code") == "200"]
    return int(sum(each.value for each in counted if each.labels["operation"] in {"embeddings", "model_metadata"}))


def _admin_port(pod: dict[str, Any]) -> int:
    """The plain port, where kubelet and Prometheus look."""
    (container,) = pod["spec"]["containers"]
    named = {each["name"]: each["containerPort"] for each in container["ports"]}
    return next(port for name, port in named.items() if "admin" in name or "metrics" in name)


async def rotate(installation: Installation, load: Load, number: int) -> float:
    """One rotation from the annotation until the client uses the new key; seconds by which the kubelet was late."""
    old = (await asyncio.to_thread(keys, installation))["Current"]
    asked = f"nightlatch.dev/rotate=number-{number}"
    await asyncio.to_thread(installation.kubectl, "annotate", "--overwrite", "ic/bot", "-n", NAMESPACE, asked)
    if number % EVERY in GATEWAY_AT:
        (gateway, *_) = await asyncio.to_thread(gateway_names, installation)
        await asyncio.to_thread(restart, installation, GATEWAYS, gateway)
    if number % EVERY in OPERATOR_AT:
        operator = await asyncio.to_thread(leader, installation)
        await asyncio.to_thread(restart, installation, SYSTEM, operator)
    await eventually(lambda: keys(installation).get("Current") not in {None, old}, "the new key is Current")
    current = (await asyncio.to_thread(keys, installation))["Current"]
    since = await asyncio.to_thread(promoted_at, installation)
    await eventually(lambda: current in ids(load), "the kubelet shows it", timeout=OVERLAP_S)
    late = load.mounted.shown[ids(load)[current]] - since
    # The next rotation would wait for the end of this overlap.
    await eventually(lambda: "Previous" not in keys(installation), "the old key ends", timeout=OVERLAP_S + 60)
    return late


def ids(load: Load) -> dict[str, str]:
    """The keys that the client has read, by id."""
    return {key.split("_")[1]: key for key in list(load.mounted.shown)}


def restart(installation: Installation, namespace: str, pod: str) -> None:
    """The pod ends in good order, and another takes its place."""
    installation.kubectl("delete", "pod", pod, "-n", namespace)


def gateway_names(installation: Installation) -> list[str]:
    """The pods of the gateways."""
    return [pod["metadata"]["name"] for pod in installation.gateway_pods()]


def leader(installation: Installation) -> str:
    """The operator that acts."""
    found = installation.get("lease", "nightlatch-operator", SYSTEM)
    assert found
    return str(found["spec"]["holderIdentity"])


async def test_no_call_fails_while_keys_rotate_and_gateways_and_operators_restart(
    stage: tuple[Installation, Load], times: Callable[..., int]
) -> None:
    installation, load = stage
    rotations = times(1, soak=20)
    before = served(installation)
    async with load.running():
        await asyncio.sleep(2)
        late = [await rotate(installation, load, number) for number in range(rotations)]
        await asyncio.sleep(2)
    calls = load.answered.total() + load.failed.total()
    print(
        f"{calls} calls in {load.took:.0f} s ({calls / load.took:.0f} a second), {rotations} rotations: "
        f"{dict(load.answered)} answered 200, failed: {dict(load.failed) or 0}; "
        f"the mounted Secret was {', '.join(f'{each:.0f}' for each in sorted(late))} s late"
    )
    assert not load.failed
    assert len(load.mounted.shown) == rotations + 1
    # A gateway that starts asks the model for its metadata, too.
    assert 0 <= served(installation) - before - calls <= GATEWAYS_OWN_CALLS * rotations
    # What the documentation says that the overlap must exceed.
    assert max(late) < KUBELET_S < OVERLAP_S
