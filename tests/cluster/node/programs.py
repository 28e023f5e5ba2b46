"""The programs we build, with their pinned versions: a go.mod and a go.sum each."""

from tests.cluster.node.build import Program
from tests.cluster.node.paths import PACKAGE

KUBERNETES_VERSION = "v1.37.2"

_VERSION = "k8s.io/component-base/version"
_STAMPS = {
    f"{_VERSION}.gitVersion": KUBERNETES_VERSION,
    f"{_VERSION}.gitMajor": "1",
    f"{_VERSION}.gitMinor": "37",
    f"{_VERSION}.gitTreeState": "clean",
    f"{_VERSION}.gitCommit": "0000000",
    f"{_VERSION}.buildDate": "2026-01-01T00:00:00Z",
    "k8s.io/client-go/pkg/version.gitVersion": KUBERNETES_VERSION,
}

HYPERKUBE = Program(
    "hyperkube",
    PACKAGE / "hyperkube",
    linker_flags=" ".join(["-s -w", *(f"-X {name}={value}" for name, value in _STAMPS.items())]),
    applets=(
        "coredns",
        "etcd",
        "kube-apiserver",
        "kube-controller-manager",
        "kube-proxy",
        "kube-scheduler",
        "kubectl",
        "kubelet",
    ),
)
PAUSE = Program("pause", PACKAGE / "pods", "./pause")
HELLO = Program("hello", PACKAGE / "pods", "./hello")

HELM = Program("helm", PACKAGE / "tools" / "helm", "helm.sh/helm/v4/cmd/helm")
UNITTEST = Program(
    "helm-unittest",
    PACKAGE / "tools" / "helm-unittest",
    "github.com/helm-unittest/helm-unittest/cmd/helm-unittest",
)
KUBECONFORM = Program("kubeconform", PACKAGE / "tools" / "kubeconform", "github.com/yannh/kubeconform/cmd/kubeconform")
KIND = Program("kind", PACKAGE / "tools" / "kind", "sigs.k8s.io/kind")

TOOLS = {program.name: program for program in (HELM, UNITTEST, KUBECONFORM, KIND)}

PROGRAMS = (HYPERKUBE, PAUSE, HELLO, *TOOLS.values())
