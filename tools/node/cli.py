"""The command line: `python -m tools.node COMMAND`."""

import shutil
import subprocess
import sys
from pathlib import Path

import click
import yaml

from tools.node import borrowed, record
from tools.node.artifacts import debian_base
from tools.node.artifacts.go_build import built
from tools.node.artifacts.image_archive import binary_archive
from tools.node.artifacts.programs import HELLO, HYPERKUBE, PROGRAMS, TOOLS
from tools.node.bundled import node, requirements
from tools.node.errors import NodeError
from tools.node.paths import State, cache_directory, default_state_directory
from tools.node.processes import is_running
from tools.node.progress import Progress
from tools.node.record import Record
from tools.node.volumes import host_path_claim

HELLO_IMAGE = "nightlatch.test/hello:1"
CLUSTERS = click.Choice(["node", "kind", "current"])

state_option = click.option(
    "--state-dir",
    "state",
    type=click.Path(path_type=Path, file_okay=False),
    callback=lambda _context, _parameter, value: State((value or default_state_directory()).resolve()),
    help="The cluster's directory. Each directory is one cluster; up to 16 run at a time.",
)


@click.group(help="A Kubernetes cluster for tests: the bundled node, kind, or the current context.")
def commands() -> None:
    """Group the commands."""


@commands.command()
@state_option
@click.option("--cluster", type=CLUSTERS, default="node", show_default=True)
@click.option("--mode", type=click.Choice([node.ALL, node.CONTROL_PLANE]), default=node.ALL, show_default=True)
@click.option("--install-packages", is_flag=True, help="Install with apt-get what the node needs.")
@click.option("--kubelet-sync", default="1m", show_default=True, help="How often it looks at pods' Secrets.")
def up(state: State, cluster: str, mode: str, install_packages: bool, kubelet_sync: str) -> None:
    """Start a cluster, and wait until it is ready."""
    progress = Progress()
    if cluster == "kind":
        borrowed.up_kind(state, progress)
    elif cluster == "current":
        borrowed.up_current(state, progress)
    else:
        node.up(state, mode, progress, install=install_packages, kubelet_sync=kubelet_sync)


@commands.command()
@state_option
@click.option("--cluster", type=CLUSTERS, help="Refuse if the running cluster is of another kind.")
@click.option("--wipe", is_flag=True, help="Remove the logs as well.")
def down(state: State, cluster: str | None, wipe: bool) -> None:
    """Stop the cluster and undo every change. It is safe to repeat, also after a killed `up`."""
    known = record.read(state.record)
    if known and cluster and known.cluster != cluster:
        raise NodeError(f"The running cluster is CLUSTER={known.cluster}: name that one")
    if known and known.cluster != "node":
        borrowed.down(state, known, Progress())
    was_up = node.down(state, wipe=wipe) or known is not None
    click.echo("Cluster is down" if was_up else "No cluster to take down", err=True)


@commands.command()
@state_option
def status(state: State) -> None:
    """Print what is running; exit 1 unless the API server is ready."""
    known = _known(state)
    if known.cluster == "node":
        running = "running" if is_running(known.init) else "gone (run `down`)"
        click.echo(f"process 1: {known.init.pid}, {running}\nmode: {known.mode}\nserver: {known.server}")
    click.echo(f"kubeconfig: {state.kubeconfig}\nlogs: {state.logs}")
    kubectl = [str(built(HYPERKUBE, Progress()).with_name("kubectl")), "--kubeconfig", str(state.kubeconfig)]
    sys.exit(subprocess.run([*kubectl, "get", "--raw", "/readyz"], check=False).returncode)


@commands.command()
@state_option
def kubeconfig(state: State) -> None:
    """Print the path of the administrator's kubeconfig."""
    _known(state)
    click.echo(state.kubeconfig)


@commands.command()
@state_option
def logs(state: State) -> None:
    """Print the directory of the components' logs, audit.log among them."""
    click.echo(state.logs)


@commands.command()
@state_option
@click.argument("archives", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True, dir_okay=False))
def load_image(state: State, archives: tuple[Path, ...]) -> None:
    """Load OCI or Docker image archives into the cluster."""
    known = _known(state)
    for path in archives:
        if known.cluster == "node":
            node.load_image(known, path)
        else:
            borrowed.load_image(known, path, Progress())


@commands.command()
def hello_image() -> None:
    """Print the path of an archive of nightlatch.test/hello:1, a trivial HTTP server on port 8080."""
    path = cache_directory() / "node" / "hello.oci.tar"
    content = binary_archive(HELLO_IMAGE, built(HELLO, Progress()))
    path.write_bytes(content)
    click.echo(path)


@commands.command()
@click.argument("name", type=click.Choice([*TOOLS, "kubectl"]))
def tool(name: str) -> None:
    """Print the path of a tool, built on first use; needs no root and no cluster."""
    if name == "kubectl":
        click.echo(built(HYPERKUBE, Progress()).with_name("kubectl"))
    else:
        click.echo(built(TOOLS[name], Progress()))


@commands.command()
def base_image() -> None:
    """Print the path of an archive of a Debian 13 base with Python 3.13, made on first use (root)."""
    click.echo(debian_base.image(debian_base.PYTHON, Progress()))


@commands.command()
def prepare() -> None:
    """Install with apt-get what nodes and image builds need; prints what was missing."""
    for package in requirements.prepare():
        click.echo(package)


@commands.command()
def build() -> None:
    """Build every program that nodes and tests need, unless the cache has it."""
    for program in PROGRAMS:
        click.echo(built(program, Progress()))


@commands.command()
def prune() -> None:
    """Remove Go's caches. Built programs stay, but the next change of one costs a full build."""
    shutil.rmtree(cache_directory() / "go", ignore_errors=True)


@commands.command()
@click.argument("namespace")
@click.argument("name")
@click.argument("directory", type=click.Path(path_type=Path, exists=True, file_okay=False, resolve_path=True))
def volume(namespace: str, name: str, directory: Path) -> None:
    """Print a PersistentVolumeClaim, with its volume, on a directory of this machine."""
    click.echo(yaml.safe_dump_all(host_path_claim(namespace, name, directory), sort_keys=False), nl=False)


def main() -> None:
    """Run the command. A NodeError becomes one message and exit code 1."""
    try:
        commands()
    except NodeError as error:
        sys.exit(f"error: {error}")


def _known(state: State) -> Record:
    known = record.read(state.record)
    if known is None:
        raise NodeError(f"No cluster is running in {state.root}: run `up` first")
    return known
