"""`nightlatch call`: one call to an endpoint, from the command line."""

import asyncio
import time
from dataclasses import dataclass
from pathlib import Path

import click

from nightlatch.api.client import EndpointGrant
from nightlatch.api.meta import INFERENCE_CLIENT, INFERENCE_ENDPOINT, NamespacedName, RawObject
from nightlatch.cli import options
from nightlatch.embedded import http_client, lock
from nightlatch.embedded.errors import UserError
from nightlatch.embedded.layout import ClientFiles, Layout
from nightlatch.store.files.store import FilesStore
from nightlatch.store.protocol import NotFoundError


@dataclass(frozen=True, slots=True)
class _Target:
    url: str
    model: str
    state: str
    files: ClientFiles
    takes_keys: bool


@click.command("call")
@click.argument("name")
@click.option(
    "--text", "texts", multiple=True, required=True, help="A text. Repeat the option to see how similar the texts are."
)
@click.option(
    "--client",
    metavar="CLIENT",
    help="The InferenceClient that calls, as NAME or NAMESPACE/NAME. Default: the first that may call NAME.",
)
@options.namespace
@options.state_dir
def command(name: str, texts: tuple[str, ...], client: str | None, namespace: str, state_dir: Path) -> None:
    """Get the embedding of each text from the endpoint NAME. A sleeping endpoint wakes first."""
    layout = options.existing(state_dir)
    if lock.running(layout) is None:
        raise UserError(f"`nightlatch up` is not running on {layout.root}", "start it with `nightlatch up FILE`")
    target = asyncio.run(_target(layout, NamespacedName(namespace, name), client))
    if target.state != "Awake":
        click.echo(f"{namespace}/{name} is {target.state}: the call waits until it is Awake", err=True)
    started = time.monotonic()
    files = target.files
    # An endpoint that does not take certificates asks for none.
    connection = http_client.Connection(target.url, files.ca, shows=files.certificate)
    answer = http_client.embed(connection, target.model, list(texts), files.key if target.takes_keys else None)
    took_ms = (time.monotonic() - started) * 1000
    if answer.status != 200:
        raise UserError(f"{answer.status} {answer.message}".rstrip(), _hint(answer))
    click.echo("\n".join(_summary(list(texts), http_client.vectors(answer))))
    woke = f", of which {answer.wake_ms:.0f} ms for waking" if answer.wake_ms is not None else ""
    click.echo(f"{took_ms:.0f} ms{woke}")


async def _target(layout: Layout, endpoint: NamespacedName, client: str | None) -> _Target:
    store = FilesStore(layout.root, read_only=True)
    try:
        found = await store.get(INFERENCE_ENDPOINT, endpoint.namespace, endpoint.name)
    except NotFoundError:
        raise UserError(
            f"no InferenceEndpoint {endpoint.name} in namespace {endpoint.namespace}", "see `nightlatch get ie -A`"
        ) from None
    status = found.get("status") or {}
    clients = list((await store.list(INFERENCE_CLIENT)).items)
    files = layout.credentials(choose_client(clients, endpoint, client))
    if not status.get("url") or not (files.key or files.certificate):
        raise UserError(f"{endpoint} is not ready yet", "see `nightlatch get ie -o yaml`")
    model = found["spec"]["model"].get("name") or endpoint.name
    takes_keys = found["spec"]["access"].get("apiKey") is not None
    return _Target(status["url"], model, status.get("state") or "Asleep", files, takes_keys)


def choose_client(clients: list[RawObject], endpoint: NamespacedName, wanted: str | None) -> NamespacedName:
    """The client to use: `wanted`, or else the first that has the permission `infer`. Raises UserError."""
    if wanted is not None:
        key = NamespacedName.parse(wanted) if "/" in wanted else NamespacedName(endpoint.namespace, wanted)
        if key not in map(NamespacedName.of, clients):
            raise UserError(f"no InferenceClient {key}", "see `nightlatch get ic -A`")
        return key
    for client in clients:
        key = NamespacedName.of(client)
        for grant in map(EndpointGrant.model_validate, client["spec"].get("endpoints", [])):
            if grant.endpoint(key.namespace) == endpoint and "infer" in grant.permissions:
                return key
    raise UserError(
        f"no InferenceClient may call {endpoint}", "add one to a manifest, with this endpoint in spec.endpoints"
    )


def _summary(texts: list[str], vectors: list[list[float]]) -> list[str]:
    lines = []
    for text, vector in zip(texts, vectors, strict=True):
        head = " ".join(f"{number:+.3f}" for number in vector[:4])
        lines.append(f"{text!r}: {len(vector)} numbers ({head} …)")
    for index, vector in enumerate(vectors[1:], start=1):
        lines.append(f"similarity of {texts[0]!r} and {texts[index]!r}: {http_client.cosine(vectors[0], vector):.2f}")
    return lines


def _hint(answer: http_client.Answer) -> str:
    if "retry-after" in answer.headers:
        return f"try again in {answer.headers['retry-after']} s"
    return {401: "the endpoint does not accept the key", 403: "the client does not have the permission"}.get(
        answer.status, ""
    )
