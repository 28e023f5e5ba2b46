"""The pages api.md and cli.md leave nothing out, and the committed ones are the generated ones."""

from pathlib import Path
from typing import Any

import click
import pytest

from nightlatch.api.crd.generate import schema_of
from nightlatch.api.meta import OUR_KINDS, Kind
from nightlatch.api.operations import OPERATIONS
from nightlatch.cli import VERBS, cli
from nightlatch.reference import api
from nightlatch.reference import cli as cli_page

COMMITTED = Path(__file__).parents[3] / "docs" / "reference"


@pytest.mark.parametrize(("name", "render"), [("api.md", api.render), ("cli.md", cli_page.render)])
def test_the_committed_page_is_the_generated_one(name: str, render: Any) -> None:
    assert (COMMITTED / name).read_text().endswith(render()), "run `make generate`"


def fields(node: dict[str, Any], path: str = "") -> list[str]:
    found = []
    for name, child in node.get("properties", {}).items():
        found += [path + name, *fields(child, f"{path}{name}.")]
    for word, mark in (("items", "[]."), ("additionalProperties", "{}.")):
        if word in node:
            found += fields(node[word], path.removesuffix(".") + mark)
    return found


@pytest.mark.parametrize("kind", OUR_KINDS)
@pytest.mark.parametrize("part", ["spec", "status"])
def test_the_page_of_the_api_has_every_field(kind: Kind, part: str) -> None:
    section = api.render().split(f"\n### {kind.kind} {part}\n")[1].split("\n### ")[0]
    for field in fields(schema_of(kind)["properties"][part]):
        assert f"| `{field}` |" in section


def test_the_page_of_the_api_has_every_operation_with_its_permission() -> None:
    page = api.render()
    for operation in OPERATIONS:
        assert f"| `{operation.permission}` | `{operation.method} {operation.path}` |" in page


def commands() -> list[tuple[str, click.Command]]:
    """Every verb, and every command below one."""
    found: list[tuple[str, click.Command]] = []
    for verb in VERBS:
        command = cli.get_command(click.Context(cli), verb)
        assert command is not None
        below = command.commands if isinstance(command, click.Group) else {}
        found += [(verb, command), *((f"{verb} {name}", each) for name, each in below.items())]
    return found


@pytest.mark.parametrize(("path", "command"), commands())
def test_the_page_of_the_cli_has_every_argument_and_option_with_a_description(
    path: str, command: click.Command
) -> None:
    section = cli_page.render().split(f"\n## nightlatch {path}\n")[1].split("\n## ")[0]
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            assert parameter.hidden or (parameter.help and all(option in section for option in parameter.opts))
        else:
            assert parameter.human_readable_name in section
