"""The page cli.md: every verb of the `nightlatch` command with its arguments and options. Pure."""

import inspect
from collections.abc import Iterator

import click

from nightlatch.cli import EXIT_STATUSES, VERBS, cli

_INTRODUCTION = """# Command-line reference

`nightlatch` runs endpoints as local processes, without a cluster. `rotate`, `renew`, `rollover`, `revoke`, `inspect`
and `explain` are for a cluster, too, and `token` needs neither. `nightlatch VERB --help` shows the same texts.
"""


def render() -> str:
    """The text of the page."""
    root = click.Context(cli, info_name="nightlatch")
    lines = [_INTRODUCTION, "| verb | what it does |", "|---|---|"]
    lines += [f"| [`{verb}`](#nightlatch-{verb}) | {summary} |" for verb, summary in VERBS.items()]
    for verb in VERBS:
        command = cli.get_command(root, verb)
        if command is None:
            raise TypeError(f"the verb {verb} is not a click command")
        context = click.Context(command, info_name=verb, parent=root)
        lines += ["", *_verb(command, context)]
        for below in command.commands.values() if isinstance(command, click.Group) else ():
            lines += ["", *_verb(below, click.Context(below, info_name=below.name, parent=context))]
    lines += ["", "## Exit status", "", "| status | meaning |", "|---|---|"]
    lines += [f"| {status} | {meaning} |" for status, meaning in EXIT_STATUSES.items()]
    return "\n".join([*lines, ""])


def _verb(command: click.Command, context: click.Context) -> Iterator[str]:
    usage = " ".join(command.collect_usage_pieces(context))
    path = context.command_path
    yield from (f"## {path}", "", "```", f"{path} {usage}", "```", "")
    yield inspect.cleandoc(command.help or "")
    arguments = [each for each in command.params if isinstance(each, click.Argument)]
    if arguments:
        yield from (
            "",
            f"Arguments: {', '.join(f'`{each.human_readable_name}` ({_needed(each)})' for each in arguments)}.",
        )
    yield from ("", "| option | default | description |", "|---|---|---|")
    for each in command.params:
        if isinstance(each, click.Option) and not each.hidden:
            yield f"| {_names(each, context)} | {_default(each)} | {each.help} |"


def _needed(argument: click.Argument) -> str:
    return ("required" if argument.required else "optional") + (", one or more" if argument.nargs == -1 else "")


def _names(option: click.Option, context: click.Context) -> str:
    value = "" if option.is_flag else f" {option.make_metavar(context)}"
    *short, long = option.opts
    return ", ".join(f"`{name}`" for name in (*short, long + value)).replace("|", r"\|")


def _default(option: click.Option) -> str:
    if option.required:
        return "required"
    default = f"`{option.default}`" if option.show_default else ""
    return f"{default}, or the variable `{option.envvar}`" if option.envvar else default
