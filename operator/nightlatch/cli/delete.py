"""`nightlatch delete`: deletes an object. A running `nightlatch up` notices immediately."""

import asyncio
from pathlib import Path

import click

from nightlatch.api.meta import Kind, NamespacedName, ObjectRef
from nightlatch.cli import options
from nightlatch.embedded.errors import UserError
from nightlatch.embedded.manifests.documents import ANNOTATION_MANIFEST
from nightlatch.store.files.store import FilesStore
from nightlatch.store.protocol import NotFoundError


@click.command("delete")
@click.argument("kind")
@click.argument("name")
@options.namespace
@options.state_dir
def command(kind: str, name: str, namespace: str, state_dir: Path) -> None:
    """Delete the object NAME.

    KIND is ie (InferenceEndpoint), ic (InferenceClient), ti (TokenIssuer) or secret. An object that a manifest declares
    comes back when the manifest is edited or `nightlatch up` starts again.
    """
    layout = options.existing(state_dir)
    wanted = options.kind_of(kind)
    manifest = asyncio.run(_delete(FilesStore(layout.root), wanted, NamespacedName(namespace, name)))
    click.echo(f"{wanted.kind} {namespace}/{name} deleted")
    if manifest and Path(manifest).exists():
        click.echo(f"  the next edit or start creates it again, unless you remove it from {manifest}", err=True)


async def _delete(store: FilesStore, kind: Kind, key: NamespacedName) -> str | None:
    """Delete the object. Returns the manifest that declares it, if there is one."""
    try:
        obj = await store.get(kind, key.namespace, key.name)
        await store.delete(ObjectRef(kind.kind, key))
    except NotFoundError:
        raise UserError(f"no {kind.kind} {key.name} in namespace {key.namespace}", "see `nightlatch get -A`") from None
    manifest = (obj["metadata"].get("annotations") or {}).get(ANNOTATION_MANIFEST)
    return str(manifest) if manifest else None
