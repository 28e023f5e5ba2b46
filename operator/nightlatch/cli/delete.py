"""`nightlatch delete`: remove an object; a running `up` sees it at once."""

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
    """Delete the object NAME of KIND (ie, ic, ti)."""
    layout = options.existing(state_dir)
    wanted = options.kind_of(kind)
    manifest = asyncio.run(_delete(FilesStore(layout.root), wanted, NamespacedName(namespace, name)))
    click.echo(f"{wanted.kind} {namespace}/{name} deleted")
    if manifest and Path(manifest).exists():
        click.echo(f"  it comes back with the next edit or start unless you take it out of {manifest}", err=True)


async def _delete(store: FilesStore, kind: Kind, key: NamespacedName) -> str | None:
    """The manifest that declared the object, if one did."""
    try:
        obj = await store.get(kind, key.namespace, key.name)
        await store.delete(ObjectRef(kind.kind, key))
    except NotFoundError:
        raise UserError(f"no {kind.kind} {key.name} in namespace {key.namespace}", "see `nightlatch get -A`") from None
    manifest = (obj["metadata"].get("annotations") or {}).get(ANNOTATION_MANIFEST)
    return str(manifest) if manifest else None
