"""Process 1 of the node. It runs in its own namespaces, so everything in them ends when it ends.

`up` starts it with `unshare`, sends one line of JSON (an Order), and reads lines of progress until `READY`.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

from tools.node.bundled import components as parts
from tools.node.bundled import network
from tools.node.bundled.components import Layout
from tools.node.bundled.isolation import isolate
from tools.node.bundled.probes import ApiProbe, http_answers
from tools.node.bundled.supervisor import Supervisor
from tools.node.errors import NodeError
from tools.node.paths import State

READY = "ready"


@dataclass(frozen=True)
class Order:
    """What `up` sends to process 1: the layout in JSON types, and whether to run pods."""

    state: str
    slot: int
    programs: str
    cgroup: str
    cni_plugins: str
    snapshotter: str
    runs_pods: bool

    @property
    def layout(self) -> Layout:
        """The layout, converted back from JSON types."""
        return Layout(
            State(Path(self.state)),
            network.AddressPlan(self.slot),
            Path(self.programs),
            self.cgroup,
            Path(self.cni_plugins),
            self.snapshotter,
        )

    def to_line(self) -> str:
        """Return the order as one line of JSON."""
        return json.dumps(asdict(self)) + "\n"


def start_control_plane(layout: Layout, supervisor: Supervisor, api: ApiProbe) -> None:
    """Start etcd, API server, controllers and scheduler; wait only for the API server."""
    supervisor.start(parts.etcd(layout))
    supervisor.start(parts.apiserver(layout))
    supervisor.wait_until("API server", lambda: api.answers("/readyz"))
    supervisor.start(parts.controller_manager(layout))
    supervisor.start(parts.scheduler(layout))


def start_node(layout: Layout, supervisor: Supervisor) -> None:
    """Start what runs pods and makes them reachable; wait only for containerd."""
    _succeeds([str(layout.programs / "kubectl"), *_as_admin(layout), "apply", "-f", _dns_manifest(layout)])
    supervisor.start(parts.proxy(layout))
    supervisor.start(parts.coredns(layout))
    supervisor.wait_until("containerd", lambda: _succeeds(["ctr", "version"]))
    _import_pause(layout)
    supervisor.start(parts.kubelet(layout))


def wait_for_node(supervisor: Supervisor, api: ApiProbe) -> None:
    """Wait until pods run, Services answer and names resolve."""
    supervisor.wait_until("CoreDNS", lambda: http_answers("http://127.0.0.1:8186/ready"))
    supervisor.wait_until("kube-proxy", lambda: http_answers("http://127.0.0.1:10256/healthz"))
    supervisor.wait_until("node", api.node_is_ready)


def bring_up(order: Order, say: Callable[[str], None]) -> Supervisor:
    """Start what the order asks for, and return when it is ready."""
    layout = order.layout
    supervisor = Supervisor(layout.state.logs, say)
    api = ApiProbe(layout.plan.server, layout.state.certificates)
    isolate(layout.state)
    network.join(layout.plan)
    if order.runs_pods:
        supervisor.start(parts.containerd(layout))
    start_control_plane(layout, supervisor, api)
    if order.runs_pods:
        start_node(layout, supervisor)
    supervisor.wait_until("scheduler", lambda: http_answers("https://127.0.0.1:10259/readyz"))
    supervisor.wait_until("ServiceAccounts", lambda: api.answers("/api/v1/namespaces/default/serviceaccounts/default"))
    if order.runs_pods:
        wait_for_node(supervisor, api)
    return supervisor


def main() -> None:
    """Print our pid as the host sees it, read the order, start the node, then reap children until killed."""
    say = partial(print, flush=True)
    say(Path("/proc/self").readlink())
    line = sys.stdin.readline()
    if not line:
        sys.exit("`up` ended before it sent an order")
    try:
        supervisor = bring_up(Order(**json.loads(line)), say)
    except NodeError as error:
        say(f"failed: {error}")
        sys.exit(1)
    say(READY)
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    supervisor.reap_forever()


def _as_admin(layout: Layout) -> list[str]:
    return ["--kubeconfig", layout.certificate("admin.kubeconfig"), "--cache-dir", "/run/kubectl"]


def _dns_manifest(layout: Layout) -> str:
    return str(layout.state.configuration / "dns.yaml")


def _import_pause(layout: Layout) -> None:
    archive = layout.state.configuration / "pause.oci.tar"
    if not _succeeds(["ctr", "--namespace", "k8s.io", "images", "import", str(archive)]):
        raise NodeError("containerd refused the pause image: see init.log and containerd.log")


def _succeeds(command: list[str]) -> bool:
    return subprocess.run(command, check=False, stdout=sys.stderr, stderr=sys.stderr).returncode == 0


if __name__ == "__main__":
    main()
