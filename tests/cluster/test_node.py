"""The bundled node: it comes up in both modes, runs pods, and leaves the machine as it found it."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from tools.node import record
from tools.node.bundled.isolation import WANTED_SYSCTLS
from tools.node.bundled.network import link_index
from tools.node.paths import REPOSITORY, State
from tools.node.processes import is_running
from tools.node.record import Record
from tools.node.volumes import host_path_claim

pytestmark = [
    pytest.mark.cluster,
    # The first run on a machine builds Kubernetes.
    pytest.mark.timeout(2400),
    pytest.mark.skipif(
        sys.platform != "linux" or os.geteuid() != 0,
        reason="NOT TESTED: the bundled node needs root on Linux (sudo make e2e)",
    ),
]

IMAGE = "nightlatch.test/hello:1"
HELLO = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "hello", "labels": {"app": "hello"}},
    "spec": {
        "terminationGracePeriodSeconds": 0,
        "containers": [
            {
                "name": "hello",
                "image": IMAGE,
                "readinessProbe": {"httpGet": {"path": "/", "port": 8080}, "periodSeconds": 1},
                "volumeMounts": [{"name": "model", "mountPath": "/model", "readOnly": True}],
            }
        ],
        "volumes": [{"name": "model", "persistentVolumeClaim": {"claimName": "model"}}],
    },
}
SERVICE = {
    "apiVersion": "v1",
    "kind": "Service",
    "metadata": {"name": "greeter"},
    "spec": {"selector": {"app": "hello"}, "ports": [{"port": 80, "targetPort": 8080}]},
}


def node(*arguments: str | Path, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run the command line as a user does."""
    command = [sys.executable, "-m", "tools.node", *map(str, arguments)]
    return subprocess.run(command, cwd=REPOSITORY, check=False, capture_output=True, text=True, **options)


@cache
def kubectl_program() -> str:
    return must(node("tool", "kubectl")).strip()


def must(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == 0, done.stderr
    return done.stdout


def wait_for(holds: Callable[[], bool], what: str, timeout: float = 60) -> None:
    deadline = time.monotonic() + timeout
    while not holds():
        assert time.monotonic() < deadline, f"{what}: not so after {timeout} s"
        time.sleep(0.02)


@dataclass(frozen=True)
class Cluster:
    """A cluster that is up in a state directory."""

    state: State

    @property
    def known(self) -> Record:
        found = record.read(self.state.record)
        assert found
        return found

    def kubectl(self, *arguments: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
        flags = ["--kubeconfig", str(self.state.kubeconfig), "--cache-dir", str(self.state.root / "kubectl")]
        return subprocess.run(
            [kubectl_program(), *flags, *arguments], check=False, capture_output=True, text=True, input=stdin
        )

    def apply(self, *manifests: dict[str, Any]) -> None:
        must(self.kubectl("apply", "-f", "-", stdin=yaml.safe_dump_all(manifests)))

    def audited(self, verb: str, resource: str) -> list[dict[str, Any]]:
        events = map(json.loads, self.state.audit_log.read_text(encoding="utf-8").splitlines())
        return [e for e in events if e["verb"] == verb and e.get("objectRef", {}).get("resource") == resource]


@dataclass(frozen=True)
class Traces:
    """What a running node shows to the host, apart from its state directory."""

    known: Record
    # Held open, for the kernel gives the number of a namespace that is gone to the next one made by anybody.
    pid_namespace: int
    cgroups: tuple[Path, ...]

    @classmethod
    def of(cls, cluster: Cluster) -> "Traces":
        known = cluster.known
        cgroups = tuple(Path("/sys/fs/cgroup").glob(f"**/{known.cgroup}")) if known.cgroup else ()
        return cls(known, os.open(f"/proc/{known.init.pid}/ns/pid", os.O_RDONLY), cgroups)

    def inhabitants(self) -> list[str]:
        """Return the processes in the node's pid namespace, containers' own below it aside (see cgroups)."""
        link = f"pid:[{os.fstat(self.pid_namespace).st_ino}]"
        return [path.name for path in Path("/proc").glob("[0-9]*") if pid_namespace_of(path) == link]

    def left(self, state: State) -> dict[str, Any]:
        """Return what of it is still there, by sort; empty when nothing is.

        A network namespace holds its link and a cgroup its processes: gone with the one are the other.
        """
        mounts = Path("/proc/self/mounts").read_text(encoding="utf-8").splitlines()
        found = {
            "processes": [*(p for p in self.known.processes if is_running(p)), *self.inhabitants()],
            "links": [self.known.link] if link_index(self.known.link) == self.known.link_index else [],
            "routes": [line for line in routes() if f"dev {self.known.link} " in line],
            "mounts": [line for line in mounts if str(state.root) in line],
            "cgroups": [path for path in self.cgroups if path.exists()],
        }
        return {sort: things for sort, things in found.items() if things}


def pid_namespace_of(process: Path) -> str | None:
    try:
        return str((process / "ns/pid").readlink())
    except OSError:
        return None


def routes() -> list[str]:
    show = ["ip", "route", "show", "table", "all"]
    return subprocess.run(show, check=True, capture_output=True, text=True).stdout.splitlines()


def settings() -> dict[str, str]:
    """Return the kernel settings that a kubelet, kube-proxy or CNI plugin would change."""
    names = [*WANTED_SYSCTLS, "net/ipv4/ip_forward", "net/ipv4/conf/all/route_localnet", "net/ipv4/conf/all/forwarding"]
    return {name: Path("/proc/sys", name).read_text(encoding="ascii") for name in names}


def rules() -> str:
    return subprocess.run(["nft", "list", "ruleset"], check=True, capture_output=True, text=True).stdout


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A node that runs pods, with the hello image in it."""
    state = State(tmp_path_factory.mktemp("full"))
    must(node("up", "--state-dir", state.root))
    try:
        must(node("load-image", "--state-dir", state.root, must(node("hello-image")).strip()))
        yield Cluster(state)
    finally:
        must(node("down", "--state-dir", state.root, "--wipe"))


@pytest.fixture(scope="module")
def hello(full: Cluster, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A ready pod behind a Service; the pod's URL."""
    directory = tmp_path_factory.mktemp("model")
    full.apply(*host_path_claim("default", "model", directory), HELLO, SERVICE)
    must(full.kubectl("wait", "pod/hello", "--for=condition=Ready", "--timeout=60s"))
    return f"http://{must(full.kubectl('get', 'pod/hello', '-o', 'jsonpath={.status.podIP}'))}:8080"


def test_a_pod_with_a_volume_of_this_machine_becomes_ready(full: Cluster, hello: str) -> None:
    assert httpx.get(hello).text.strip() == "hello"
    assert must(full.kubectl("get", "pvc/model", "-o", "jsonpath={.status.phase}")) == "Bound"


def test_a_pod_resolves_and_calls_a_service_even_its_own(full: Cluster, hello: str) -> None:
    address = must(full.kubectl("get", "service/greeter", "-o", "jsonpath={.spec.clusterIP}"))
    name = "greeter.default.svc.cluster.local"

    assert httpx.get(f"{hello}/lookup", params={"name": name}).text.strip() == address
    assert httpx.get(f"{hello}/get", params={"url": "http://greeter/"}).text.strip() == "hello"


def test_the_host_calls_a_service_by_its_cluster_ip(full: Cluster, hello: str) -> None:
    address = must(full.kubectl("get", "service/greeter", "-o", "jsonpath={.spec.clusterIP}"))

    assert httpx.get(f"http://{address}/").text.strip() == "hello"


def test_logs_and_exec_reach_the_kubelet(full: Cluster, hello: str) -> None:
    must(full.kubectl("logs", "pod/hello"))
    # A second server in the pod fails on the port of the first: so it ran, and there.
    assert "address already in use" in full.kubectl("exec", "pod/hello", "--", "/hello").stderr


def test_pod_security_refuses_what_a_restricted_namespace_forbids(full: Cluster) -> None:
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    full.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "strict", "labels": labels}})

    refused = full.kubectl("run", "bad", "--image", IMAGE, "--privileged", "--namespace", "strict")

    assert refused.returncode != 0
    assert "violates PodSecurity" in refused.stderr


def test_the_audit_log_names_each_write_but_no_body(full: Cluster) -> None:
    must(full.kubectl("create", "secret", "generic", "audited", "--from-literal=key=never-to-be-logged"))

    created = [event for event in full.audited("create", "secrets") if event["objectRef"].get("name") == "audited"]
    assert [event["user"]["username"] for event in created] == ["admin"]
    assert "never-to-be-logged" not in full.state.audit_log.read_text(encoding="utf-8")


def test_a_second_up_in_the_same_directory_is_refused(full: Cluster) -> None:
    again = node("up", "--state-dir", full.state.root)

    assert again.returncode == 1
    assert "run `down` first" in again.stderr
    must(full.kubectl("get", "namespaces"))


def test_a_control_plane_beside_another_cluster_takes_objects_and_leaves_nothing(full: Cluster, tmp_path: Path) -> None:
    state, before = State(tmp_path / "state"), (settings(), rules())
    must(node("up", "--mode", "control-plane", "--state-dir", state.root))
    cluster = Cluster(state)
    traces = Traces.of(cluster)
    cluster.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "kept"}, "data": {"a": "b"}})
    assert must(cluster.kubectl("get", "configmap/kept", "-o", "jsonpath={.data.a}")) == "b"
    assert set(traces.left(state)) == {"processes", "links", "routes"}

    must(node("down", "--state-dir", state.root))

    assert traces.left(state) == {}
    assert (settings(), rules()) == before
    assert state.audit_log.exists()
    must(full.kubectl("get", "namespaces"))


def test_down_under_running_pods_leaves_nothing(tmp_path: Path) -> None:
    state, before = State(tmp_path / "state"), (settings(), rules())
    must(node("up", "--state-dir", state.root))
    must(node("load-image", "--state-dir", state.root, must(node("hello-image")).strip()))
    cluster = Cluster(state)
    must(cluster.kubectl("run", "hello", "--image", IMAGE))
    must(cluster.kubectl("wait", "pod/hello", "--for=condition=Ready", "--timeout=60s"))
    traces = Traces.of(cluster)
    assert set(traces.left(state)) == {"processes", "links", "routes", "cgroups"}

    must(node("down", "--state-dir", state.root, "--wipe"))

    assert traces.left(state) == {}
    assert (settings(), rules()) == before
    assert not state.root.exists()
    again = node("down", "--state-dir", state.root)
    assert again.returncode == 0
    assert "No cluster to take down" in again.stderr


def test_down_cleans_up_after_an_up_that_was_killed_half_way(tmp_path: Path) -> None:
    state = State(tmp_path / "state")
    command = [sys.executable, "-m", "tools.node", "up", "--state-dir", str(state.root)]
    with subprocess.Popen(command, cwd=REPOSITORY, stderr=subprocess.DEVNULL) as process:
        wait_for((state.logs / "kube-apiserver.log").exists, "the API server is starting", timeout=2000)
        process.send_signal(signal.SIGKILL)
    traces = Traces.of(Cluster(state))

    must(node("down", "--state-dir", state.root))

    assert traces.left(state) == {}
    assert not state.record.exists()


def test_killing_process_1_ends_every_component(tmp_path: Path) -> None:
    state = State(tmp_path / "state")
    must(node("up", "--mode", "control-plane", "--state-dir", state.root))
    traces = Traces.of(Cluster(state))
    os.kill(traces.known.init.pid, signal.SIGKILL)
    wait_for(lambda: not traces.inhabitants(), "no process is left in the node's namespaces")

    assert node("status", "--state-dir", state.root).returncode != 0
    must(node("down", "--state-dir", state.root))

    assert traces.left(state) == {}


@pytest.mark.parametrize("hidden", ["/run/nightlatch-test", "/var/lib/nightlatch-test"])
def test_a_state_directory_that_the_node_could_not_see_is_refused(hidden: str) -> None:
    refused = node("up", "--state-dir", hidden)

    assert refused.returncode == 1
    assert "choose a --state-dir elsewhere" in refused.stderr
    assert not Path(hidden).exists()


def test_without_root_the_other_clusters_are_named(tmp_path: Path) -> None:
    # In a user namespace without a mapping, even root is nobody.
    up = ["unshare", "--user", sys.executable, "-m", "tools.node", "up", "--state-dir", str(tmp_path)]
    refused = subprocess.run(up, cwd=REPOSITORY, check=False, capture_output=True, text=True)

    assert refused.returncode == 1
    assert "needs root" in refused.stderr
    assert "CLUSTER=kind" in refused.stderr


def test_down_of_another_sort_of_cluster_is_refused(full: Cluster) -> None:
    refused = node("down", "--cluster", "kind", "--state-dir", full.state.root)

    assert refused.returncode == 1
    assert "CLUSTER=node" in refused.stderr
