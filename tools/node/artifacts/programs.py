"""The programs that we build. Each has a go.mod and a go.sum that pin its versions."""

from pathlib import Path

from tools.node.artifacts.go_build import Program

SOURCES = Path(__file__).parent
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
    SOURCES / "hyperkube",
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
PAUSE = Program("pause", SOURCES / "pods", "./pause")
HELLO = Program("hello", SOURCES / "pods", "./hello")

HELM = Program("helm", SOURCES / "tools" / "helm", "helm.sh/helm/v4/cmd/helm")
UNITTEST = Program(
    "helm-unittest",
    SOURCES / "tools" / "helm-unittest",
    "github.com/helm-unittest/helm-unittest/cmd/helm-unittest",
)
KUBECONFORM = Program("kubeconform", SOURCES / "tools" / "kubeconform", "github.com/yannh/kubeconform/cmd/kubeconform")
HEALTH = Program("health", SOURCES / "tools" / "health")
CEL_COST = Program("cel-cost", SOURCES / "tools" / "cel-cost")
# The CustomResourceDefinitions lie in `crds` beside the program.
CERT_MANAGER = Program(
    "cert-manager",
    SOURCES / "tools" / "cert-manager",
    folders=(("github.com/cert-manager/cert-manager", "deploy/crds"),),
)
KIND = Program("kind", SOURCES / "tools" / "kind", "sigs.k8s.io/kind")

TOOLS = {program.name: program for program in (HELM, UNITTEST, KUBECONFORM, HEALTH, CEL_COST, CERT_MANAGER, KIND)}

PROGRAMS = (HYPERKUBE, PAUSE, HELLO, *TOOLS.values())
