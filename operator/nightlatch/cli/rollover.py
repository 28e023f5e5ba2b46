"""`nightlatch rollover`: asks for a new CA, with the annotation that plain kubectl can write."""

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import click

from nightlatch.api import names
from nightlatch.cli import place


@click.command("rollover")
@click.argument("what", type=click.Choice(["ca"]))
@click.option("--show", is_flag=True, help="Say how far a roll-over is, and ask for nothing.")
@place.place_options
def command(
    what: str,  # noqa: ARG001 - there is one thing to roll over
    show: bool,
    namespace: str | None,
    state_dir: Path,
    kubeconfig: str | None,
    context: str | None,
) -> None:
    """Replace the installation's CA: a new root, and a new CA under it that issues certificates.

    It goes in steps. First everything trusts the new CA beside the one before. When all gateways have confirmed that,
    and callers have had a day, the new CA signs, and every certificate is issued again. When none of the CA before is
    left, and callers have had another day, nothing trusts it any more and its key is deleted. No call fails on the way.

    Acts on the `nightlatch up` whose state directory is here, and otherwise on the cluster that kubectl would use;
    --state-dir, --kubeconfig and --context name another, and -n the operator's namespace. The same with plain kubectl:

    kubectl annotate --overwrite configmap/nightlatch-installation -n nightlatch-system
    nightlatch.dev/rollover="$(date +%s)"
    """
    asyncio.run(_rollover(place.wanted(state_dir, kubeconfig, context), namespace, show=show))


async def _rollover(asked: place.Wanted, namespace: str | None, *, show: bool) -> None:
    where_to_look = namespace or names.DEFAULT_OPERATOR_NAMESPACE
    async with place.opened(asked) as where:
        told = await where.installation(where_to_look)
        if not show:
            await where.request(where_to_look, names.ANNOTATION_ROLLOVER, datetime.now(UTC).isoformat())
            click.echo(f"a new CA is asked for in {where}")
            if told.get("rollover") == "under way":
                click.echo("  a roll-over is under way already; if the next CA signs by now, another follows")
            if not where.is_running:
                click.echo("  `nightlatch up` is not running there: it happens when it starts")
        click.echo("\n".join(lines(told)))


def lines(told: Mapping[str, str]) -> list[str]:
    """What the operator tells of the CAs."""
    if not told:
        return ["the operator has told nothing of its CAs yet"]
    found = told.get("generations", "").splitlines()
    if brought := told.get("broughtCA"):
        found.append(f"brought: {brought}")
    if told.get("rollover") != "under way":
        return [*found, "no roll-over is under way"]
    waits = told.get("waitingFor", "").splitlines()
    next_step = told.get("nextStep")
    return [
        *found,
        *([f"the next step waits for {', '.join(waits)}"] if waits else []),
        *([f"the next step comes at {next_step}, when callers have had their time"] if next_step else []),
    ]
