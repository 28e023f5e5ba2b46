"""The store contract, and every manifest of the admission table, on a real API server."""

import uuid
from collections.abc import AsyncIterator

import pytest

from nightlatch.kube.client import ApiServer, connect
from nightlatch.store.kubernetes.store import KubernetesStore
from tests.contract.admission_contract import AdmissionContract
from tests.contract.store_contract import StoreContract, follow

__all__ = ["follow"]


@pytest.fixture(scope="module")
async def api(control_plane: str) -> AsyncIterator[ApiServer]:
    async with await connect(control_plane) as api:
        yield api


@pytest.fixture
def store(api: ApiServer) -> KubernetesStore:
    return KubernetesStore(api)


@pytest.fixture
async def namespace(api: ApiServer) -> AsyncIterator[str]:
    name = f"test-{uuid.uuid4().hex[:8]}"
    body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
    await api.request("POST", "/api/v1/namespaces", body=body)
    yield name
    await api.request("DELETE", f"/api/v1/namespaces/{name}")


@pytest.fixture
def expired_version() -> str:
    """Older than anything an API server has seen since it started."""
    return "1"


class TestKubernetesStore(StoreContract):
    pass


class TestAdmissionByTheApiServer(AdmissionContract):
    pass
