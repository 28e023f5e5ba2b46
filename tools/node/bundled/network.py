"""The node's network: its own namespace, one link to it, and three address ranges that are routed over the link.

When the namespace ends, the kernel removes the link, and with it the routes.
"""

import json
import socket
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network

from tools.node.errors import NodeError

SLOTS = 16
Networks = Iterable[IPv4Network]


@dataclass(frozen=True)
class AddressPlan:
    """The addresses of one of up to 16 nodes on this machine."""

    slot: int

    @property
    def name(self) -> str:
        """Name of the host's end of the link."""
        return f"nightlatch{self.slot}"

    @property
    def link(self) -> IPv4Network:
        """The link between host (first address) and node (second)."""
        return IPv4Network((f"10.210.{self.slot}.0", 30))

    @property
    def host(self) -> IPv4Address:
        """The host's address, under which pods reach its processes."""
        return self.link[1]

    @property
    def node(self) -> IPv4Address:
        """The node's address: API server, kubelet, NodePorts."""
        return self.link[2]

    @property
    def pods(self) -> IPv4Network:
        """Addresses of pods, reachable from the host."""
        return IPv4Network((f"10.211.{16 * self.slot}.0", 20))

    @property
    def services(self) -> IPv4Network:
        """Cluster IPs, reachable from the host."""
        return IPv4Network((f"10.212.{16 * self.slot}.0", 20))

    @property
    def dns(self) -> IPv4Address:
        """The Service kube-dns."""
        return self.services[10]

    @property
    def server(self) -> str:
        """URL of the API server."""
        return f"https://{self.node}:6443"

    def is_free(self, taken: Networks) -> bool:
        """Return whether none of the machine's networks overlaps these ranges."""
        ours = (self.link, self.pods, self.services)
        return not any(network.overlaps(mine) for network in taken for mine in ours)


def free_plans(taken: Networks) -> list[AddressPlan]:
    """Return the plans that collide with nothing, lowest slot first."""
    networks = list(taken)
    return [plan for plan in map(AddressPlan, range(SLOTS)) if plan.is_free(networks)]


def routed_networks() -> list[IPv4Network]:
    """Return every IPv4 network that the host routes, except the default route."""
    routes = json.loads(_ip("-4", "-j", "route", "show", "table", "all") or "[]")
    destinations = {route["dst"] for route in routes if route.get("dst", "default") != "default"}
    return [IPv4Network(destination, strict=False) for destination in sorted(destinations)]


def connect(pid: int) -> AddressPlan:
    """Give the network namespace of process `pid` a link to the host and routes to it, in a free slot."""
    for plan in free_plans(routed_networks()):
        if _try_link(plan, pid):
            _ip("address", "add", f"{plan.host}/30", "dev", plan.name)
            _ip("link", "set", plan.name, "up")
            for network in (plan.pods, plan.services):
                _ip("route", "add", str(network), "via", str(plan.node), "dev", plan.name)
            return plan
    raise NodeError(f"No free slot among {SLOTS} for 10.210-212.0.0/16: see `ip route`, and take other clusters down")


def join(plan: AddressPlan) -> None:
    """Configure the node's end of the link. Call this inside its network namespace."""
    _ip("link", "set", "lo", "up")
    _ip("address", "add", f"{plan.node}/30", "dev", "eth0")
    _ip("link", "set", "eth0", "up")
    _ip("route", "add", "default", "via", str(plan.host))


def link_index(name: str) -> int | None:
    """Return the kernel's number for a link, which is never used again; None if there is no such link."""
    try:
        return socket.if_nametoindex(name)
    except OSError:
        return None


def _try_link(plan: AddressPlan, pid: int) -> bool:
    """Add the link; False if another `up` was faster, because the name of a link is unique."""
    added = _run("link", "add", plan.name, "type", "veth", "peer", "name", "eth0", "netns", str(pid))
    if added.returncode and "exists" not in added.stderr:
        raise NodeError(f"Could not add network link {plan.name}: {added.stderr.strip()}")
    return added.returncode == 0


def _ip(*arguments: str) -> str:
    done = _run(*arguments)
    if done.returncode:
        raise NodeError(f"`ip {' '.join(arguments)}` failed: {done.stderr.strip()}")
    return done.stdout


def _run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["ip", *arguments], check=False, capture_output=True, text=True)
