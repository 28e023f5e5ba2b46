"""`nightlatch logs`: prints the log of a model server."""

import sys
import time
from pathlib import Path
from typing import BinaryIO

import click

from nightlatch.api.meta import NamespacedName
from nightlatch.cli import options
from nightlatch.embedded.errors import UserError
from nightlatch.workloads.processes.files import EndpointFiles

FOLLOW_S = 0.2


@click.command("logs")
@click.argument("name")
@options.namespace
@click.option("-f", "--follow", is_flag=True, help="Keep printing new lines until Ctrl-C.")
@options.state_dir
def command(name: str, namespace: str, follow: bool, state_dir: Path) -> None:
    """Print the log of the model server that the endpoint NAME started last."""
    layout = options.existing(state_dir)
    path = newest_log(EndpointFiles.of(layout.workloads, NamespacedName(namespace, name)).directory)
    if path is None:
        raise UserError(
            f"no log of an endpoint {name} in namespace {namespace}",
            "a log exists once the endpoint has woken; see `nightlatch get ie -A`",
        )
    with path.open("rb") as file:
        _print(file, follow=follow)


def newest_log(directory: Path) -> Path | None:
    """The log of the model server that started last, or None."""
    return max(directory.glob("replica-*.log"), key=lambda path: path.stat().st_mtime, default=None)


def _print(file: BinaryIO, *, follow: bool) -> None:
    out = sys.stdout.buffer
    while True:
        while chunk := file.read(65536):
            out.write(chunk)
        out.flush()
        if not follow:
            return
        time.sleep(FOLLOW_S)
