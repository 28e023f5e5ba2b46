"""A manifest and a verb that write the same object: neither undoes the other, as with server-side apply."""

from pathlib import Path

import pytest
import yaml

from nightlatch.api.meta import INFERENCE_CLIENT, RawObject
from nightlatch.embedded.manifests.additions import ANNOTATION_ADDED, with_addition
from nightlatch.embedded.manifests.apply import Applied, apply
from nightlatch.embedded.manifests.documents import read
from nightlatch.store.files.store import FilesStore
from nightlatch.store.protocol import ConflictError

OLD, FIRST, SECOND = "aaaaaaaaaaaa", "bbbbbbbbbbbb", "cccccccccccc"


class Writers:
    """A store, a manifest in a file, and a verb that revokes keys."""

    def __init__(self, directory: Path) -> None:
        self.file = directory / "app.yaml"
        self.store = FilesStore(directory / "state")

    async def declare(self, *endpoints: str, api_key: RawObject | None = None) -> Applied:
        """Edit the manifest and apply it."""
        key = {} if api_key is None else {"apiKey": api_key}
        spec = {"endpoints": [{"name": name} for name in endpoints], "certificate": {}, **key}
        document = {"apiVersion": "nightlatch.dev/v1alpha1", "kind": "InferenceClient", "metadata": {"name": "bot"}}
        self.file.write_text(yaml.safe_dump({**document, "spec": spec}))
        return await apply(self.store, read((self.file,)), (self.file,))

    async def client(self) -> RawObject:
        return await self.store.get(INFERENCE_CLIENT, "default", "bot")

    async def revoke(self, key_id: str) -> None:
        added = {"apiKey": {"revokedKeyIds": [key_id]}}
        await self.store.replace(with_addition(await self.client(), added))

    async def live(self) -> tuple[list[str], list[str]]:
        """The endpoints and the revoked keys."""
        spec = (await self.client())["spec"]
        return [each["name"] for each in spec["endpoints"]], spec.get("apiKey", {}).get("revokedKeyIds", [])


@pytest.fixture
def writers(tmp_path: Path) -> Writers:
    return Writers(tmp_path)


async def test_neither_a_manifest_nor_a_revocation_undoes_the_other(writers: Writers) -> None:
    await writers.declare("one", api_key={"revokedKeyIds": [OLD]})
    await writers.revoke(FIRST)
    assert await writers.live() == (["one"], [OLD, FIRST])

    assert (await writers.declare("one", api_key={"revokedKeyIds": [OLD]})).changes == ()
    await writers.declare("one", "two", api_key={"revokedKeyIds": [OLD]})
    assert await writers.live() == (["one", "two"], [OLD, FIRST])

    await writers.revoke(SECOND)
    await writers.declare("two", api_key={})
    assert await writers.live() == (["two"], [FIRST, SECOND])


async def test_two_writers_of_the_same_id_both_keep_it(writers: Writers) -> None:
    await writers.declare("one", api_key={"revokedKeyIds": [FIRST]})
    await writers.revoke(FIRST)
    assert await writers.live() == (["one"], [FIRST])
    await writers.declare("one", api_key={})
    assert await writers.live() == (["one"], [FIRST])


async def test_a_key_that_the_manifest_takes_away_does_not_come_back_by_its_revocation(writers: Writers) -> None:
    await writers.declare("one", api_key={})
    await writers.revoke(FIRST)
    await writers.declare("one")
    assert "apiKey" not in (await writers.client())["spec"]
    await writers.declare("one", api_key={})
    assert await writers.live() == (["one"], [FIRST])


async def test_a_verb_that_read_an_older_object_is_told(writers: Writers) -> None:
    await writers.declare("one", api_key={})
    stale = await writers.client()
    await writers.revoke(FIRST)
    with pytest.raises(ConflictError):
        await writers.store.replace(with_addition(stale, {"apiKey": {"revokedKeyIds": [SECOND]}}))


async def test_an_endpoint_that_a_verb_granted_stays_beside_those_of_the_manifest(writers: Writers) -> None:
    await writers.declare("one", api_key={})
    granted = with_addition(await writers.client(), {"endpoints": [{"name": "two"}]})
    await writers.store.replace(granted)
    await writers.declare("three", api_key={})
    assert (await writers.live())[0] == ["three", "two"]


async def test_an_annotation_that_nightlatch_did_not_write_is_named(writers: Writers) -> None:
    await writers.declare("one", api_key={})
    client = await writers.client()
    client["metadata"]["annotations"][ANNOTATION_ADDED] = "revoked"
    await writers.store.replace(client)
    (problem,) = (await writers.declare("two", api_key={})).problems
    assert f"annotation {ANNOTATION_ADDED}" in problem.message
