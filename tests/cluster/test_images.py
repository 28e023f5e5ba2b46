"""The images: they run where nothing is allowed, hold what they need and no tools, and reach a node uncopied."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from tools.images import buildah, inputs
from tools.images.building import built
from tools.images.inputs import TARGETS
from tools.images.loading import load
from tools.node import record
from tools.node.paths import REPOSITORY, State
from tools.node.progress import Progress
from tools.node.record import Record
from tools.node.volumes import host_path_claim

pytestmark = [
    pytest.mark.cluster,
    # The first run on a machine builds Kubernetes, and an image with torch in it.
    pytest.mark.timeout(3600),
    pytest.mark.skipif(
        sys.platform != "linux" or os.geteuid() != 0 or not shutil.which("buildah"),
        reason="NOT TESTED: building images needs root on Linux, and buildah (sudo make e2e)",
    ),
]

NAMESPACE = "restricted"
MODEL = REPOSITORY / "models" / "minilm"

# Run inside an image: what is there, as JSON.
INSPECT = """
import importlib.util, json, os, pathlib, shutil, sysconfig
from importlib import metadata
home = pathlib.Path("/opt/nightlatch")
tools = "gcc cc g++ ld make cargo rustc uv pip buildah"
sources = [p for p in home.rglob("*.py") if not {"bin", "tests", "test"} & set(p.parts)]
stale = [str(p) for p in home.glob("app/**/*.py") if not pathlib.Path(importlib.util.cache_from_source(p)).exists()]
library = pathlib.Path(sysconfig.get_path("stdlib")) / "argparse.py"
try:
    (home / "probe").write_text("")
    writable = True
except OSError:
    writable = False
print(json.dumps({
    "uid": os.getuid(),
    "writable": writable,
    "tools": [name for name in tools.split() if shutil.which(name)],
    "pip": importlib.util.find_spec("pip") is not None,
    "uncompiled": stale,
    "library": pathlib.Path(importlib.util.cache_from_source(library)).exists(),
    "installed": sorted(d.name.lower() for d in metadata.distributions(path=[sysconfig.get_path("purelib")])),
    "bill": json.loads((home / "sbom.json").read_text()),
}))
"""
# Run inside the gateway's image: Envoy takes a configuration that needs the gate, and says in which place it found it.
LOAD_GATE = """
import json, os, pathlib, subprocess, nightlatch_gate
from nightlatch.gatekeeper.process.gate_module import envoy_binary, require_usable_gate
require_usable_gate(envoy_binary())
hello = {
    "@type": "type.googleapis.com/envoy.extensions.filters.listener.dynamic_modules.v3.DynamicModuleListenerFilter",
    "dynamic_module_config": {"name": "nightlatch_gate", "do_not_close": True},
    "filter_name": "hello",
}
chain = {"filters": [{"name": "envoy.filters.network.echo", "typed_config": {
    "@type": "type.googleapis.com/envoy.extensions.filters.network.echo.v3.Echo"}}]}
listener = {
    "name": "probe",
    "address": {"socket_address": {"address": "127.0.0.1", "port_value": 10000}},
    "listener_filters": [{"name": "hello", "typed_config": hello}],
    "filter_chains": [chain],
}
config = pathlib.Path("/tmp/envoy.json")
config.write_text(json.dumps({"static_resources": {"listeners": [listener]}}))
done = subprocess.run(["envoy", "--mode", "validate", "--config-path", str(config)], capture_output=True, text=True)
found = os.environ["ENVOY_DYNAMIC_MODULES_SEARCH_PATH"] == str(nightlatch_gate.directory())
print("loads the gate" if found and done.returncode == 0 else done.stderr)
"""
SAYS = {
    "operator": [(["python", "-m", "nightlatch.controller", "--help"], "usage")],
    "gateway": [
        (["python", "-m", "nightlatch.gatekeeper", "--help"], "usage"),
        (["python", "-m", "nightlatch.gatekeeper.process.write_bootstrap", "--help"], "usage"),
        (["python", "-m", "nightlatch.gatekeeper.process.prestop", "--help"], "usage"),
        (["envoy", "--version"], "1.40.0"),
        (["python", "-c", LOAD_GATE], "loads the gate"),
        (["/opt/nightlatch/app/nightlatch_gate/nightlatch-explain", "--flaws"], "key_unknown"),
    ],
    "model-server": [
        (["python", "-m", "nightlatch_server", "--version"], "nightlatch_server"),
        (["python", "-c", "import torch; print(torch.ones(2).sum().item())"], "2.0"),
    ],
}


def restricted_pod(name: str, image: str, command: list[str], **container: Any) -> dict[str, Any]:
    """A pod that the `restricted` standard lets in, with a read-only root."""
    security = {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "runAsNonRoot": True,
        "capabilities": {"drop": ["ALL"]},
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    tmp = {"name": "tmp", "mountPath": "/tmp"}
    body = {"name": "main", "image": image, "securityContext": security, "volumeMounts": [tmp], **container}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {
            "restartPolicy": "Never",
            "automountServiceAccountToken": False,
            "terminationGracePeriodSeconds": 5,
            "containers": [body | ({"command": command} if command else {})],
            "volumes": [{"name": "tmp", "emptyDir": {}}],
        },
    }


@dataclass(frozen=True)
class Node:
    """A node that has the images."""

    state: State
    images: dict[str, str]

    @property
    def known(self) -> Record:
        found = record.read(self.state.record)
        assert found
        return found

    def kubectl(self, *arguments: str, stdin: str | None = None) -> str:
        command = [kubectl_path(), "--kubeconfig", str(self.state.kubeconfig), *arguments]
        done = subprocess.run(command, check=False, capture_output=True, text=True, input=stdin)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def apply(self, *objects: dict[str, Any]) -> None:
        self.kubectl("apply", "-f", "-", stdin=yaml.safe_dump_all(objects))

    def run(self, name: str, image: str, command: list[str]) -> str:
        """Run a command in an image to its end, and return what it printed."""
        self.apply(restricted_pod(name, self.images[image], command))
        self.wait(name, "jsonpath={.status.containerStatuses[0].state.terminated}")
        ended = json.loads(self.kubectl("get", "pod", name, "-n", NAMESPACE, "-o", "json"))
        printed = self.kubectl("logs", name, "-n", NAMESPACE)
        # The pod's phase follows a moment later.
        assert ended["status"]["containerStatuses"][0]["state"]["terminated"]["exitCode"] == 0, printed
        self.kubectl("delete", "pod", name, "-n", NAMESPACE, "--wait=false")
        return printed

    def wait(self, name: str, condition: str) -> None:
        self.kubectl("wait", f"--for={condition}", f"pod/{name}", "-n", NAMESPACE, "--timeout=180s")


def node(*arguments: str) -> str:
    command = [sys.executable, "-m", "tools.node", *arguments]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, cwd=REPOSITORY).stdout.strip()


def kubectl_path() -> str:
    return node("tool", "kubectl")


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    state = State(tmp_path_factory.mktemp("images"))
    images = {name: built(name, Progress()) for name in TARGETS}
    node("up", "--state-dir", str(state.root))
    try:
        found = Node(state, {name: image.reference for name, image in images.items()})
        for image in images.values():
            load(state, found.known, image, (image.reference,), Progress())
        labels = {"pod-security.kubernetes.io/enforce": "restricted"}
        found.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE, "labels": labels}})
        yield found
    finally:
        node("down", "--state-dir", str(state.root), "--wipe")


@pytest.mark.parametrize("image", SAYS)
def test_every_program_starts_in_a_restricted_pod(loaded: Node, image: str) -> None:
    for number, (command, word) in enumerate(SAYS[image]):
        assert word in loaded.run(f"{image}-{number}", image, command)


@pytest.mark.parametrize("image", TARGETS)
def test_image_is_compiled_and_holds_no_tools_and_its_bill_of_materials(loaded: Node, image: str) -> None:
    found = json.loads(loaded.run(f"{image}-inside", image, ["python", "-c", INSPECT]))
    assert (found["uid"], found["writable"]) == (65532, False)
    assert (found["tools"], found["pip"]) == ([], False)
    assert (found["uncompiled"], found["library"]) == ([], True)
    bill = found["bill"]
    assert bill["bomFormat"] == "CycloneDX"
    assert sorted(component["name"].lower() for component in bill["components"]) == found["installed"]
    assert ("torch" in found["installed"]) == (image == "model-server")


def test_model_server_becomes_ready_and_embeds(loaded: Node) -> None:
    arguments = ["--model-dir=/model", "--insecure-plain", "--admin-host=0.0.0.0"]
    mounts = [{"name": "tmp", "mountPath": "/tmp"}, {"name": "model", "mountPath": "/model", "readOnly": True}]
    probe = {"httpGet": {"path": "/readyz", "port": 8081}, "periodSeconds": 1}
    image = loaded.images["model-server"]
    pod = restricted_pod("minilm", image, [], args=arguments, readinessProbe=probe, volumeMounts=mounts)
    pod["spec"]["volumes"].append({"name": "model", "persistentVolumeClaim": {"claimName": "minilm"}})
    loaded.apply(*host_path_claim(NAMESPACE, "minilm", MODEL), pod)
    loaded.wait("minilm", "condition=Ready")
    address = loaded.kubectl("get", "pod", "minilm", "-n", NAMESPACE, "-o", "jsonpath={.status.podIP}")
    assert httpx.get(f"http://{address}:8081/readyz").status_code == 200
    call = (
        "import json, urllib.request as u; "
        "r = u.Request('http://127.0.0.1:8443/v1/embeddings', json.dumps({'model': 'minilm', 'input': 'x'}).encode(), "
        "{'Content-Type': 'application/json'}); print(len(json.load(u.urlopen(r))['data'][0]['embedding']))"
    )
    assert loaded.kubectl("exec", "minilm", "-n", NAMESPACE, "--", "python", "-c", call).strip() == "384"


def test_layers_are_shared_with_the_node_not_copied(loaded: Node) -> None:
    image = built("model-server", Progress())
    largest = max(image.layers, key=lambda layer: layer.size)
    library = next(largest.directory.rglob("libtorch_cpu.so"))
    snapshots = loaded.state.var / "lib/containerd/io.containerd.snapshotter.v1.overlayfs/snapshots"
    (found,) = snapshots.glob(f"*/fs/{library.relative_to(largest.directory)}")
    assert found.samefile(library)


def test_loading_again_adds_nothing(loaded: Node) -> None:
    snapshots = loaded.state.var / "lib/containerd/io.containerd.snapshotter.v1.overlayfs/snapshots"
    before = {path.name for path in snapshots.iterdir()}
    image = built("operator", Progress())
    load(loaded.state, loaded.known, image, (image.reference, "nightlatch.test/operator:again"), Progress())
    assert {path.name for path in snapshots.iterdir()} - before == set()


def test_changed_code_changes_only_the_last_layer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copy = tmp_path / "checkout"
    for name in ("requirements", "tools/images", "model-server"):
        shutil.copytree(REPOSITORY / name, copy / name)
    for name in ("Dockerfile", ".dockerignore", "LICENSE"):
        shutil.copy(REPOSITORY / name, copy / name)
    before = built("model-server", Progress())
    monkeypatch.setattr(inputs, "REPOSITORY", copy)
    monkeypatch.setattr(buildah, "REPOSITORY", copy)
    assert built("model-server", Progress()).reference == before.reference
    with (copy / "model-server/nightlatch_server/__init__.py").open("a") as file:
        file.write("\nCHANGED = True\n")
    after = built("model-server", Progress())
    assert after.reference != before.reference
    assert [layer.chain for layer in after.layers[:-1]] == [layer.chain for layer in before.layers[:-1]]
    assert after.layers[-1].chain != before.layers[-1].chain
