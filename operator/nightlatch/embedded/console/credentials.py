"""Writes each client's key, certificate, addresses and CA to files, so that curl and other programs can use them."""

import base64
import shutil
from pathlib import Path

from nightlatch.api import names
from nightlatch.api.meta import INFERENCE_CLIENT, SECRET, NamespacedName, RawObject
from nightlatch.embedded.layout import Layout
from nightlatch.files import replace_file
from nightlatch.store.protocol import NotFoundError, Store

PUBLIC = ("ca.crt", "endpoints.json", "url")
OF_KEY = ("api-key",)
OF_CERTIFICATE = ("tls.crt", "tls.key")


async def export(store: Store, layout: Layout) -> tuple[Path, ...]:
    """Write the files of every client that has a credential, and remove those of deleted clients. Returns the
    directories.

    The files of a client whose Secret is missing stay: its key still works, and the Secret is about to come back.
    """
    directories, kept = [], set()
    for client in (await store.list(INFERENCE_CLIENT)).items:
        key = NamespacedName.of(client)
        directory = layout.client(key)
        kept.add(directory)
        found = [
            (secret, files)
            for field, name, files in (
                ("certificate", names.client_tls(key), OF_CERTIFICATE),
                ("apiKey", names.api_key(key), OF_KEY),
            )
            if (secret := await _secret(store, client, field, name)) is not None
        ]
        for secret, files in found:
            _write(directory, secret, (*PUBLIC, *files))
        if found:
            directories.append(directory)
        for field, files in (("certificate", OF_CERTIFICATE), ("apiKey", OF_KEY)):
            if client["spec"].get(field) is None:
                for name in files:
                    (directory / name).unlink(missing_ok=True)
    for stale in set(layout.clients.iterdir()) - kept:
        shutil.rmtree(stale, ignore_errors=True)
    return tuple(directories)


async def _secret(store: Store, client: RawObject, field: str, default: str) -> RawObject | None:
    """The Secret of this credential; None if the client wants none, or there is none yet."""
    wanted = client["spec"].get(field)
    if wanted is None:
        return None
    key = NamespacedName.of(client)
    try:
        return await store.get(SECRET, key.namespace, wanted.get("secretName") or default)
    except NotFoundError:
        return None


def _write(directory: Path, secret: RawObject, files: tuple[str, ...]) -> None:
    directory.mkdir(mode=0o700, exist_ok=True)
    for name in files:
        path = directory / name
        if name not in secret["data"]:
            path.unlink(missing_ok=True)
            continue
        content = base64.b64decode(secret["data"][name])
        if not path.exists() or path.read_bytes() != content:
            replace_file(path, content)
