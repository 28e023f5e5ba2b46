"""Writes each client's key, addresses and CA to files, so that curl and other programs can use them."""

import base64
import shutil
from pathlib import Path

from nightlatch.api import names
from nightlatch.api.meta import INFERENCE_CLIENT, SECRET, NamespacedName, RawObject
from nightlatch.embedded.layout import Layout
from nightlatch.files import replace_file
from nightlatch.store.protocol import NotFoundError, Store

FILES = ("api-key", "ca.crt", "endpoints.json", "url")


async def export(store: Store, layout: Layout) -> tuple[Path, ...]:
    """Write the files of every client that has a key, and remove those of deleted clients. Returns the directories.

    The files of a client whose Secret is missing stay: its key still works, and the Secret is about to come back.
    """
    directories, kept = [], set()
    for client in (await store.list(INFERENCE_CLIENT)).items:
        key = NamespacedName.of(client)
        secret_name = (client["spec"].get("apiKey") or {}).get("secretName") or names.api_key(key)
        directory = layout.client(key)
        kept.add(directory)
        try:
            secret = await store.get(SECRET, key.namespace, secret_name)
        except NotFoundError:
            continue
        _write(directory, secret)
        directories.append(directory)
    for stale in set(layout.clients.iterdir()) - kept:
        shutil.rmtree(stale, ignore_errors=True)
    return tuple(directories)


def _write(directory: Path, secret: RawObject) -> None:
    directory.mkdir(mode=0o700, exist_ok=True)
    for name in FILES:
        path = directory / name
        if name not in secret["data"]:
            path.unlink(missing_ok=True)
            continue
        content = base64.b64decode(secret["data"][name])
        if not path.exists() or path.read_bytes() != content:
            replace_file(path, content)
