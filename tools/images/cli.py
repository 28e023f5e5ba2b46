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


@click.group(help="Build the project's images without a registry, and load them into the cluster.")
def commands() -> None:
    """Group the commands."""


@commands.command()
@names_argument
def build(names: tuple[str, ...]) -> None:
    """Build the images (default: all) whose inputs changed, and print their references."""
    for name in names or TARGETS:
        click.echo(built(name, Progress()).reference)


@commands.command()
@state_option
@click.option("--tag", "tags", multiple=True, help="Another tag for the images in the cluster.")
@click.option("--released", is_flag=True, help="Also use the names that the chart uses by default.")
@names_argument
def load(state: State, tags: tuple[str, ...], released: bool, names: tuple[str, ...]) -> None:
    """Build the images, load them into the running cluster, and print their references."""
    known = record.read(state.record)
    if known is None:
        raise NodeError(f"No cluster is running in {state.root}: run `python -m tools.node up` first")
    for name in names or TARGETS:
        progress = Progress()
        image = built(name, progress)
        repository = image.reference.rpartition(":")[0]
        others = (*(f"{repository}:{tag}" for tag in tags), *([released_reference(name)] if released else []))
        load_into(state, known, image, (image.reference, *others), progress)
        progress.step(f"{image.reference} is in the cluster")
        click.echo(image.reference)


def released_reference(name: str) -> str:
    """Return the image that the chart uses by default."""
    chart = REPOSITORY / "charts" / "nightlatch"
    values = yaml.safe_load((chart / "values.yaml").read_text(encoding="utf-8"))
    version = yaml.safe_load((chart / "Chart.yaml").read_text(encoding="utf-8"))["appVersion"]
    repositories = (values[component]["image"]["repository"] for component in ("operator", "gateway", "modelServer"))
    return next(f"{repository}:{version}" for repository in repositories if repository.endswith(f"/{name}"))


@commands.command()
@click.argument("name", type=click.Choice(list(TARGETS)))
@click.argument("path", type=click.Path(path_type=Path, dir_okay=False))
def archive(name: str, path: Path) -> None:
    """Write one image as a Docker archive, for another cluster."""
    reference = built(name, Progress()).reference
    buildah.export(reference, reference, path)


@commands.command()
def prune() -> None:
    """Remove all images but those of the current state of the checkout."""
    remove_superseded(Progress())


def main() -> None:
    """Run the command. A NodeError becomes one message and exit code 1."""
    try:
        commands()
    except NodeError as error:
        sys.exit(f"error: {error}")
