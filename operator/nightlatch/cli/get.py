"""`nightlatch get`: shows the objects in a state directory, whether or not `up` is running."""

import asyncio
import base64
import json
import time
from pathlib import Path

import click
import yaml

from nightlatch.api.meta import INFERENCE_CLIENT, INFERENCE_ENDPOINT, TOKEN_ISSUER, Kind, RawObject
from nightlatch.cli import options
from nightlatch.cli.table import aligned, table
from nightlatch.embedded.errors import UserError
from nightlatch.embedded.manifests.documents import DEFAULT_NAMESPACE
from nightlatch.store.files.store import FilesStore
from nightlatch.store.protocol import NotFoundError

DEFAULT_KINDS = (INFERENCE_ENDPOINT, INFERENCE_CLIENT, TOKEN_ISSUER)


@click.command("get")
@click.argument("kind", required=False)
@click.argument("name", required=False)
@options.namespace
@click.option("-A", "--all-namespaces", is_flag=True, help="Show the objects of every namespace.")
@click.option(
    "-o",
    "--output",
    type=click.Choice(["table", "wide", "yaml", "json"]),
    default="table",
    show_default=True,
    help="How to print them.",
)
@options.state_dir
def command(
    kind: str | None, name: str | None, namespace: str, all_namespaces: bool, output: str, state_dir: Path
) -> None:
    """List objects, or show the one called NAME.

    KIND is ie (InferenceEndpoint), ic (InferenceClient), ti (TokenIssuer) or secret. Without KIND, the first three are
    listed. The values of Secrets are never shown. Works also while `nightlatch up` is not running.
    """
    layout = options.existing(state_dir)
    kinds = [options.kind_of(kind)] if kind else list(DEFAULT_KINDS)
    where = None if all_namespaces else namespace
    found = asyncio.run(_find(FilesStore(layout.root, read_only=True), kinds, name, where))
    if output in ("yaml", "json"):
        click.echo(_text([obj for _, objects in found for obj in objects], output, single=name is not None))
        return
    sections = [
        aligned(table(each, objects, wide=output == "wide", namespaces=all_namespaces, now=time.time()))
        for each, objects in found
        if objects
    ]
    if not sections:
        click.echo(f"no objects in {'any namespace' if all_namespaces else f'namespace {namespace}'}", err=True)
    click.echo("\n\n".join("\n".join(lines) for lines in sections), nl=bool(sections))


async def _find(
    store: FilesStore, kinds: list[Kind], name: str | None, namespace: str | None
) -> list[tuple[Kind, list[RawObject]]]:
    if name is not None:
        try:
            return [(kinds[0], [await store.get(kinds[0], namespace or DEFAULT_NAMESPACE, name)])]
        except NotFoundError:
            raise UserError(
                f"no {kinds[0].kind} {name} in namespace {namespace}", f"see `nightlatch get {kinds[0].plural} -A`"
            ) from None
    return [(kind, list((await store.list(kind, namespace=namespace)).items)) for kind in kinds]


def _text(objects: list[RawObject], output: str, *, single: bool) -> str:
    shown = [without_secrets(obj) for obj in objects]
    if output == "json":
        return json.dumps(shown[0] if single else {"apiVersion": "v1", "kind": "List", "items": shown}, indent=2)
    return yaml.safe_dump_all(shown, sort_keys=False).rstrip()


def without_secrets(obj: RawObject) -> RawObject:
    """A Secret with the sizes of its values instead of the values; any other object unchanged."""
    if obj["kind"] != "Secret":
        return obj
    sizes = {key: f"<{len(base64.b64decode(value))} bytes>" for key, value in (obj.get("data") or {}).items()}
    return {**obj, "data": sizes}
