"""Where the objects of `rotate`, `revoke`, `inspect` and so on are: a cluster, or the state directory of an `up`."""

import contextlib
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import click
from click.core import ParameterSource

from nightlatch.api.meta import RawObject
from nightlatch.cli import options
from nightlatch.cli.place_cluster import Cluster
from nightlatch.cli.place_directory import StateDirectory
from nightlatch.embedded.errors import UserError
from nightlatch.embedded.layout import DEFAULT_DIRECTORY
from nightlatch.kube import kubeconfig as kubeconfigs
from nightlatch.kube.client import connect
from nightlatch.kube.errors import ApiServerError
from nightlatch.store.protocol import Store


class Place(Protocol):
    """`namespace`: where an object is that is named without one. `is_running`: whether a change has an effect now."""

    @property
    def namespace(self) -> str: ...

    @property
    def store(self) -> Store: ...

    @property
    def is_running(self) -> bool: ...

    def __str__(self) -> str:
        """The place in words, for a sentence."""

    async def annotate(self, obj: RawObject, annotation: str, value: str) -> RawObject:
        """Set one annotation. Raises ConflictError if the object is no longer as it was read."""

    async def installation(self, namespace: str) -> Mapping[str, str]:
        """What the operator in this namespace tells of the installation; nothing if it told nothing yet."""

    async def request(self, namespace: str, annotation: str, value: str) -> None:
        """Ask the operator in this namespace for something. Raises NotFoundError if it told nothing yet."""

    async def revoke(self, client: RawObject, key_ids: Iterable[str], digests: Iterable[str]) -> RawObject:
        """Add ids to `spec.apiKey.revokedKeyIds` and digests to `spec.certificate.revokedDigests`, and take away none.

        Raises ConflictError likewise.
        """


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the command line says about the place. None: nothing."""

    state_dir: Path | None
    kubeconfig: str | None
    context: str | None


def place_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """The options `-n`, `--kubeconfig`, `--context` and `--state-dir`."""
    for option in (
        options.state_dir,
        click.option("--context", metavar="NAME", help="The context of the kubeconfig. Default: the current one."),
        click.option(
            "--kubeconfig",
            metavar="FILE",
            help="The kubeconfig of the cluster. Default: as for kubectl, KUBECONFIG or ~/.kube/config.",
        ),
        click.option(
            "-n",
            "--namespace",
            metavar="NAMESPACE",
            help="The object's namespace. Default: that of the kubeconfig's context, and `default` without a cluster.",
        ),
    ):
        function = option(function)
    return function


def wanted(state_dir: Path, kubeconfig: str | None, context: str | None) -> Wanted:
    """What was asked for. Raises UserError if it is both a cluster and a state directory."""
    source = click.get_current_context().get_parameter_source("state_dir")
    cluster = kubeconfig is not None or context is not None
    if cluster and source == ParameterSource.COMMANDLINE:
        raise UserError(
            "--state-dir is for `nightlatch up`, and --kubeconfig and --context are for a cluster",
            "leave one of them out",
            code=2,
        )
    return Wanted(None if cluster or source == ParameterSource.DEFAULT else state_dir, kubeconfig, context)


@contextlib.asynccontextmanager
async def opened(asked: Wanted) -> AsyncIterator[Place]:
    """The place that is meant: what the command line names, or the state directory here, or else kubectl's cluster."""
    is_cluster = asked.kubeconfig is not None or asked.context is not None
    directory = asked.state_dir or DEFAULT_DIRECTORY
    if not is_cluster and (asked.state_dir is not None or (directory / "objects").is_dir()):
        yield StateDirectory(options.existing(directory))
        return
    path = asked.kubeconfig or kubeconfigs.default_path()
    if not is_cluster and not kubeconfigs.exists(path):
        raise UserError(
            f"no state directory at {directory.absolute()}, and no kubeconfig at {path}",
            "name one with --state-dir or --kubeconfig",
        )
    try:
        context = kubeconfigs.read_context(path, asked.context)
        async with await connect(context.path, context.name) as api:
            yield Cluster(api, context)
    except ApiServerError as error:
        raise UserError(str(error), "see `kubectl config get-contexts`") from error
