"""`nightlatch demo`: runs the demo in a temporary directory and on a free port."""

import asyncio
import shutil
import tempfile
import time
from pathlib import Path

import click

from nightlatch.cli.screen import Screen
from nightlatch.embedded.demo import steps
from nightlatch.embedded.errors import UserError


@click.command("demo")
@click.option(
    "--model",
    type=click.Path(path_type=Path),
    default=Path("models/minilm"),
    show_default=True,
    help="The model package to use: any text-embedding model.",
)
def command(model: Path) -> None:
    """Show what Nightlatch does, on real processes: an endpoint that sleeps, callers that are refused, a call that
    wakes the endpoint, and sleep again.

    Every step is checked. The exit status is 0 only if all checks succeed.
    """
    if not (model / "model.json").exists():
        raise UserError(
            f"no model package at {model}",
            "create it with `make models/minilm/model.json`, or give another with --model DIR",
        )
    screen = Screen()
    started = time.monotonic()
    directory = Path(tempfile.mkdtemp(prefix="nightlatch-demo-"))
    try:
        asyncio.run(steps.run(directory, model.resolve(), screen.plain, screen.title))
    except UserError:
        screen.plain(f"\nThe files of this run are kept in {directory}", "bad")
        raise
    shutil.rmtree(directory)
    screen.title(f"Every promise was kept, in {time.monotonic() - started:.0f} s.")
