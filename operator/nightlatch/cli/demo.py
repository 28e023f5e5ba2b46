"""`nightlatch demo`: the tour, in a directory and on a port of its own."""

import asyncio
import shutil
import tempfile
import time
from pathlib import Path

import click

from nightlatch.cli.screen import Screen
from nightlatch.embedded.demo import tour
from nightlatch.embedded.errors import UserError


@click.command("demo")
@click.option(
    "--model",
    type=click.Path(path_type=Path),
    default=Path("models/minilm"),
    show_default=True,
    help="The model package: any text embedding.",
)
def command(model: Path) -> None:
    """Show every promise on real processes; exits 0 only if each was kept."""
    if not (model / "model.json").exists():
        raise UserError(f"no model package at {model}", "make it: make models/minilm/model.json; or give --model DIR")
    screen = Screen()
    started = time.monotonic()
    directory = Path(tempfile.mkdtemp(prefix="nightlatch-demo-"))
    try:
        asyncio.run(tour.run(directory, model.resolve(), screen.plain, screen.title))
    except UserError:
        screen.plain(f"\nThe state directory is kept for a look: {directory}", "bad")
        raise
    shutil.rmtree(directory)
    screen.title(f"Every promise was kept, in {time.monotonic() - started:.0f} s.")
