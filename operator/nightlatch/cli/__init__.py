"""The `nightlatch` command. One file for each verb; a verb's imports are paid for only when it is called."""

import importlib
import os
import sys

import click

from nightlatch.cli.failure import report

# verb: (module, one line for --help); listed here so that --help imports no verb.
VERBS = {
    "up": "Run endpoints as local processes, from the manifests a cluster takes",
    "get": "List endpoints, clients and issuers, or show one",
    "call": "Call an endpoint with a text",
    "logs": "Print a model server's log",
    "delete": "Delete an object",
    "package": "Make a model package of safetensors of your own",
    "demo": "The tour: a sleeping model, refused strangers, a woken call",
}


class _Verbs(click.Group):
    """A group that imports a verb when it is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in VERBS:
            return None
        command = importlib.import_module(f"nightlatch.cli.{cmd_name}").command
        return command if isinstance(command, click.Command) else None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        with formatter.section("Commands"):
            formatter.write_dl(list(VERBS.items()))


@click.group(cls=_Verbs, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="nightlatch")
def cli() -> None:
    """Inference endpoints that sleep at zero and wake only for authenticated callers."""


def main(arguments: list[str] | None = None) -> None:
    """Run a command and exit: 0 done, 1 failed, 2 wrong input, 130 interrupted. Never a traceback."""
    # gRPC's C core writes to standard error by itself; whatever matters reaches us as an exception.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    try:
        status = cli.main(arguments, prog_name="nightlatch", standalone_mode=False)
    except Exception as error:  # noqa: BLE001 - the last resort of the program
        status = report(error)
    except KeyboardInterrupt:
        status = 130
    sys.exit(status if isinstance(status, int) else 0)
