"""Prints an error as one line, with what to do about it. The details of an unexpected error go to a file."""

import sys
import tempfile
import traceback
from pathlib import Path

import click

from nightlatch.embedded.errors import UserError
from nightlatch.store.protocol import StoreError


def report(error: Exception) -> int:
    """Print the error to standard error. Returns the exit status."""
    match error:
        case click.exceptions.Exit():
            return error.exit_code
        case click.Abort():
            return 130
        case click.ClickException():
            error_line(error.format_message(), _usage_hint(error))
            return error.exit_code
        case UserError():
            error_line(error.message, error.hint)
            return error.code
        case StoreError():
            error_line(str(error))
            return 1
        case BrokenPipeError():
            return 1
    path = _keep(error)
    error_line(f"{type(error).__name__}: {error}", f"this is a bug in Nightlatch; the details are in {path}")
    return 1


def error_line(message: str, hint: str = "") -> None:
    """Print `error: …` and, on the next line, what to do."""
    click.echo(f"{click.style('error:', fg='red', bold=True)} {message}", err=True)
    if hint:
        click.echo(f"  {hint}", err=True)


def _usage_hint(error: click.ClickException) -> str:
    context = getattr(error, "ctx", None)
    return f"see `{context.command_path} --help`" if context else ""


def _keep(error: Exception) -> Path:
    with tempfile.NamedTemporaryFile("w", prefix="nightlatch-error-", suffix=".log", delete=False) as file:
        file.write(f"{' '.join(sys.argv[:2])}\n\n")
        traceback.print_exception(error, file=file)
    return Path(file.name)
