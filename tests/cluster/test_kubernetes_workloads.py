"""The workloads contract on a node of its own where no operator acts: real kubelet, real image, real model server."""

import base64
import shutil
import subprocess
import tempfile
import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from nightlatch.api.endpoint import ModelSource, PvcSource, Runtime
from nightlatch.api.meta import NamespacedName
from nightlatch.kube.client import ApiServer, connect
from nightlatch.planning.objects.cluster import ClusterSettings
from nightlatch.planning.workload import Workload
from nightlatch.workloads.kubernetes.pods import PodReader
from nightlatch.workloads.kubernetes.workloads import KubernetesWorkloads
from nightlatch_server.model_package.writer import write_package
from tests.cluster.conftest import ROOT, images, node
from tests.contract.workloads_contract import WorkloadsContract
from tests.unit.model_server import tiny_model
from tests.unit.model_server.process import GATEWAY, CertificateAuthority
from tools.node.volumes import host_path_claim

pytestmark = pytest.mark.cluster

UPSTREAM = "upstream"


@pytest.fixture(scope="module")
def directory() -> Iterator[Path]:
    """Where the node finds a good model and a broken one; a pod's user may read it, unlike pytest's own."""
    directory = Path(tempfile.mkdtemp(prefix="nightlatch-workloads-"))
    write_package(tiny_model.write(directory / "models" / "tiny"), name="tiny")
    (directory / "models" / "broken").mkdir()
    for path in (directory, *directory.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)
    yield directory
    shutil.rmtree(directory)


@pytest.fixture(scope="module")
def bare_node(directory: Path) -> Iterator[tuple[str, str]]:
    """Kubeconfig of a node with our CRDs and the model server's image, and the image's name."""
    state = ("--state-dir", str(directory / "node"))
    try:
        node("up", *state)
        (image,) = images("load", *state, "model-server")
        kubeconfig = node("kubeconfig", *state)
        subprocess.run(
            [node("tool", "kubectl"), "--kubeconfig", kubeconfig, "apply", "-f", str(ROOT / "crds")], check=True
        )
        yield kubeconfig, image
    finally:
        node("down", *state, "--wipe")


@pytest.fixture
async def api(bare_node: tuple[str, str]) -> AsyncIterator[ApiServer]:
    async with await connect(bare_node[0]) as api:
        yield api


@pytest.fixture
async def namespace(api: ApiServer, directory: Path) -> AsyncIterator[str]:
    """One with the models' volume and a certificate for the serving port."""
    name = f"test-{uuid.uuid4().hex[:8]}"
    await create(api, "/api/v1/namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    volume, claim = host_path_claim(name, "models", directory / "models")
    await create(api, "/api/v1/persistentvolumes", volume)
    await create(api, f"/api/v1/namespaces/{name}/persistentvolumeclaims", claim)
    await create(api, f"/api/v1/namespaces/{name}/secrets", upstream_secret(directory))
    yield name
    await api.request("DELETE", f"/api/v1/namespaces/{name}")


async def create(api: ApiServer, path: str, body: dict[str, Any]) -> dict[str, Any]:
    return await api.request("POST", path, body=body)


def upstream_secret(directory: Path) -> dict[str, Any]:
    authority = CertificateAuthority()
    certificate, key = authority.issue(directory, "server", "spiffe://nightlatch.test/ns/test/ie/tiny")
    files = {"tls.crt": certificate.read_bytes(), "tls.key": key.read_bytes(), "ca.crt": authority.pem}
    data = {name: base64.b64encode(content).decode() for name, content in files.items()}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": UPSTREAM}, "data": data}


@pytest.fixture
async def workloads(api: ApiServer, bare_node: tuple[str, str]) -> AsyncIterator[KubernetesWorkloads]:
    settings = ClusterSettings(bare_node[1], gateway_namespace="nightlatch-gateway", gateway_service="gateway")
    workloads = KubernetesWorkloads(api, settings)
    yield workloads
    await workloads.close()


@pytest.fixture
async def reader(api: ApiServer) -> AsyncIterator[PodReader]:
    reader = PodReader(api)
    yield reader
    await reader.close()


@pytest.fixture
async def runnable(api: ApiServer, namespace: str) -> Workload:
    return await workload(api, NamespacedName(namespace, "tiny"))


@pytest.fixture
async def broken(api: ApiServer, namespace: str) -> Workload:
    return await workload(api, NamespacedName(namespace, "broken"))


async def workload(api: ApiServer, endpoint: NamespacedName) -> Workload:
    """The workload of an InferenceEndpoint that is there: what names no living owner is collected as garbage."""
    source = ModelSource(pvc=PvcSource(claim_name="models", path=endpoint.name))
    owner = {
        "apiVersion": "nightlatch.dev/v1alpha1",
        "kind": "InferenceEndpoint",
        "metadata": {"name": endpoint.name},
        "spec": {"model": {"source": source.model_dump(by_alias=True, exclude_none=True)}, "access": {"apiKey": {}}},
    }
    path = f"/apis/nightlatch.dev/v1alpha1/namespaces/{endpoint.namespace}/inferenceendpoints"
    created = await create(api, path, owner)
    return Workload(
        endpoint=endpoint,
        uid=created["metadata"]["uid"],
        model_name=endpoint.name,
        source=source,
        digest=None,
        runtime=Runtime(),
        tls_secret=UPSTREAM,
        admit=GATEWAY,
    )


@pytest.fixture
def patience() -> float:
    """Seconds: a pod that fails is given a grace time and a back-off by the kubelet."""
    return 120.0


class TestKubernetesWorkloads(WorkloadsContract):
    pass
