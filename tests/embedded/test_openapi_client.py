"""Types generated from the CRDs' OpenAPI parse what the operator writes and write it back, with nothing lost."""

import pytest

from nightlatch.api.meta import INFERENCE_CLIENT, INFERENCE_ENDPOINT, OUR_KINDS
from nightlatch.store.files.store import FilesStore
from tests.embedded.command import nightlatch
from tests.schemas.openapi_client import Client, client_of, crd_document


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Client:
    return client_of(crd_document(), tmp_path_factory.mktemp("client"))


async def test_what_the_operator_writes_comes_back(shared, client: Client):
    await shared.ready("one", "two")
    assert nightlatch("call", "one", "--text", "A cat.", "--state-dir", shared.state).returncode == 0
    await shared.asleep("one")
    store = FilesStore(shared.state, read_only=True)
    found = [obj for kind in OUR_KINDS for obj in (await store.list(kind)).items]
    for obj in found:
        assert client(obj) == obj
    status = next(each for each in found if each["metadata"]["name"] == "one")["status"]
    assert {"conditions", "url", "state", "certificates", "lastWake"} <= status.keys()
    assert {each["kind"] for each in found} == {INFERENCE_ENDPOINT.kind, INFERENCE_CLIENT.kind}
    assert all(each["status"]["conditions"] for each in found)
