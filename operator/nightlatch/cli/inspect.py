"""`nightlatch inspect`: a client's or an endpoint's credentials, and what the gateways know of them."""

import asyncio
import json
import time
from pathlib import Path

import click

from nightlatch.api.meta import INFERENCE_CLIENT, INFERENCE_ENDPOINT, NamespacedName, RawObject
from nightlatch.cli import place, subject
from nightlatch.cli.inspection import client_facts, client_text, endpoint_facts, endpoint_text, named_permissions
from nightlatch.embedded.errors import UserError
from nightlatch.planning.parsed import ParsedClient, ParsedEndpoint, read_client, read_endpoint
from nightlatch.planning.settings import Settings
from nightlatch.store.protocol import NotFoundError, StoreError, UnavailableError

# Only the spec and the status of an endpoint are shown, and neither depends on the platform.
_SETTINGS = Settings(platform="Cluster", port=0)


@click.command("inspect")
@click.argument("named", metavar="ic/NAME|ie/NAME")
@click.option(
    "-o",
    "--output",
    type=click.Choice(["table", "json"]),
    default="table",
    show_default=True,
    help="How to print it.",
)
@place.place_options
def command(
    named: str, output: str, namespace: str | None, state_dir: Path, kubeconfig: str | None, context: str | None
) -> None:
    """Show the credentials of the InferenceClient or InferenceEndpoint NAME.

    For each API key its state, age, next event and last use, and how far the gateways are with it: counted for each
    endpoint, and named by the conditions where one lacks something. Never a key. Acts on the `nightlatch up` whose
    state directory is here, and otherwise on the cluster that kubectl would use; --state-dir, --kubeconfig and
    --context name another. With plain kubectl:

    kubectl get ic NAME -o jsonpath='{.status}'
    """
    asked = place.wanted(state_dir, kubeconfig, context)
    click.echo(asyncio.run(_inspect(asked, named, namespace, output)))


async def _inspect(asked: place.Wanted, text: str, namespace: str | None, output: str) -> str:
    async with place.opened(asked) as where:
        kind, name = subject.parse(text)
        if kind not in (INFERENCE_CLIENT, INFERENCE_ENDPOINT):
            raise UserError(f"a {kind.kind} has no credentials to show", "name ic/NAME or ie/NAME", code=2)
        raw = await subject.find(where, kind, NamespacedName(namespace or where.namespace, name))
        now = time.time()
        if kind == INFERENCE_CLIENT:
            client = read_client(raw)
            facts = client_facts(client, await _endpoints(where, client), now)
            shown = client_text(client, facts, now)
        else:
            endpoint, clients = read_endpoint(raw, _SETTINGS), await _clients(where, raw)
            facts = endpoint_facts(endpoint, clients, now)
            shown = endpoint_text(endpoint, facts, clients, now)
        if output == "json":
            return json.dumps(facts, indent=2)
        return f"{kind.kind} {facts['namespace']}/{facts['name']} in {where}\n{shown}"


async def _endpoints(where: place.Place, client: ParsedClient) -> dict[NamespacedName, ParsedEndpoint]:
    """The endpoints that the client names, without those that do not exist or that the user may not read."""
    found = {}
    for key in named_permissions(client):
        try:
            raw = await where.store.get(INFERENCE_ENDPOINT, key.namespace, key.name)
        except UnavailableError:
            raise
        except NotFoundError:
            continue
        except StoreError as error:
            click.echo(f"cannot read {key}: {error}", err=True)
            continue
        found[key] = read_endpoint(raw, _SETTINGS)
    return found


async def _clients(where: place.Place, endpoint: RawObject) -> list[ParsedClient]:
    """Clients of all namespaces, or of the endpoint's alone where the user may not list more, which is said."""
    try:
        listing = await where.store.list(INFERENCE_CLIENT)
    except UnavailableError:
        raise
    except StoreError as error:
        namespace = endpoint["metadata"]["namespace"]
        click.echo(f"only the clients of namespace {namespace} are shown: {error}", err=True)
        listing = await where.store.list(INFERENCE_CLIENT, namespace=namespace)
    return [read_client(each) for each in listing.items]
