"""Returns the command line of each component. Pure functions of the state directory and the address plan."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from string import Template

from tools.node.bundled.certs import NODE_NAME
from tools.node.bundled.network import AddressPlan
from tools.node.paths import State

TEMPLATES = Path(__file__).parent / "templates"
PAUSE_IMAGE = "nightlatch.test/pause:1"
CNI_PLUGINS = (Path("/usr/lib/cni"), Path("/opt/cni/bin"), Path("/usr/libexec/cni"))
# Template → its path below the configuration directory.
CONFIGURATION = {
    "audit.yaml": "audit.yaml",
    "kubelet.yaml": "kubelet.yaml",
    "kube-proxy.yaml": "kube-proxy.yaml",
    "containerd.toml": "containerd.toml",
    "cni.conflist": "cni/10-nightlatch.conflist",
    "Corefile": "Corefile",
    "dns.yaml": "dns.yaml",
}


@dataclass(frozen=True)
class Component:
    """A process of the node: the name of its log, and its arguments with the program first."""

    name: str
    arguments: tuple[str, ...]


@dataclass(frozen=True)
class Layout:
    """Everything that the command lines depend on."""

    state: State
    plan: AddressPlan
    programs: Path
    cgroup: str
    cni_plugins: Path = CNI_PLUGINS[0]
    snapshotter: str = "overlayfs"
    kubelet_sync: str = "1m"

    def component(self, name: str, *arguments: str) -> Component:
        """Return a component whose program is one of hyperkube's applets."""
        return Component(name, (str(self.programs / name), *arguments))

    def certificate(self, name: str) -> str:
        """Return the path of a file among the certificates."""
        return str(self.state.certificates / name)

    def values(self) -> Mapping[str, str]:
        """Return the values of the templates' placeholders."""
        return {
            "cgroup": self.cgroup,
            "node_name": NODE_NAME,
            "node": str(self.plan.node),
            "pods": str(self.plan.pods),
            "dns": str(self.plan.dns),
            "certificates": str(self.state.certificates),
            "configuration": str(self.state.configuration),
            "cni_plugins": str(self.cni_plugins),
            "snapshotter": self.snapshotter,
            "pause_image": PAUSE_IMAGE,
            "kubelet_sync": self.kubelet_sync,
        }


def write_configuration(layout: Layout) -> None:
    """Render every template into the configuration directory."""
    for source, target in CONFIGURATION.items():
        path = layout.state.configuration / target
        path.parent.mkdir(parents=True, exist_ok=True)
        template = Template((TEMPLATES / source).read_text(encoding="utf-8"))
        path.write_text(template.substitute(layout.values()), encoding="utf-8")
    # Pods resolve only names of the cluster, because the node cannot reach other networks.
    (layout.state.configuration / "resolv.conf").write_text("", encoding="utf-8")


def etcd(layout: Layout) -> Component:
    """Etcd without TLS on the node's loopback, and without fsync: a test cluster need not survive a power cut."""
    return layout.component(
        "etcd",
        "--data-dir=/var/lib/etcd",
        "--listen-client-urls=http://127.0.0.1:2379",
        "--advertise-client-urls=http://127.0.0.1:2379",
        "--listen-peer-urls=http://127.0.0.1:2380",
        "--unsafe-no-fsync",
        "--log-level=warn",
    )


def apiserver(layout: Layout) -> Component:
    """The API server, with its default admission plugins (Pod Security among them) and an audit log."""
    certificate = layout.certificate
    return layout.component(
        "kube-apiserver",
        "--etcd-servers=http://127.0.0.1:2379",
        f"--bind-address={layout.plan.node}",
        f"--advertise-address={layout.plan.node}",
        "--secure-port=6443",
        f"--tls-cert-file={certificate('kube-apiserver.crt')}",
        f"--tls-private-key-file={certificate('kube-apiserver.key')}",
        f"--client-ca-file={certificate('ca.crt')}",
        f"--kubelet-client-certificate={certificate('apiserver-kubelet.crt')}",
        f"--kubelet-client-key={certificate('apiserver-kubelet.key')}",
        f"--kubelet-certificate-authority={certificate('ca.crt')}",
        "--kubelet-preferred-address-types=InternalIP",
        f"--service-account-key-file={certificate('service-account.pub')}",
        f"--service-account-signing-key-file={certificate('service-account.key')}",
        "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
        f"--service-cluster-ip-range={layout.plan.services}",
        "--authorization-mode=Node,RBAC",
        "--enable-admission-plugins=NodeRestriction",
        f"--requestheader-client-ca-file={certificate('front-ca.crt')}",
        "--requestheader-allowed-names=front-proxy",
        "--requestheader-username-headers=X-Remote-User",
        "--requestheader-group-headers=X-Remote-Group",
        "--requestheader-extra-headers-prefix=X-Remote-Extra-",
        f"--proxy-client-cert-file={certificate('front-proxy.crt')}",
        f"--proxy-client-key-file={certificate('front-proxy.key')}",
        "--enable-aggregator-routing=true",
        "--allow-privileged=true",
        f"--audit-policy-file={layout.state.configuration / 'audit.yaml'}",
        f"--audit-log-path={layout.state.audit_log}",
        "--audit-log-mode=blocking",
        "--shutdown-delay-duration=0s",
    )


def controller_manager(layout: Layout) -> Component:
    """The controllers, each with its own ServiceAccount."""
    certificate, kubeconfig = layout.certificate, layout.certificate("kube-controller-manager.kubeconfig")
    return layout.component(
        "kube-controller-manager",
        f"--kubeconfig={kubeconfig}",
        f"--authentication-kubeconfig={kubeconfig}",
        f"--authorization-kubeconfig={kubeconfig}",
        "--bind-address=127.0.0.1",
        "--leader-elect=false",
        "--use-service-account-credentials",
        # At the default rate, creating its forty accounts would take half of the time that a cluster needs to start.
        "--kube-api-qps=200",
        "--kube-api-burst=400",
        f"--service-account-private-key-file={certificate('service-account.key')}",
        f"--root-ca-file={certificate('ca.crt')}",
        f"--cluster-signing-cert-file={certificate('ca.crt')}",
        f"--cluster-signing-key-file={certificate('ca.key')}",
        "--allocate-node-cidrs",
        f"--cluster-cidr={layout.plan.pods}",
        f"--node-cidr-mask-size={layout.plan.pods.prefixlen}",
        f"--service-cluster-ip-range={layout.plan.services}",
    )


def scheduler(layout: Layout) -> Component:
    """The scheduler."""
    kubeconfig = layout.certificate("kube-scheduler.kubeconfig")
    return layout.component(
        "kube-scheduler",
        f"--kubeconfig={kubeconfig}",
        f"--authentication-kubeconfig={kubeconfig}",
        f"--authorization-kubeconfig={kubeconfig}",
        "--bind-address=127.0.0.1",
        "--leader-elect=false",
    )


def containerd(layout: Layout) -> Component:
    """The machine's containerd with our configuration."""
    return Component("containerd", ("containerd", "--config", str(layout.state.configuration / "containerd.toml")))


def kubelet(layout: Layout) -> Component:
    """The kubelet."""
    return layout.component(
        "kubelet",
        f"--config={layout.state.configuration / 'kubelet.yaml'}",
        f"--kubeconfig={layout.certificate('kubelet.kubeconfig')}",
        f"--hostname-override={NODE_NAME}",
        f"--node-ip={layout.plan.node}",
    )


def proxy(layout: Layout) -> Component:
    """Kube-proxy, which makes Services reachable."""
    return layout.component("kube-proxy", f"--config={layout.state.configuration / 'kube-proxy.yaml'}")


def coredns(layout: Layout) -> Component:
    """CoreDNS, on the node's address."""
    return layout.component("coredns", "-conf", str(layout.state.configuration / "Corefile"))
