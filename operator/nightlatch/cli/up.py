"""`nightlatch up`: runs endpoints as local processes until Ctrl-C."""

import asyncio
import logging
import os
from pathlib import Path

import click

from nightlatch.cli import options
from nightlatch.cli.screen import Screen
from nightlatch.cli.wait import DurationType
from nightlatch.embedded.layout import Layout
from nightlatch.embedded.manifests.claims import parse_claims
from nightlatch.embedded.manifests.trust import parse_ca, parse_trust
from nightlatch.embedded.up import Options, up

DEFAULT_PORT = 8443


@click.command("up")
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="FILE...")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=DEFAULT_PORT,
    metavar="PORT",
    show_default=True,
    help="The port that the gateway listens on, at 127.0.0.1. 0: any free port.",
)
@click.option(
    "--claim",
    "claims",
    multiple=True,
    metavar="NAME=DIR",
    help="A directory that stands in for a PersistentVolumeClaim. Can be repeated.",
)
@click.option(
    "--trust",
    "trust",
    multiple=True,
    metavar="[NAMESPACE/]NAME=FILE",
    help="A file of CA certificates (PEM) in place of a Secret in `mtls.trust` or `caSecretRef`. Can be repeated.",
)
@click.option(
    "--ca",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="A directory with a CA of yours that issues all certificates: tls.crt, tls.key, ca.crt. Default: one is made.",
)
@click.option("--gateways", type=click.IntRange(1, 8), default=1, hidden=True)
@click.option("--callers-take", type=DurationType(), default="24h", hidden=True)
@options.state_dir
def command(
    files: tuple[Path, ...],
    port: int,
    claims: tuple[str, ...],
    trust: tuple[str, ...],
    ca: Path | None,
    gateways: int,
    callers_take: float,
    state_dir: Path,
) -> None:
    """Run the endpoints in the manifests FILE... as local processes, until Ctrl-C.

    FILE is a file or a directory. The files are watched: an edit takes effect immediately, and an object whose document
    is removed from a file is deleted. Keys and state stay in the state directory. A second Ctrl-C ends everything
    without waiting.
    """
    os.umask(0o077)
    screen = Screen()
    log_to(Layout.at(state_dir))
    wanted = Options(
        files, state_dir, port, gateways, parse_claims(claims), parse_trust(trust), callers_take, parse_ca(ca)
    )
    asyncio.run(up(wanted, screen.say))


def log_to(layout: Layout) -> None:
    """Write the program's own log to a file. Users read the screen."""
    logging.getLogger().addHandler(_LateFile(layout.logs / "up.log"))
    logging.getLogger("nightlatch").setLevel(logging.INFO)


class _LateFile(logging.FileHandler):
    """Opens its file at the first record, and drops records until the directory exists."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, delay=True)
        self.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        if Path(self.baseFilename).parent.is_dir():
            super().emit(record)
