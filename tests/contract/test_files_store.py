"""The store contract over files."""

import uuid
from pathlib import Path

import pytest

from nightlatch.store.files.store import FilesStore
from tests.contract.admission_contract import AdmissionContract
from tests.contract.store_contract import StoreContract, follow, secret

__all__ = ["follow"]


@pytest.fixture
def store(tmp_path: Path) -> FilesStore:
    return FilesStore(tmp_path / "state")


@pytest.fixture
def namespace() -> str:
    return f"test-{uuid.uuid4().hex[:8]}"


@pytest.fixture
async def expired_version(store: FilesStore, namespace: str) -> str:
    old = await store.create(secret(namespace, "old"))
    await store.create(secret(namespace, "newer"))
    store.compact()
    version: str = old["metadata"]["resourceVersion"]
    return version


class TestFilesStore(StoreContract):
    pass


class TestAdmissionOverFiles(AdmissionContract):
    pass
