"""Lets files stand in for Secrets of CAs: those that endpoints trust, and one that is brought to issue from."""

import base64
from collections.abc import Mapping
from pathlib import Path

from nightlatch.api import names
from nightlatch.api.meta import SECRET, NamespacedName, ObjectRef, RawObject
from nightlatch.embedded.errors import UserError
from nightlatch.pki import CA_CRT
from nightlatch.store.protocol import AlreadyExistsError, NotFoundError, Store

DEFAULT_NAMESPACE = "default"
# What a directory with a CA that is brought must have.
CA_FILES = ("tls.crt", "tls.key", CA_CRT)
_LABELS = {names.LABEL_USE: names.USE_TRUST}


def parse_trust(given: tuple[str, ...]) -> dict[NamespacedName, Path]:
    """The `--trust [NAMESPACE/]NAME=FILE` options, as absolute files by the Secret that each stands in for. Raises
    UserError."""
    found = {}
    for text in given:
        name, equals, file = text.partition("=")
        if not (name and equals and file):
            raise UserError(f"--trust {text} is not NAME=FILE", "write, for example, --trust corp-ca=./ca.crt", code=2)
        if not Path(file).is_file():
            raise UserError(f"--trust {text}: not a file: {file}", "create it, or give another", code=2)
        namespace, slash, rest = name.partition("/")
        key = NamespacedName(namespace, rest) if slash else NamespacedName(DEFAULT_NAMESPACE, name)
        found[key] = Path(file).absolute()
    return found


async def keep_trust(store: Store, files: Mapping[NamespacedName, Path]) -> None:
    """Make the Secrets of CAs be what the files are now. What is wrong with a file, its endpoint's status says."""
    present = {NamespacedName.of(raw): raw for raw in (await store.list(SECRET, labels=_LABELS)).items}
    for key, file in files.items():
        wanted = _secret(key, {CA_CRT: file.read_bytes() if file.is_file() else b""}, _LABELS)
        before = present.pop(key, None)
        if before is None:
            await _create(store, key, wanted)
        elif before.get("data") != wanted["data"]:
            await store.replace(wanted)
    for key in present:
        await store.delete(ObjectRef(SECRET.kind, key))


def parse_ca(directory: Path | None) -> Path | None:
    """The `--ca DIR` option. Raises UserError."""
    if directory is None:
        return None
    missing = [name for name in CA_FILES if not (directory / name).is_file()]
    if missing:
        advice = "put the CA there as tls.crt, its key as tls.key and the roots as ca.crt"
        raise UserError(f"--ca {directory}: there is no {' and no '.join(missing)}", advice, code=2)
    return directory.absolute()


async def keep_ca(store: Store, directory: Path | None, key: NamespacedName) -> None:
    """Make the Secret of the CA that is brought be what the files are now."""
    if directory is None:
        return
    files = {name: directory / name for name in CA_FILES}
    data = {name: path.read_bytes() if path.is_file() else b"" for name, path in files.items()}
    wanted = _secret(key, data, {})
    try:
        before = await store.get(SECRET, key.namespace, key.name)
    except NotFoundError:
        await store.create(wanted)
        return
    if before.get("data") != wanted["data"]:
        await store.replace(wanted)


async def _create(store: Store, key: NamespacedName, wanted: RawObject) -> None:
    try:
        await store.create(wanted)
    except AlreadyExistsError:
        advice = "choose another name, here and in access.mtls.trust"
        raise UserError(f"--trust {key}: a Secret of this name is there already", advice, code=2) from None


def _secret(key: NamespacedName, data: Mapping[str, bytes], labels: Mapping[str, str]) -> RawObject:
    return {
        "apiVersion": "v1",
        "kind": SECRET.kind,
        "metadata": {"namespace": key.namespace, "name": key.name, "labels": dict(labels)},
        "type": "Opaque",
        "data": {name: base64.b64encode(content).decode() for name, content in data.items()},
    }
