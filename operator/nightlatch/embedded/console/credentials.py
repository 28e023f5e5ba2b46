"""A client's key, URL and CA as files that curl and other programs can be pointed at."""

import base64
import shutil
from pathlib import Path

from nightlatch.api import names
from nightlatch.api.meta import INFERENCE_CLIENT, SECRET, NamespacedName, RawObject
from nightlatch.embedded.layout import Layout
from nightlatch.files import replace_file
from nightlatch.store.protocol import NotFoundError, Store

FILES = ("api-key", "ca.crt", "url")


def secret_name(client: RawObject) -> str:
    """The Secret that holds the client's key."""
    return (client["spec"].get("apiKey") or {}).get("secretName") or names.api_key(NamespacedName.of(client))


async def export(store: Store, layout: Layout) -> tuple[Path, ...]:
    """Write the files of every client that has a key and remove those of clients that are gone; the directories."""
    directories = []
    for client in (await store.list(INFERENCE_CLIENT)).items:
        directory = layout.client(NamespacedName.of(client))
        try:
            secret = await store.get(SECRET, NamespacedName.of(client).namespace, secret_name(client))
        except NotFoundError:
            continue
        _write(directory, secret)
        directories.append(directory)
    for stale in set(layout.clients.iterdir()) - set(directories):
        shutil.rmtree(stale, ignore_errors=True)
    return tuple(directories)


def _write(directory: Path, secret: RawObject) -> None:
    directory.mkdir(mode=0o700, exist_ok=True)
    for name in FILES:
        if name not in secret["data"]:
            continue
        content = base64.b64decode(secret["data"][name])
        path = directory / name
        if not path.exists() or path.read_bytes() != content:
            replace_file(path, content)
