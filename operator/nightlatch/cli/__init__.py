"""The `nightlatch` command: one file for each verb.

Decides what a verb prints and the exit status; the work is done in `embedded`. It reads the state directory and the
terminal; for `rotate`, `renew`, `rollover`, `revoke`, `inspect` and `explain` it also speaks to a cluster
(`place.py`).
Start here: `main` runs a verb and imports only that verb's file, so that `nightlatch get` does not pay for `up`.
"""

import importlib
import os
import sys

import click

from nightlatch.cli.failure import report

# One line for --help by verb, which is also the module's name. Written here so that --help imports no verb.
VERBS = {
    "up": "Run endpoints as local processes, from the manifests that a cluster takes",
    "get": "List endpoints, clients and issuers, or show one",
    "call": "Call an endpoint with texts",
    "logs": "Print the log of a model server",
    "delete": "Delete an object",
    "rotate": "Give a client a new API key",
    "renew": "Issue the certificates of a client or an endpoint again",
    "rollover": "Replace the installation's CA, step by step",
    "revoke": "Refuse API keys and certificates of a client for good",
    "inspect": "Show the credentials of a client or an endpoint, and what gateways know of them",
    "explain": "Say why a credential would be allowed or denied at an endpoint",
    "token": "Print an access token of a provider, for curl and scripts; log in with a browser",
    "package": "Make a model package of your own safetensors",
    "demo": "Show what Nightlatch does, step by step, on real processes",
}

EXIT_STATUSES = {
    0: "done",
    1: "failed; standard error says why and what to do",
    2: "wrong usage, or a manifest with mistakes",
    130: "interrupted with Ctrl-C",
}


class _Verbs(click.Group):
    """A group that imports a verb only when it is used."""

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
    """Run a command and exit with one of EXIT_STATUSES. It never shows a traceback."""
    # gRPC's C core writes to standard error. What matters reaches us as an exception.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    try:
        status = cli.main(arguments, prog_name="nightlatch", standalone_mode=False)
    except Exception as error:  # noqa: BLE001 - any error becomes a line and a log file
        status = report(error)
    except KeyboardInterrupt:
        status = 130
    sys.exit(status if isinstance(status, int) else 0)
