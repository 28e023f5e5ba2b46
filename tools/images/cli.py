"""The command line: `python -m tools.images COMMAND`."""

import sys
from pathlib import Path

import click
import yaml

from tools.images import buildah
from tools.images.building import built, remove_superseded
from tools.images.inputs import TARGETS
from tools.images.loading import load as load_into
from tools.node import record
from tools.node.cli import state_option
from tools.node.errors import NodeError
from tools.node.paths import REPOSITORY, State
from tools.node.progress import Progress

names_argument = click.argument("names", nargs=-1, type=click.Choice(list(TARGETS)))


@click.group(help="The project's images: build them without a registry, and give them to the cluster.")
def commands() -> None:
    """Group the commands."""


@commands.command()
@names_argument
def build(names: tuple[str, ...]) -> None:
    """Build the images (default: all) where their inputs changed, and print their references."""
    for name in names or TARGETS:
        click.echo(built(name, Progress()).reference)


@commands.command()
@state_option
@click.option("--tag", "tags", multiple=True, help="Another tag that they are to have there.")
@click.option("--released", is_flag=True, help="Also name them as the chart does by default.")
@names_argument
def load(state: State, tags: tuple[str, ...], released: bool, names: tuple[str, ...]) -> None:
    """Build the images, give them to the cluster that is up, and print their references."""
    known = record.read(state.record)
    if known is None:
        raise NodeError(f"No cluster is up in {state.root}: run `python -m tools.node up` first")
    for name in names or TARGETS:
        progress = Progress()
        image = built(name, progress)
        repository = image.reference.rpartition(":")[0]
        others = (*(f"{repository}:{tag}" for tag in tags), *([released_reference(name)] if released else []))
        load_into(state, known, image, (image.reference, *others), progress)
        progress.step(f"{image.reference} is in the cluster")
        click.echo(image.reference)


def released_reference(name: str) -> str:
    """The image that the chart takes when no value says otherwise."""
    chart = REPOSITORY / "charts" / "nightlatch"
    values = yaml.safe_load((chart / "values.yaml").read_text(encoding="utf-8"))
    version = yaml.safe_load((chart / "Chart.yaml").read_text(encoding="utf-8"))["appVersion"]
    repositories = (values[component]["image"]["repository"] for component in ("operator", "gateway", "modelServer"))
    return next(f"{repository}:{version}" for repository in repositories if repository.endswith(f"/{name}"))


@commands.command()
@click.argument("name", type=click.Choice(list(TARGETS)))
@click.argument("path", type=click.Path(path_type=Path, dir_okay=False))
def archive(name: str, path: Path) -> None:
    """Write one image as a Docker archive, to be loaded elsewhere."""
    reference = built(name, Progress()).reference
    buildah.export(reference, reference, path)


@commands.command()
def prune() -> None:
    """Remove the images of other states of the checkout."""
    remove_superseded(Progress())


def main() -> None:
    """Run the command; what a person can act on becomes one message and exit code 1."""
    try:
        commands()
    except NodeError as error:
        sys.exit(f"error: {error}")
