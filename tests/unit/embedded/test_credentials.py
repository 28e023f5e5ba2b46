"""The files of each client beside `nightlatch up`: what its Secret holds, and nothing that it no longer holds."""

import base64

from nightlatch.api.meta import INFERENCE_CLIENT, SECRET, NamespacedName, ObjectRef
from nightlatch.embedded.console import credentials
from nightlatch.embedded.layout import Layout
from nightlatch.store.files.store import FilesStore
from tests.contract.store_contract import secret
from tests.unit.controller.world import client_object


def key_secret(**data: bytes) -> dict:
    encoded = {name.replace("_", "."): base64.b64encode(value).decode() for name, value in data.items()}
    return {**secret("search", "bot-key"), "data": encoded}


async def test_the_url_goes_when_the_client_gets_a_second_endpoint(tmp_path):
    layout = Layout(tmp_path / "state")
    store = FilesStore(layout.root)
    layout.clients.mkdir(parents=True, exist_ok=True)
    await store.create(client_object(NamespacedName("search", "bot")))
    made = await store.create(key_secret(url=b"https://a", endpoints_json=b"{}"))
    (directory,) = await credentials.export(store, layout)
    assert {path.name: path.read_bytes() for path in directory.iterdir()} == {
        "url": b"https://a",
        "endpoints.json": b"{}",
    }
    await store.replace({**made, "data": key_secret(endpoints_json=b"{}\n")["data"]})
    await credentials.export(store, layout)
    assert {path.name: path.read_bytes() for path in directory.iterdir()} == {"endpoints.json": b"{}\n"}


async def test_the_files_stay_while_the_secret_is_missing_and_go_with_the_client(tmp_path):
    layout = Layout(tmp_path / "state")
    store = FilesStore(layout.root)
    layout.clients.mkdir(parents=True, exist_ok=True)
    bot = NamespacedName("search", "bot")
    await store.create(client_object(bot))
    await store.create(key_secret(url=b"https://a"))
    (directory,) = await credentials.export(store, layout)
    await store.delete(ObjectRef(SECRET.kind, NamespacedName("search", "bot-key")))
    await credentials.export(store, layout)
    assert (directory / "url").read_bytes() == b"https://a"
    await store.delete(ObjectRef(INFERENCE_CLIENT.kind, bot))
    await credentials.export(store, layout)
    assert not directory.exists()
