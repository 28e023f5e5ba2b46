"""Lets files stand in for the Secrets of CAs that endpoints trust, so that a cluster's manifest works unchanged."""

import base64
from collections.abc import Mapping
from pathlib import Path

from nightlatch.api import names
from nightlatch.api.meta import SECRET, NamespacedName, ObjectRef, RawObject
from nightlatch.embedded.errors import UserError
from nightlatch.pki import CA_CRT
from nightlatch.store.protocol import AlreadyExistsError, Store

DEFAULT_NAMESPACE = "default"
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
        wanted = _secret(key, file.read_bytes() if file.is_file() else b"")
        before = present.pop(key, None)
        if before is None:
            await _create(store, key, wanted)
        elif before.get("data") != wanted["data"]:
            await store.replace(wanted)
    for key in present:
        await store.delete(ObjectRef(SECRET.kind, key))


async def _create(store: Store, key: NamespacedName, wanted: RawObject) -> None:
    try:
        await store.create(wanted)
    except AlreadyExistsError:
        advice = "choose another name, here and in access.mtls.trust"
        raise UserError(f"--trust {key}: a Secret of this name is there already", advice, code=2) from None


def _secret(key: NamespacedName, content: bytes) -> RawObject:
    return {
        "apiVersion": "v1",
        "kind": SECRET.kind,
        "metadata": {"namespace": key.namespace, "name": key.name, "labels": dict(_LABELS)},
        "type": "Opaque",
        "data": {CA_CRT: base64.b64encode(content).decode()},
    }
